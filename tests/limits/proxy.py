"""A way to Valkey that can be made slow, and that can lose answers."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit, urlunsplit


class Proxy:
    """Listens while its block runs; `url` leads through it. The attributes may be changed at any time."""

    def __init__(self, url: str) -> None:
        self._target = urlsplit(url)
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.url = ""
        # Each answer comes so much later.
        self.delay_s = 0.0
        # So many answers are lost, each with its connection.
        self.lost = 0

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        user = self._target.netloc.rpartition("@")[0]
        self.url = urlunsplit(self._target._replace(netloc=f"{user}@127.0.0.1:{port}"))
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            up_reader, up_writer = await asyncio.open_connection(self._target.hostname, self._target.port)
            with suppress(OSError):
                async with asyncio.TaskGroup() as group:
                    group.create_task(self._copy(reader, up_writer, is_answer=False))
                    group.create_task(self._copy(up_reader, writer, is_answer=True))
        finally:
            writer.close()
            up_writer.close()
            self._tasks.discard(task)

    async def _copy(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, is_answer: bool
    ) -> None:
        while data := await reader.read(65_536):
            if is_answer:
                await asyncio.sleep(self.delay_s)
                # What signs in is let through.
                if self.lost and data != b"+OK\r\n":
                    self.lost -= 1
                    break
            writer.write(data)
            await writer.drain()
        writer.close()
