"""The server's end of the socket to a process of an agent, and of the pipe with what it prints."""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress

from agents_app.isolation.frames import Frame, encode
from agents_app.isolation.processes import MAX_OUTPUT_BYTES, Child

_BLOCK_BYTES = 65_536


class ProcessLink:
    """Frames out and in. What the process prints is read all the time, and kept in part."""

    def __init__(self, child: Child, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self._writer = writer
        self._output = child.output
        self._printed = bytearray()
        self._sending = asyncio.Lock()
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._output, self._take_output)

    @classmethod
    async def open(cls, child: Child) -> ProcessLink:
        """Speak to a child on this event loop."""
        # The child keeps its own handle of the socket, which ends the process when it is closed.
        reader, writer = await asyncio.open_unix_connection(sock=child.channel.dup())
        return cls(child, reader, writer)

    async def send(self, frame: Frame) -> int:
        """Send one, and wait while the process takes no more; its bytes. FrameError if it is too long.

        What the process does not live to read is lost: who reads from it finds its end. One frame at a time
        waits in memory, however many calls are made and dropped by a process that reads nothing.
        """
        data = encode(frame)
        async with self._sending:
            with suppress(ConnectionError):
                await self._writer.drain()
                self._writer.write(data)
                await self._writer.drain()
        return len(data)

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
