"""From a key to its principal, and which keys are worth a second look at the database."""

from __future__ import annotations

from uuid import uuid4

import pytest
from django.conf import settings
from django.test import override_settings

from gateway_project.core.crypto import key_digest, token_hash
from gateway_project.core.errors import AuthenticationFailed
from security_app.registry import KeyPolicy, Principal, SecurityConfig
from security_app.services.authentication import MASTER, UnknownKey, authenticate

ALICE = Principal(uuid4(), "alice", "", KeyPolicy(frozenset({"inference"}), ()), 0.0, False)

# Of the form of the keys that are made here.
OURS = "sk-gw-AliceFirstKeyOfOurForm00000000000000test4UFHmR"


def knowing(*keys: str) -> SecurityConfig:
    """A configuration in which alice has these keys."""
    config = SecurityConfig(settings.GATEWAY_KEY_PEPPERS)
    for key in keys:
        config.keys[key_digest(token_hash(key), config.peppers[0].secret)] = ALICE
    return config


def test_the_master_key_can_be_switched_off() -> None:
    master = settings.GATEWAY_MASTER_KEY
    assert authenticate(knowing(), master) is MASTER

    with override_settings(GATEWAY_MASTER_KEY=""), pytest.raises(AuthenticationFailed):
        authenticate(knowing(), master)


@pytest.mark.parametrize("key", [OURS, "sk-gw-from-an-older-day", "anything-else-of-hers"])
def test_a_known_key_is_let_in_whatever_its_form(key: str) -> None:
    assert authenticate(knowing(key), key) is ALICE


@pytest.mark.parametrize(
    "key",
    [
        "sk-gw-",
        "sk-gw-nobody-has-this-one",
        "sk-gw-" + "a" * 46,
        "sk-gw-" + "\xe9" * 46,
        OURS[:-1],
        OURS + "0",
    ],
)
def test_a_mistyped_key_of_ours_is_refused_without_a_second_look(key: str) -> None:
    with pytest.raises(AuthenticationFailed) as caught:
        authenticate(knowing(), key)

    assert not isinstance(caught.value, UnknownKey)
    assert caught.value.reason == "malformed"


@pytest.mark.parametrize("key", [OURS, "sk-somebody-elses-form", "\xe9" * 20])
def test_a_key_that_may_be_new_is_worth_a_second_look(key: str) -> None:
    with pytest.raises(UnknownKey) as caught:
        authenticate(knowing(), key)

    assert caught.value.reason == "unknown"


@override_settings(GATEWAY_MASTER_KEY="sk-gw-the-master-key-of-old")
def test_the_master_key_may_look_like_one_of_ours() -> None:
    assert authenticate(knowing(), "sk-gw-the-master-key-of-old") is MASTER
