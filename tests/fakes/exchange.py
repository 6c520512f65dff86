"""One request that a fake server received, and the means to answer it, down to single bytes."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import struct
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from http.client import responses
from typing import Any

Header = tuple[str, str]
WAIT_S = 5.0


@dataclass(eq=False)
class RecordedRequest:
    """What the client sent, and how it ended; may be read from the test's thread.

    `aborted` is set when the client left before the answer was complete, `finished` when the answer was given
    (whole, or as broken as the test wanted).
    """

    method: str
    target: str
    headers: list[Header]
    body: bytes
    connection: int
    number_on_connection: int
    received_at: float = field(default_factory=time.monotonic)
    aborted_at: float | None = None
    aborted: threading.Event = field(default_factory=threading.Event)
    finished: threading.Event = field(default_factory=threading.Event)

    @property
    def path(self) -> str:
        """The target without its query."""
        return self.target.partition("?")[0]

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)

    @property
    def model(self) -> str | None:
        """The `model` of a JSON body, if it has one."""
        with contextlib.suppress(ValueError):
            content = json.loads(self.body)
            if isinstance(content, dict) and isinstance(content.get("model"), str):
                return str(content["model"])
        return None

    def header(self, name: str) -> str | None:
        """The first header of this name, in any case."""
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)

    def mark_aborted(self) -> None:
        """The client left now; for the server's side."""
        self.aborted_at = time.monotonic()
        self.aborted.set()

    def wait_aborted(self, timeout_s: float = WAIT_S) -> float:
        """The time at which the client left; fails the test if it doesn't."""
        assert self.aborted.wait(timeout_s), "the client did not leave"
        assert self.aborted_at is not None
        return self.aborted_at

    def wait_finished(self, timeout_s: float = WAIT_S) -> None:
        """Wait for the answer's end, which the client may see a moment before; fails without one."""
        assert self.finished.wait(timeout_s), "the answer did not end"


class Gate:
    """Holds an answer until the test opens it; `reached` is set when an answer waits here."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self._lock = threading.Lock()
        self._is_open = False
        self._waiters: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    def open(self) -> None:
        """Let all answers pass, now and later."""
        with self._lock:
            self._is_open = True
            waiters, self._waiters = self._waiters, []
        for loop, event in waiters:
            with contextlib.suppress(RuntimeError):  # The server has gone, and its loop with it.
                loop.call_soon_threadsafe(event.set)

    def wait_reached(self, timeout_s: float = WAIT_S) -> None:
        """Wait until an answer stands at the gate; fails the test if none comes."""
        assert self.reached.wait(timeout_s), "no answer reached the gate"

    async def passed(self) -> None:
        """Wait for the gate; for the server's side."""
        event = asyncio.Event()
        with self._lock:
            if self._is_open:
                return
            self._waiters.append((asyncio.get_running_loop(), event))
        self.reached.set()
        await event.wait()


Step = bytes | Gate | float
"""A piece to write, a gate to wait at, or seconds to pause."""


class Exchange:
    """One request and its answer. Whoever answers by hand writes a head, then a body in the same framing."""

    def __init__(self, request: RecordedRequest, writer: asyncio.StreamWriter) -> None:
        self.request = request
        self.keeps_alive = (request.header("connection") or "").lower() != "close"
        self._writer = writer

    @property
    def is_reused(self) -> bool:
        """Whether the connection has carried a request before this one."""
        return self.request.number_on_connection > 1

    async def write(self, data: bytes) -> None:
        """Bytes as they are, in one write."""
        if data:
            self._writer.write(data)
            await self._writer.drain()

    async def head(self, status: int, headers: Iterable[Header]) -> None:
        """Status line and headers, exactly these."""
        await self.write(head_bytes(status, headers))

    async def respond(
        self,
        status: int,
        body: bytes,
        *,
        headers: Iterable[Header] = (),
        content_type: str = "application/json",
    ) -> None:
        """A whole answer with a content length."""
        framing = [("content-type", content_type), ("content-length", str(len(body)))]
        sent = b"" if self.request.method == "HEAD" else body
        await self.write(head_bytes(status, [*framing, *headers]) + sent)

    async def chunk(self, data: bytes) -> None:
        """One HTTP chunk in one write; an empty one ends the body."""
        self._writer.write(b"%x\r\n%b\r\n" % (len(data), data))
        await self._writer.drain()

    async def play(self, steps: Iterable[Step], *, is_chunked: bool) -> None:
        """Write pieces one by one, with pauses."""
        for step in steps:
            if isinstance(step, Gate):
                await step.passed()
            elif isinstance(step, bytes):
                await (self.chunk(step) if is_chunked and step else self.write(step))
            else:
                await asyncio.sleep(step)

    async def hang(self) -> None:
        """Say nothing until the client leaves or the server stops."""
        await asyncio.Event().wait()

    def close(self) -> None:
        """End the connection after what was written."""
        self.keeps_alive = False

    def reset(self) -> None:
        """End the connection at once, by a TCP reset."""
        self.keeps_alive = False
        connection = self._writer.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()


def head_bytes(status: int, headers: Iterable[Header]) -> bytes:
    """A status line, headers and the empty line."""
    lines = [
        f"HTTP/1.1 {status} {responses.get(status, 'Status')}",
        *(f"{name}: {value}" for name, value in headers),
        "",
        "",
    ]
    return "\r\n".join(lines).encode("latin-1")
