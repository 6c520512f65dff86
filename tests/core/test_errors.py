"""Errors have one shape, and each status one class."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from gateway_project.core import errors
from gateway_project.core.codec import dumps, loads
from gateway_project.core.errors import AuthenticationFailed, GatewayError, InvalidRequest, UpstreamFailed


def subclasses(kind: type[GatewayError]) -> Iterator[type[GatewayError]]:
    for child in kind.__subclasses__():
        yield child
        yield from subclasses(child)


OF_THE_CORE = [kind for kind in subclasses(GatewayError) if kind.__module__ == errors.__name__]


def test_the_tree_in_the_docstring_is_the_tree() -> None:
    drawn = errors.__doc__ or ""

    for kind in OF_THE_CORE:
        assert f"{kind.__name__} {kind.status}" in drawn
    assert {kind.status for kind in OF_THE_CORE} == {
        *(400, 401, 403, 404, 405, 408, 409, 413, 415, 429, 500, 502, 503, 504)
    }


@pytest.mark.parametrize("kind", OF_THE_CORE)
def test_every_error_is_an_openai_error_object(kind: type[GatewayError]) -> None:
    body = loads(dumps(kind("What happened.").body()))

    assert body == {
        "error": {"message": "What happened.", "type": kind.type, "param": None, "code": kind.code}
    }
    assert kind.type
    assert kind.__doc__


def test_an_error_may_say_more() -> None:
    error = InvalidRequest("No.", param="n", code="too_many", status=422, headers={"a": "b"})

    assert (error.status, error.headers) == (422, {"a": "b"})
    assert error.body()["error"] == {
        "message": "No.",
        "type": "invalid_request_error",
        "param": "n",
        "code": "too_many",
    }
    assert InvalidRequest.status == 400


def test_errors_share_no_headers() -> None:
    first, second = UpstreamFailed("a"), UpstreamFailed("b")

    first.headers["x-should-retry"] = "false"

    assert second.headers == {}


def test_one_message_for_every_reason_of_a_refused_key() -> None:
    messages = {AuthenticationFailed(reason=reason).message for reason in ("unknown", "blocked", "expired")}

    assert messages == {"Incorrect API key provided."}
