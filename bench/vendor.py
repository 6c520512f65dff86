"""A fake LLM vendor that costs far less than what it feeds.

An `asyncio.Protocol` on uvloop with hand-made HTTP/1.1 (keep-alive, `Content-Length` bodies, no
pipelining): every answer is bytes made once at start. Not a model of a vendor's behaviour: the
tests have their own fake for that.

A streamed chat is paced or a burst. The request's `user` chooses: `paced:<events>:<milliseconds>`
or `burst:<events>:<events a write>`; otherwise the command line does.
"""

from __future__ import annotations

import argparse
import asyncio
import re
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, cast

import orjson
import uvloop

MAX_EVENTS: Final = 100_000
STREAM = re.compile(rb'"stream"\s*:\s*true')
USAGE_WANTED = re.compile(rb'"include_usage"\s*:\s*true')
PLAN = re.compile(rb'"user"\s*:\s*"(paced|burst):(\d{1,6}):(\d{1,6})"')
CONTENT_LENGTH = re.compile(rb"\r\ncontent-length:\s*(\d+)", re.IGNORECASE)

USAGE = {"prompt_tokens": 42, "completion_tokens": 64, "total_tokens": 106}
ANSWER = (
    "A gateway stands between many clients and many models: it checks who is asking, chooses "
    "where the question goes, passes the answer back unchanged and writes down what it cost."
)


@dataclass(frozen=True, slots=True)
class Plan:
    """How one stream is written: `size` is milliseconds between events (paced) or events a write."""

    mode: str
    events: int
    size: int


def _response(status: str, body: bytes, content_type: str = "application/json") -> bytes:
    head = (
        f"HTTP/1.1 {status}\r\ncontent-type: {content_type}\r\ncontent-length: {len(body)}\r\n"
        "x-request-id: req-bench-vendor\r\nopenai-version: 2020-10-01\r\n\r\n"
    )
    return head.encode() + body


CHAT = _response(
    "200 OK",
    orjson.dumps(
        {
            "id": "chatcmpl-bench0000000000000000000000",
            "object": "chat.completion",
            "created": 1_750_000_000,
            "model": "bench-upstream",
            "system_fingerprint": "fp_bench",
            "choices": [
                {
                    "index": 0,
                    "message": {"role": "assistant", "content": ANSWER, "refusal": None},
                    "logprobs": None,
                    "finish_reason": "stop",
                }
            ],
            "usage": {
                **USAGE,
                "prompt_tokens_details": {"cached_tokens": 0},
                "completion_tokens_details": {"reasoning_tokens": 0},
            },
        }
    ),
)
EMBEDDINGS = _response(
    "200 OK",
    orjson.dumps(
        {
            "object": "list",
            "model": "bench-upstream",
            "data": [{"object": "embedding", "index": 0, "embedding": [0.0123] * 256}],
            "usage": {"prompt_tokens": 8, "total_tokens": 8},
        }
    ),
)
MODELS = _response(
    "200 OK",
    orjson.dumps(
        {
            "object": "list",
            "data": [{"id": "bench-upstream", "object": "model", "created": 1, "owned_by": "bench"}],
        }
    ),
)
NOT_FOUND = _response("404 Not Found", b'{"error":{"message":"Not found."}}')
LENGTH_REQUIRED = _response("411 Length Required", b'{"error":{"message":"Length required."}}')
STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\n"
    b"transfer-encoding: chunked\r\nx-request-id: req-bench-vendor\r\n\r\n"
)
STREAM_END = b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n"


def _event(
    *, delta: dict[str, str] | None, finish: str | None, with_usage: bool, usage: bool = False
) -> bytes:
    """One event in a chunk of its own. Asked for usage, OpenAI writes a null one into each event."""
    event: dict[str, object] = {
        "id": "chatcmpl-bench0000000000000000000000",
        "object": "chat.completion.chunk",
        "created": 1_750_000_000,
        "model": "bench-upstream",
        "system_fingerprint": "fp_bench",
        "choices": []
        if delta is None
        else [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}],
    }
    if with_usage:
        event["usage"] = USAGE if usage else None
    line = b"data: " + orjson.dumps(event) + b"\n\n"
    return f"{len(line):x}\r\n".encode() + line + b"\r\n"


