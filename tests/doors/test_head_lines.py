"""Header lines that go to the wire as they are, where the server offers it, and as a list where not."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from gateway_project.api.exchange import Exchange
from gateway_project.core.deadline import CallScope
from gateway_project.core.errors import RateLimited
from gateway_project.core.extensions import HEAD_LINES
from gateway_project.protocol import JoinedWrites

HEAD = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n"
LINES = b"x-ratelimit-limit-requests: 60\r\nx-ratelimit-remaining-requests: 59\r\n"


class Wire:
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        self.written: list[bytes] = []

    def write(self, data: bytes) -> None:
        """Keep it."""
        self.written.append(data)

    def is_closing(self) -> bool:
        """Never."""
        return False

    def resume_reading(self) -> None:
        """Nothing was paused."""


async def answered(extensions: dict[str, Any] | None, error: RateLimited | None = None) -> list[Any]:
    """The messages of an answer with lines of limits."""
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "http.disconnect"}

    scope: dict[str, Any] = {"method": "GET", "path": "/", "headers": [], "extensions": extensions}
    task = asyncio.current_task()
    assert task is not None
    exchange = Exchange(scope, receive, send, CallScope(task))
    exchange.add_lines(LINES)
    exchange.add_header(b"x-gateway-model", b"spark")
    if error is None:
        await exchange.send_body(200, b"{}")
    else:
        await exchange.send_error(error)
    return sent


async def test_a_server_that_takes_lines_gets_them_once() -> None:
    taken: list[bytes] = []

    sent = await answered({HEAD_LINES: taken.append})

    assert [name for name, _ in sent[0]["headers"]] == [b"content-type", b"content-length"]
    [lines] = taken
    assert lines.startswith(b"x-request-id: req_")
    assert lines.endswith(LINES + b"x-gateway-model: spark\r\n")


@pytest.mark.parametrize("extensions", [None, {"another": {}}])
async def test_any_other_server_gets_headers(extensions: dict[str, Any] | None) -> None:
    sent = await answered(extensions)

    headers = dict(sent[0]["headers"])
    assert headers[b"x-ratelimit-remaining-requests"] == b"59"
    assert headers[b"x-gateway-model"] == b"spark"
    assert b"x-request-id" in headers


async def test_what_an_error_says_of_limits_stands_alone() -> None:
    error = RateLimited("Too many.", headers={"x-ratelimit-remaining-requests": "0"})

    sent = await answered(None, error)

    told = [value for name, value in sent[0]["headers"] if name == b"x-ratelimit-remaining-requests"]
    assert told == [b"0"]


async def test_lines_go_out_with_the_head_and_the_body_in_one_write() -> None:
    wire = Wire()
    joined = JoinedWrites(wire, asyncio.get_running_loop())  # type: ignore[arg-type]

    joined.add_lines(LINES)
    joined.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    await asyncio.sleep(0)
    joined.write(HEAD)
    joined.write(b"{}")

    assert wire.written == [b"HTTP/1.1 100 Continue\r\n\r\n", HEAD[:-2] + LINES + b"\r\n{}"]


async def test_a_header_with_a_line_break_is_refused() -> None:
    task = asyncio.current_task()
    assert task is not None
    scope: dict[str, Any] = {"method": "GET", "path": "/", "headers": []}
    queue: asyncio.Queue[Any] = asyncio.Queue()
    exchange = Exchange(scope, queue.get, queue.put, CallScope(task))

    with pytest.raises(ValueError, match="line breaks"):
        exchange.add_header(b"x-gateway-model", b"spark\r\nset-cookie: a=b")
