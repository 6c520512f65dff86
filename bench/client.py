"""A small HTTP/1.1 client for load: one keep-alive connection, one request at a time.

Hand-made so that it costs little beside what it measures. It reads `Content-Length`, chunked and
until-close bodies, counts the SSE events of a stream, and keeps only what a measurement needs.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from time import perf_counter
from typing import Final, cast

import orjson

CONTENT_LENGTH = re.compile(rb"\r\ncontent-length:\s*(\d+)", re.IGNORECASE)
CHUNKED = re.compile(rb"\r\ntransfer-encoding:\s*chunked", re.IGNORECASE)
REQUEST_ID = re.compile(rb"\r\nx-request-id:\s*([^\r]+)", re.IGNORECASE)
EVENT_MARK: Final = b"data: "
DONE_MARK: Final = b"data: [DONE]"
END_BYTES: Final = len(DONE_MARK) + 4
EXCERPT_BYTES: Final = 2_000


@dataclass(frozen=True, slots=True)
class Target:
    """Where load goes. The bench model and key mean nothing to the vendor and the relay."""

    name: str
    port: int
    key: str = "sk-bench-none-0000"
    model: str = "bench"
    host: str = "127.0.0.1"

    def chat_body(self, *, stream_plan: str = "") -> bytes:
        """A short chat; `stream_plan` (see vendor.py) makes it a stream."""
        body: dict[str, object] = {
            "model": self.model,
            "messages": [
                {"role": "system", "content": "You answer in two sentences, politely, in English."},
                {"role": "user", "content": "What does a gateway for language models do all day?"},
            ],
            "temperature": 0.2,
            "max_tokens": 256,
        }
        if stream_plan:
            body |= {"stream": True, "user": stream_plan}
        return orjson.dumps(body)

    def request(self, body: bytes, path: str = "/v1/chat/completions") -> bytes:
        """The whole POST as bytes."""
        head = (
            f"POST {path} HTTP/1.1\r\nhost: {self.host}:{self.port}\r\n"
            f"authorization: Bearer {self.key}\r\ncontent-type: application/json\r\n"
            f"accept: */*\r\ncontent-length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body


@dataclass(slots=True)
class Answer:
    """What came back. `events` leaves out `[DONE]`; `is_done` says that it came last."""

    status: int = 0
    request_id: str = ""
    size_bytes: int = 0
    events: int = 0
    is_done: bool = False
    first_byte_at: float = 0.0
    excerpt: bytes = b""


class Connection(asyncio.Protocol):
    """One connection. `request` fails with ConnectionError when the server hangs up before the end."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._waiter: asyncio.Future[Answer] | None = None
        self._answer = Answer()
        self._buffer = b""
        self._tail = b""
        self._end = b""
        self._in_body = False
        self._is_chunked = False
        self._is_last_chunk = False
        self._left: int | None = 0

    @property
    def is_open(self) -> bool:
        """Whether another request can be sent."""
        return self._transport is not None and not self._transport.is_closing()

    def request(self, payload: bytes) -> asyncio.Future[Answer]:
        """Send one request; the future has the answer once its last byte came."""
        waiter: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        if self._transport is None:
            waiter.set_exception(ConnectionResetError("not connected"))
            return waiter
        self._waiter = waiter
        self._answer = Answer()
        self._buffer = self._tail = self._end = b""
        self._in_body = self._is_chunked = self._is_last_chunk = False
        self._transport.write(payload)
        return waiter

    def close(self) -> None:
        """Close the connection."""
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are none of asyncio's classes.
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if self._waiter is None or self._waiter.done():
            return
        if self._in_body and self._left is None and not self._is_chunked:
            self._finish()
        else:
            self._waiter.set_exception(ConnectionResetError(str(exc or "closed by the server")))

    def data_received(self, data: bytes) -> None:
        if self._waiter is None or self._waiter.done():
            return
        self._buffer = self._buffer + data if self._buffer else data
        if not self._in_body:
            self._read_head()
        if self._in_body:
            if self._is_chunked:
                self._read_chunks()
            else:
                self._read_plain()

    def _read_head(self) -> None:
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        head = self._buffer[: end + 2]
        self._buffer = self._buffer[end + 4 :]
        self._answer.status = int(head[9:12])
        self._answer.first_byte_at = perf_counter()
        if found := REQUEST_ID.search(head):
            self._answer.request_id = found[1].decode("latin-1").strip()
        length = CONTENT_LENGTH.search(head)
        self._is_chunked = CHUNKED.search(head) is not None
        self._left = int(length[1]) if length else None
        if self._is_chunked:
            self._left = 0
        self._in_body = True

    def _read_plain(self) -> None:
        piece, self._buffer = self._buffer, b""
        self._take(piece)
        if self._left is not None:
            self._left -= len(piece)
            if self._left <= 0:
                self._finish()

    def _read_chunks(self) -> None:
        buffer, at, left = self._buffer, 0, self._left or 0
        while at < len(buffer):
            if left:
                piece = buffer[at : at + left]
                self._take(piece)
                at += len(piece)
                left -= len(piece)
                continue
            end = buffer.find(b"\r\n", at)
            if end < 0:
                break
            line = buffer[at:end]
            at = end + 2
            if self._is_last_chunk:
                if not line:
                    self._finish()
                    return
            elif line:
                # An empty line here only ends the chunk before it.
                left = int(line.split(b";", 1)[0], 16)
                self._is_last_chunk = left == 0
        self._buffer, self._left = buffer[at:], left

    def _take(self, piece: bytes) -> None:
        """Count events; a mark split between two pieces is found by keeping the last bytes."""
        answer = self._answer
        answer.size_bytes += len(piece)
        if len(answer.excerpt) < EXCERPT_BYTES and answer.status != 200:
            answer.excerpt += piece[:EXCERPT_BYTES]
        seen = self._tail + piece
        answer.events += seen.count(EVENT_MARK)
        # The tail must hold no whole mark, or it would be counted twice.
        self._tail = seen[-(len(EVENT_MARK) - 1) :]
        self._end = (self._end + piece)[-END_BYTES:]

    def _finish(self) -> None:
        if DONE_MARK in self._end:
            self._answer.is_done = True
            self._answer.events -= 1
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(self._answer)


async def connect(target: Target) -> Connection:
    """Open one connection."""
    loop = asyncio.get_running_loop()
    _, connection = await loop.create_connection(Connection, target.host, target.port)
    return connection
