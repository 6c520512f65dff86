"""What goes out at Anthropic's doors besides answers: errors with Anthropic's statuses, pings, ids."""

from __future__ import annotations

import asyncio
import json
from collections.abc import MutableMapping
from typing import Any, cast

import pytest

from gateway_project.api.anthropic.exchange import MessagesExchange, ModelsExchange
from gateway_project.api.anthropic.requests import read_request
from gateway_project.core.deadline import CallScope
from gateway_project.core.errors import (
    AuthenticationFailed,
    GatewayError,
    InternalError,
    InvalidRequest,
    MethodNotAllowed,
    ModelNotFound,
    Overloaded,
    PayloadTooLarge,
    PermissionDenied,
    QuotaExceeded,
    RateLimited,
    UnsupportedMediaType,
    UpstreamFailed,
    UpstreamTimeout,
)
from tests.fakes import bodies
from tests.messages.reading import message_of

Json = dict[str, Any]
PING = b'event: ping\ndata: {"type":"ping"}\n\n'


class Wire:
    """What a client receives."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.body = b""
        self.is_over = False

    async def send(self, message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = {name.decode(): value.decode() for name, value in message["headers"]}
            return
        assert not self.is_over
        self.body += message["body"]
        self.is_over = not message.get("more_body")

    @property
    def json(self) -> Json:
        return cast("Json", json.loads(self.body))


def exchange(
    wire: Wire, kind: type[MessagesExchange] | type[ModelsExchange] = MessagesExchange, **headers: str
) -> Any:
    """An exchange whose client is `wire`."""

    async def receive() -> MutableMapping[str, Any]:
        raise AssertionError("nobody reads here")

    pairs = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    asgi_scope = {"method": "POST", "path": "/v1/messages", "headers": pairs}
    scope = CallScope(cast("asyncio.Task[object]", asyncio.current_task()))
    return kind(asgi_scope, receive, wire.send, scope)


@pytest.mark.parametrize(
    ("error", "status", "kind"),
    [
        (InvalidRequest("x"), 400, "invalid_request_error"),
        (UnsupportedMediaType("x"), 400, "invalid_request_error"),
        (InvalidRequest("x", status=422), 400, "invalid_request_error"),
        (AuthenticationFailed(), 401, "authentication_error"),
        (PermissionDenied("x"), 403, "permission_error"),
        (ModelNotFound("x"), 404, "not_found_error"),
        (MethodNotAllowed("x", headers={"allow": "POST"}), 405, "invalid_request_error"),
        (PayloadTooLarge("x"), 413, "request_too_large"),
        (RateLimited("x", headers={"retry-after": "3"}), 429, "rate_limit_error"),
        (QuotaExceeded("x", headers={"x-should-retry": "false"}), 429, "rate_limit_error"),
        (InternalError("x"), 500, "api_error"),
        (UpstreamFailed("x"), 500, "api_error"),
        (Overloaded("x", headers={"retry-after": "5"}), 529, "overloaded_error"),
        (UpstreamTimeout("x"), 504, "timeout_error"),
    ],
)
async def test_each_error_has_anthropics_status_and_form(error: GatewayError, status: int, kind: str) -> None:
    wire = Wire()
    made = exchange(wire)

    await made.send_error(error)

    assert wire.status == status
    detail = {"type": kind, "message": error.message}
    assert wire.json == {"type": "error", "error": detail, "request_id": made.request_name}
    assert wire.headers["request-id"] == made.request_name
    assert error.headers.items() <= wire.headers.items()


async def test_fields_have_the_names_that_the_client_knows() -> None:
    wire = Wire()

    await exchange(wire).send_error(InvalidRequest("This model can't reason.", param="reasoning_effort"))

    assert wire.json["error"]["message"] == "thinking: This model can't reason."


async def test_a_stream_that_waits_is_begun_with_a_ping() -> None:
    wire = Wire()
    made = begun(wire)

    await made._send_start_and_comment()
    await made._send_heartbeat()
    await made.send_piece(bodies.sse_event(bodies.chat_chunk({"content": "Hi"}, model="m")))
    await made.end_stream(bodies.DONE)
    await made._send_heartbeat()

    assert (wire.status, wire.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
    assert wire.body.startswith(PING + PING + b"event: message_start\n")
    assert wire.is_over
    assert message_of(wire.body)["content"] == [{"type": "text", "text": "Hi"}]


def begun(wire: Wire) -> Any:
    """An exchange that is to answer with a stream."""
    made = exchange(wire)
    turns = [{"role": "user", "content": "x"}]
    request = read_request({"model": "m", "max_tokens": 9, "messages": turns, "stream": True})
    made.begin(request, input_tokens=1)
    made.expect_stream()
    return made


async def test_an_error_in_a_stream_is_its_last_event() -> None:
    wire = Wire()
    made = begun(wire)
    await made.start_stream()

    await made.send_piece(bodies.sse_event(bodies.chat_chunk({"content": "Hi"}, model="m")))
    await made.send_error(Overloaded("Later."))

    last = wire.body.split(b"\n\n")[-2].split(b"\n")
    assert last[0] == b"event: error"
    assert json.loads(last[1].removeprefix(b"data: "))["error"] == {
        "type": "overloaded_error",
        "message": "Later.",
    }
    assert wire.is_over
    assert b"message_stop" not in wire.body


async def test_chunks_that_are_none_are_the_upstreams_fault() -> None:
    made = begun(Wire())

    with pytest.raises(UpstreamFailed):
        await made.send_piece(b'data: {"choices": [{"delta": "text"}]}\n\n')


async def test_the_list_of_models_has_the_form_that_was_asked_for() -> None:
    ours, theirs = Wire(), Wire()

    await exchange(ours, ModelsExchange).send_error(ModelNotFound("x", param="model"))
    await exchange(theirs, ModelsExchange, anthropic_version="2023-06-01").send_error(ModelNotFound("x"))

    assert ours.json["error"]["code"] == "model_not_found"
    assert "request-id" not in ours.headers
    assert theirs.json["type"] == "error"