@lru_cache(maxsize=32)
def stream_writes(plan: Plan, *, with_usage: bool) -> tuple[bytes, ...]:
    """The socket writes of one stream, in order; the first carries the head."""
    count = max(plan.events, 2)
    events = [_event(delta={"role": "assistant"}, finish=None, with_usage=with_usage)]
    content = _event(delta={"content": " word"}, finish=None, with_usage=with_usage)
    events += [content] * (count - 2)
    events.append(_event(delta={}, finish="stop", with_usage=with_usage))
    per_write = plan.size if plan.mode == "burst" else 1
    writes = [b"".join(events[i : i + per_write]) for i in range(0, count, per_write)]
    writes[0] = STREAM_HEAD + writes[0]
    usage = b""
    if with_usage:
        usage = _event(delta=None, finish=None, with_usage=True, usage=True)
    writes[-1] += usage + STREAM_END
    return tuple(writes)


class Vendor(asyncio.Protocol):
    """One connection."""

    def __init__(self, loop: asyncio.AbstractEventLoop, default: Plan) -> None:
        self._loop = loop
        self._default = default
        self._buffer = b""
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.Handle | None = None
        self._writes: tuple[bytes, ...] = ()
        self._next = 0
        self._pace_s = 0.0
        self._due = 0.0
        self._is_blocked = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are none of asyncio's classes.
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if self._timer is not None:
            self._timer.cancel()

    def pause_writing(self) -> None:
        self._is_blocked = True

    def resume_writing(self) -> None:
        self._is_blocked = False
        if self._pace_s == 0 and self._next < len(self._writes):
            self._timer = self._loop.call_soon(self._write_burst)

    def data_received(self, data: bytes) -> None:
        self._buffer = buffer = self._buffer + data if self._buffer else data
        end = buffer.find(b"\r\n\r\n")
        if end < 0 or self._transport is None:
            return
        head = buffer[: end + 2]
        if head.startswith(b"GET "):
            self._buffer = b""
            self._transport.write(MODELS if b"/models" in head.split(b"\r\n", 1)[0] else NOT_FOUND)
            return
        length = CONTENT_LENGTH.search(head)
        if length is None:
            self._transport.write(LENGTH_REQUIRED)
            self._transport.close()
            return
        if len(buffer) >= end + 4 + int(length[1]):
            self._buffer = b""
            self._answer(head, buffer[end + 4 :])

    def _answer(self, head: bytes, body: bytes) -> None:
        if self._transport is None:
            return
        path = head.split(b" ", 2)[1].split(b"?", 1)[0]
        if path.endswith(b"/chat/completions"):
            if STREAM.search(body):
                self._start_stream(body)
            else:
                self._transport.write(CHAT)
        elif path.endswith(b"/embeddings"):
            self._transport.write(EMBEDDINGS)
        else:
            self._transport.write(NOT_FOUND)

    def _start_stream(self, body: bytes) -> None:
        plan = self._default
        if asked := PLAN.search(body):
            events = min(int(asked[2]), MAX_EVENTS)
            plan = Plan(asked[1].decode(), events, max(int(asked[3]), 1))
        self._writes = stream_writes(plan, with_usage=USAGE_WANTED.search(body) is not None)
        self._next = 0
        self._pace_s = plan.size / 1000 if plan.mode == "paced" else 0.0
        if self._pace_s:
            self._due = self._loop.time()
            self._write_paced()
        else:
            self._write_burst()

    def _write_paced(self) -> None:
        if self._transport is None:
            return
        self._transport.write(self._writes[self._next])
        self._next += 1
        if self._next < len(self._writes):
            self._due += self._pace_s
            self._timer = self._loop.call_at(self._due, self._write_paced)

    def _write_burst(self) -> None:
        """One write a turn of the loop, so that the kernel sees writes of the size asked for."""
        if self._transport is None or self._is_blocked or self._next >= len(self._writes):
            return
        self._transport.write(self._writes[self._next])
        self._next += 1
        if self._next < len(self._writes) and not self._is_blocked:
            self._timer = self._loop.call_soon(self._write_burst)


async def serve(port: int, default: Plan) -> None:
    """Answer on 127.0.0.1 until cancelled."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Vendor(loop, default), "127.0.0.1", port, backlog=2048)
    async with server:
        await server.serve_forever()


def main() -> None:
    """Read the command line and serve."""
    parser = argparse.ArgumentParser(prog="python -m bench.vendor", description=__doc__)
    parser.add_argument("--port", type=int, default=9100)
    parser.add_argument("--mode", choices=("paced", "burst"), default="paced")
    parser.add_argument("--events", type=int, default=100)
    parser.add_argument("--pace-ms", type=int, default=20)
    parser.add_argument("--events-per-write", type=int, default=8)
    options = parser.parse_args()
    size = options.pace_ms if options.mode == "paced" else options.events_per_write
    default = Plan(options.mode, min(options.events, MAX_EVENTS), max(size, 1))
    with suppress(KeyboardInterrupt):
        uvloop.run(serve(options.port, default))


if __name__ == "__main__":
    main()
