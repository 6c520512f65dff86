"""Tags of requests: read from a header, refused with its name."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from gateway_project.api.tags import request_tags, take_stated_tags
from gateway_project.core.codec import dumps, split_object
from gateway_project.core.errors import InvalidRequest


def asked_with(**headers: str) -> Any:
    """As much of an exchange as has headers."""
    raw = {name.replace("_", "-").encode(): value.encode() for name, value in headers.items()}
    return cast("Any", SimpleNamespace(headers=raw, header=lambda name: raw[name].decode("latin-1")))


@pytest.mark.parametrize(
    ("text", "tags"),
    [
        ("blue", ("blue",)),
        (" blue , red,blue,, ", ("blue", "red")),
        ('["a, b", "c"]', ("a, b", "c")),
        ("", ()),
    ],
)
def test_tags_are_read_once_each(text: str, tags: tuple[str, ...]) -> None:
    assert request_tags(asked_with(x_gateway_tags=text)) == tags
    assert request_tags(asked_with(x_litellm_tags=text)) == tags


def test_a_request_without_the_header_has_none() -> None:
    assert request_tags(asked_with()) == ()


@pytest.mark.parametrize(
    "text",
    [
        ",".join("abcdefghijk"),
        "x" * 65,
        "[1]",
        "[",
        "[{}]",
        "[" * 30_000,
        # The ledger could not hold these as they are.
        r'["a\u0000"]',
        r'["a\ud800"]',
    ],
)
def test_unusable_tags_are_refused_with_the_headers_name(text: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        request_tags(asked_with(x_gateway_tags=text))

    assert refused.value.param == "x-gateway-tags"


@pytest.mark.parametrize(
    ("metadata", "tags", "left"),
    [
        (b'{"tags":["eu","blue"]}', ("blue", "eu"), None),
        (b'{"tags":["eu"],"trace":"t1"}', ("blue", "eu"), b'{"trace":"t1"}'),
        (b'{"tags":"eu"}', ("blue",), b'{"tags":"eu"}'),
        (b'{"trace":"tags"}', ("blue",), b'{"trace":"tags"}'),
        (b'["tags"]', ("blue",), b'["tags"]'),
    ],
)
def test_tags_in_metadata_count_and_do_not_go_to_vendors(
    metadata: bytes, tags: tuple[str, ...], left: bytes | None
) -> None:
    context = cast("Any", SimpleNamespace(tags=("blue",)))
    fields = split_object(b'{"metadata":%b}' % metadata)

    take_stated_tags(context, fields)

    assert context.tags == tags
    assert (bytes(fields["metadata"]) if "metadata" in fields else None) == left


def test_too_many_tags_in_metadata_are_refused_by_name() -> None:
    context = cast("Any", SimpleNamespace(tags=()))
    fields = split_object(dumps({"metadata": {"tags": [f"t{number}" for number in range(11)]}}))

    with pytest.raises(InvalidRequest) as refused:
        take_stated_tags(context, fields)

    assert refused.value.param == "metadata.tags"
