"""Tags of requests: read from a header, refused with its name."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from gateway_project.api.tags import request_tags
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
