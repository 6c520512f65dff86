"""The server's end of the socket to a process of an agent, and of the pipe with what it prints."""

from __future__ import annotations

import asyncio
import hmac
import os
import time
from contextlib import suppress

from agents_app.isolation.frames import Frame, FrameError, decoded, encode, parts_of, read_body
from agents_app.isolation.processes import MAX_OUTPUT_BYTES, Child
from agents_app.services.isolated_frames import RunFrame, checked

_BLOCK_BYTES = 65_536
# A frame of a process may have so much more than twice what it was given.
_FRAME_BYTES = 4 * 1024 * 1024
_FRAME_PARTS = 200_000


class Pace:
    """Keeps processes of agents from having the event loop for themselves, all of them together.

    After so many seconds of work for one it waits, three times as long as the work was, and the next one
    until that is over.
    """

    WORK_S, REST = 0.005, 3.0

    def __init__(self) -> None:
        self._free_at = 0.0

    async def rest(self, spent_s: float) -> None:
        """Wait after this much work."""
        now = time.monotonic()
        self._free_at = max(now, self._free_at) + self.REST * spent_s
        await asyncio.sleep(self._free_at - now)


_pace = Pace()


class ProcessLink:
    """Frames out, and in if they have the run's token. What the process prints is read, and kept in part."""

    def __init__(self, child: Child, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._output = child.output
        self._printed = bytearray()
        self._sending = asyncio.Lock()
        self._token = b""
        self._max_bytes, self._max_parts = _FRAME_BYTES, _FRAME_PARTS
        self._spent_s = 0.0
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._output, self._take_output)

    @classmethod
    async def open(cls, child: Child) -> ProcessLink:
        """Speak to a child on this event loop."""
        # The child keeps its own handle of the socket, which ends the process when it is closed.
        reader, writer = await asyncio.open_unix_connection(sock=child.channel.dup())
        return cls(child, reader, writer)

    async def begin(self, order: Frame) -> None:
        """Send the first frame; what comes may be about twice as large, and has its token. FrameError."""
        self._token = order["token"].encode()
        data = encode(order)
        self._max_bytes += 2 * len(data)
        self._max_parts += 2 * parts_of(data)
        await self._send(data)

    async def read(self) -> RunFrame | None:
        """What the process says next, None at its end; FrameError."""
        if self._spent_s > _pace.WORK_S:
            spent_s, self._spent_s = self._spent_s, 0.0
            await _pace.rest(spent_s)
        body = await read_body(self._reader, self._max_bytes)
        if body is None:
            return None
        began = time.thread_time()
        try:
            return self._understood(body)
        finally:
            self._spent_s += time.thread_time() - began

    def _understood(self, body: bytes) -> RunFrame:
        if parts_of(body) > self._max_parts:
            raise FrameError("a frame has too many parts")
        frame = decoded(body)
        token = frame.pop("token", None)
        if not isinstance(token, str) or not hmac.compare_digest(token.encode(), self._token):
            raise FrameError("a frame has not the run's token")
        return checked(frame)

    async def send(self, frame: Frame) -> None:
        """Send one, and wait while the process takes no more. FrameError if it is too long.

        What the process does not live to read is lost: who reads from it finds its end. One frame at a time
        waits in memory, however many calls are made and dropped by a process that reads nothing.
        """
        await self._send(encode(frame))

    async def _send(self, data: bytes) -> None:
        async with self._sending:
            with suppress(ConnectionError):
                await self._writer.drain()
                self._writer.write(data)
                await self._writer.drain()

    def close(self) -> str:
        """Nothing more is sent or read; what the process printed."""
        self._loop.remove_reader(self._output)
        self._take_output()
        self._writer.transport.abort()
        return self._printed.decode("utf-8", "replace")

    def _take_output(self) -> None:
        try:
            block = os.read(self._output, _BLOCK_BYTES)
        except BlockingIOError:
            return
        if not block:
            self._loop.remove_reader(self._output)
        self._printed += block[: MAX_OUTPUT_BYTES - len(self._printed)]
