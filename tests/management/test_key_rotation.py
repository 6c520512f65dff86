"""A key gets a new secret and stays the same key: its id, what it has used, what it may do."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.db import connection

from gateway_project.core.clock import utc_now
from gateway_project.core.errors import AuthenticationFailed
from gateway_project.core.ids import parse_public_id
from gateway_project.core.snapshot import SnapshotStore
from security_app.models import ApiKey
from security_app.registry import PEOPLE, SECTION, Principal, build, build_people
from security_app.services.authentication import authenticate_in
from security_app.services.configuration import read_versions
from security_app.services.keys import create_key
from security_app.services.rotation import rotate_due_keys
from security_app.tasks import rotate_keys
from tests.management.caller import Caller
from usage_app.models import KeyUse


def other_process() -> SnapshotStore:
    store = SnapshotStore(read_versions)
    store.register(SECTION, build)
    store.register(PEOPLE, build_people)
    store.refresh()
    return store


def enter(store: SnapshotStore, plain: str) -> Principal:
    return authenticate_in(store.current, plain)


def made(admin: Caller, **fields: Any) -> Any:
    return admin.ok("POST", "/key/generate", {"key_alias": "billing", **fields})


def uuid_of(key: Any) -> UUID:
    value = parse_public_id("key", key["key_id"])
    assert value is not None
    return value


def end_grace(key: Any) -> None:
    ApiKey.objects.filter(pk=uuid_of(key)).update(previous_until=utc_now() - timedelta(seconds=1))


def test_without_a_grace_the_old_secret_ends_at_once(admin: Caller) -> None:
    old = made(admin)

    new = admin.ok("POST", "/key/regenerate", {"key": old["key_id"]})

    assert new["key"] != old["key"]
    assert new["key_id"] == old["key_id"]
    assert admin.with_key(new["key"]).ok("GET", "/key/info")["key"] == old["key_id"]
    assert admin.with_key(old["key"]).refused("GET", "/key/info")["status"] == 401


def test_in_the_grace_both_secrets_are_good_in_every_process(admin: Caller) -> None:
    old = made(admin)
    incremental = other_process()

    new = admin.ok("POST", f"/key/{old['key_id']}/regenerate", {"grace_period": "24h"})
    incremental.refresh()

    for store in (incremental, other_process()):
        before, after = enter(store, old["key"]), enter(store, new["key"])
        assert before.key_id == after.key_id == uuid_of(old)
        assert 0 < before.expires_at - utc_now().timestamp() <= 24 * 3600
        assert after.expires_at == 0
    for key in (old["key"], new["key"]):
        assert admin.with_key(key).ok("GET", "/key/info")["key"] == old["key_id"]


def test_after_the_grace_only_the_new_secret_is_good(admin: Caller) -> None:
    old = made(admin)
    new = admin.ok("POST", "/key/regenerate", {"key": old["key_id"], "grace_period": "1h"})
    incremental = other_process()

    end_grace(old)
    incremental.refresh()

    for store in (incremental, other_process()):
        with pytest.raises(AuthenticationFailed) as refused:
            enter(store, old["key"])
        assert refused.value.reason == "rotated"
        assert enter(store, new["key"]).key_id == uuid_of(old)


def test_the_grace_ends_by_the_clock_and_not_by_a_reload(admin: Caller) -> None:
    old = made(admin)
    admin.ok("POST", "/key/regenerate", {"key": old["key_id"], "grace_period": "1h"})
    store = other_process()
    config = store.current.sections[SECTION].value
    (digest,) = config.retiring

    config.retiring[digest] = config.retiring[digest]._replace(until=utc_now().timestamp() - 1)

    with pytest.raises(AuthenticationFailed):
        enter(store, old["key"])


def test_changes_of_the_key_reach_both_of_its_secrets(admin: Caller) -> None:
    old = made(admin)
    new = admin.ok("POST", "/key/regenerate", {"key": old["key_id"], "grace_period": "1h"})
    store = other_process()

    admin.ok("POST", "/key/update", {"key": old["key_id"], "models": ["local/*"]})
    store.refresh()
    narrowed = [enter(store, key).policy.allowed_models for key in (old["key"], new["key"])]
    admin.ok("POST", "/key/block", {"key": old["key"]})
    store.refresh()

    assert narrowed == [("local/*",), ("local/*",)]
    for key in (old["key"], new["key"]):
        with pytest.raises(AuthenticationFailed):
            enter(store, key)


def test_a_deleted_key_ends_with_both_of_its_secrets(admin: Caller) -> None:
    old = made(admin)
    new = admin.ok("POST", "/key/regenerate", {"key": old["key_id"], "grace_period": "1h"})
    store = other_process()

    admin.ok("POST", "/key/delete", {"keys": [old["key"]]})
    store.refresh()

    assert store.current.sections[SECTION].value.retiring == {}
    for key in (old["key"], new["key"]):
        with pytest.raises(AuthenticationFailed):
            enter(store, key)


def test_a_second_rotation_ends_the_secret_before_the_last(admin: Caller) -> None:
    first = made(admin)
    second = admin.ok("POST", "/key/regenerate", {"key": first["key_id"], "grace_period": "1h"})
    third = admin.ok("POST", "/key/regenerate", {"key": first["key_id"], "grace_period": "1h"})
    store = other_process()

    with pytest.raises(AuthenticationFailed):
        enter(store, first["key"])
    assert enter(store, second["key"]).key_id == enter(store, third["key"]).key_id


def test_rotation_keeps_the_counters_id_and_what_the_key_has_used(admin: Caller) -> None:
    old = made(admin)
    KeyUse.objects.create(key_id=uuid_of(old), requests=3, cost="0.5", last_used_at=utc_now())
    store = other_process()
    before = enter(store, old["key"])

    new = admin.ok("POST", "/key/regenerate", {"key": old["key_id"], "grace_period": "1h"})
    store.refresh()

    assert enter(store, new["key"]).key_id == before.key_id
    assert admin.ok("GET", f"/key/info?key={old['key_id']}")["info"]["requests"] == 3


def test_a_rotation_may_change_the_key_along(admin: Caller) -> None:
    old = made(admin)

    new = admin.ok("POST", "/key/regenerate", {"key": old["key_id"], "duration": "30d", "models": ["a/*"]})

    assert new["models"] == ["a/*"]
    assert new["expires"] is not None
    assert new["key_alias"] == "billing"


def test_a_secret_of_ones_own_must_be_new(admin: Caller) -> None:
    old = made(admin)
    admin.ok("POST", "/key/regenerate", {"key": old["key_id"], "grace_period": "1h"})
    body = {"key": old["key_id"], "grace_period": "1h"}

    own = admin.ok("POST", "/key/regenerate", {**body, "new_key": "sk-my-own-key-0000001"})

    assert own["key"] == "sk-my-own-key-0000001"
    for taken in ("sk-my-own-key-0000001", "short"):
        error = admin.refused("POST", "/key/regenerate", {**body, "new_key": taken})
        assert error["param"] == "new_key"
    replaced = admin.ok("POST", "/key/regenerate", body)
    assert replaced["key_id"] == old["key_id"]
    assert admin.refused("POST", "/key/generate", {"key": "sk-my-own-key-0000001"})["status"] == 409


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"grace_period": "soon"}, "grace_period"),
        ({"grace_period": "0"}, "grace_period"),
        ({"grace_period": "91d"}, "grace_period"),
        ({"auto_rotate": True}, "rotation_interval"),
        ({"rotation_interval": "1h", "auto_rotate": True}, "rotation_interval"),
        ({"guardrails": []}, "guardrails"),
        ({"new_master_key": "x"}, "new_master_key"),
    ],
)
def test_what_a_rotation_can_not_do_is_refused_by_name(
    admin: Caller, fields: dict[str, Any], param: str
) -> None:
    old = made(admin)

    error = admin.refused("POST", "/key/regenerate", {"key": old["key_id"], **fields})

    assert (error["status"], error["param"]) == (400, param)
    assert admin.with_key(old["key"]).ok("GET", "/key/info")["key"] == old["key_id"]


def due_key(admin: Caller) -> Any:
    key = made(admin, auto_rotate=True, rotation_interval="30d")
    ApiKey.objects.filter(pk=uuid_of(key)).update(next_rotation_at=utc_now() - timedelta(seconds=1))
    return key


def test_a_key_whose_time_has_come_gets_a_new_secret_once(admin: Caller) -> None:
    key = due_key(admin)

    counts = rotate_keys(), rotate_due_keys()

    info = admin.with_key(key["key"]).ok("GET", "/key/info")["info"]
    assert counts == (1, 0)
    assert info["has_new_key"]
    assert info["rotation_interval"] == "30d"
    row = ApiKey.objects.get(pk=uuid_of(key))
    assert row.next_rotation_at is not None
    assert row.previous_until is not None
    assert timedelta(days=29) < row.next_rotation_at - utc_now() <= timedelta(days=30)
    assert timedelta(days=6) < row.previous_until - utc_now() <= timedelta(days=7)


def test_the_new_secret_is_shown_once_and_encrypted_until_then(admin: Caller, traffic: Caller) -> None:
    key = due_key(admin)
    rotate_due_keys()
    with connection.cursor() as cursor:
        cursor.execute("SELECT new_secret_sealed FROM security_app_apikey WHERE new_secret_sealed <> ''")
        ((sealed,),) = cursor.fetchall()

    denied = traffic.refused("POST", "/key/reveal", {"key": key["key_id"]})
    shown = admin.ok("POST", "/key/reveal", {"key": key["key_id"]})
    again = admin.refused("POST", "/key/reveal", {"key": key["key_id"]})

    assert denied["status"] == 403
    assert shown["key"] not in sealed
    assert admin.with_key(shown["key"]).ok("GET", "/key/info")["key"] == key["key_id"]
    assert (again["status"], again["param"]) == (404, "key")
    assert not shown["has_new_key"]


def test_blocked_keys_and_those_that_are_not_due_keep_their_secrets(admin: Caller) -> None:
    due = due_key(admin)
    admin.ok("POST", "/key/block", {"key": due["key_id"]})
    create_key(actor="t", name="other", rotation_interval_s=86_400)

    assert rotate_due_keys() == 0


def test_automatic_rotation_can_be_switched_off(admin: Caller) -> None:
    key = made(admin, auto_rotate=True, rotation_interval="30d")

    off = admin.ok("POST", "/key/update", {"key": key["key_id"], "auto_rotate": False})

    assert key["auto_rotate"]
    assert key["key_rotation_at"] is not None
    assert not off["auto_rotate"]
    assert off["key_rotation_at"] is None
    assert off["rotation_interval"] == "30d"
