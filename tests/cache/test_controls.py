"""What a client says about kept answers, in LiteLLM's words or HTTP's."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from gateway_project.core.codec import RawFields, dumps
from gateway_project.core.errors import InvalidRequest
from upstreams_app.services.answer_cache.controls import NOTHING_SAID, Controls, take_controls


def body(value: Any) -> RawFields:
    """The members of a request that says this."""
    return {"model": msgspec.Raw(b'"m"'), "cache": msgspec.Raw(dumps(value))}


@pytest.mark.parametrize(
    ("value", "controls"),
    [
        (None, NOTHING_SAID),
        ({}, NOTHING_SAID),
        ({"no-cache": True}, Controls(is_wanted=False)),
        ({"no-cache": False}, NOTHING_SAID),
        ({"no-store": True}, Controls(may_be_kept=False)),
        ({"use-cache": True, "ttl": 60.5}, Controls(is_asked_for=True, ttl_s=60)),
        ({"ttl": 0}, Controls(may_be_kept=False, ttl_s=0)),
        ({"s-maxage": 9, "s-max-age": 5}, Controls(max_age_s=5)),
        ({"namespace": "mine"}, Controls(namespace="mine")),
    ],
)
def test_the_bodys_object(value: Any, controls: Controls) -> None:
    fields = body(value)

    assert take_controls(fields, None) == controls
    assert list(fields) == ["model"]


@pytest.mark.parametrize(
    ("value", "param"),
    [
        ("yes", "cache"),
        ([], "cache"),
        ({"no-cash": True}, "cache.no-cash"),
        ({"no-cache": "yes"}, "cache.no-cache"),
        ({"ttl": -1}, "cache.ttl"),
        ({"ttl": True}, "cache.ttl"),
        ({"ttl": 1e12}, "cache.ttl"),
        ({"s-maxage": "1h"}, "cache.s-maxage"),
        ({"namespace": 7}, "cache.namespace"),
        ({"namespace": "x" * 129}, "cache.namespace"),
    ],
)
def test_what_it_can_not_hold_is_named(value: Any, param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        take_controls(body(value), None)

    assert caught.value.param == param


@pytest.mark.parametrize("text", [b'{"ttl": 1e999}', b'{"namespace": "\\ud800"}'])
def test_what_is_json_and_can_not_be_read_is_named(text: bytes) -> None:
    with pytest.raises(InvalidRequest) as caught:
        take_controls({"cache": msgspec.Raw(text)}, None)

    assert caught.value.param == "cache"


@pytest.mark.parametrize(
    ("header", "controls"),
    [
        (b"no-cache", Controls(is_wanted=False)),
        (b"No-Store, max-age=7", Controls(may_be_kept=False, max_age_s=7)),
        (b"max-age=9, s-maxage=3", Controls(max_age_s=3)),
        (b"max-age=0", Controls(max_age_s=0)),
        (b"max-age=99999999999999999999", Controls(max_age_s=30 * 86_400)),
        (b"max-age=-1, max-age=x, no-transform, \xff, =, ,", NOTHING_SAID),
    ],
)
def test_the_header(header: bytes, controls: Controls) -> None:
    assert take_controls({}, header) == controls


def test_the_stricter_of_both_counts() -> None:
    controls = take_controls(body({"s-maxage": 5, "ttl": 60}), b"max-age=9, no-cache")

    assert controls == Controls(is_wanted=False, ttl_s=60, max_age_s=5)
