"""A small HTTP/1.1 server on asyncio streams in a thread of its own, for fakes that misbehave by the byte.

It keeps connections alive, counts them, records requests, and notices at once when a client leaves in the
middle of an answer. What is answered is decided by the `Responder`.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Self

from tests.fakes.exchange import Exchange, Header, RecordedRequest

Responder = Callable[[Exchange], Awaitable[None]]
START_TIMEOUT_S = 10.0
READ_SIZE = 65_536


class HttpServer:
    """`with` starts and stops it; `failures` are exceptions of the responder, raised again at the end."""

    def __init__(self, responder: Responder) -> None:
        self.requests: list[RecordedRequest] = []
        self.failures: list[BaseException] = []
        self.connections_total = 0
        self.port = 0
        self._responder = responder
        self._connections: set[_Connection] = set()
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._run, name="fake-http-server", daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None

    @property
    def connections_open(self) -> int:
        """Connections that are open now."""
        return len(self._connections)

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._started.wait(START_TIMEOUT_S), "the fake server did not start"
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()
        if error is None and self.failures:
            raise self.failures[0]

    def stop(self) -> None:
        """Close the door and all connections; the port refuses connections from then on."""
        if self._loop is not None and self._stop is not None and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join(START_TIMEOUT_S)

    def close_connections(self) -> None:
        """Close all connections, as a vendor does with idle ones; new ones are welcome."""
        assert self._loop is not None
        done = threading.Event()

        def close_all() -> None:
            for connection in list(self._connections):
                connection.task.cancel()
            done.set()

        self._loop.call_soon_threadsafe(close_all)
        assert done.wait(START_TIMEOUT_S)

    def _run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        self._started.set()
        await self._stop.wait()
        server.close()
        tasks = [connection.task for connection in self._connections]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections_total += 1
        task = asyncio.current_task()
        assert task is not None
        connection = _Connection(self, reader, writer, self.connections_total, task)
        self._connections.add(connection)
        try:
            await connection.serve()
        except asyncio.CancelledError:
            return  # We cancelled it ourselves, to close the connection.
        finally:
            self._connections.discard(connection)

    async def respond(self, exchange: Exchange) -> None:
        """Answer by the responder; what it raises is kept for the end of the test."""
        try:
            await self._responder(exchange)
        except ConnectionError:
            raise
        except Exception as error:  # noqa: BLE001 - A mistake in a test's script must fail that test.
            self.failures.append(error)
            exchange.close()


class _Connection:
    """One client's connection: a pump fills the buffer, so that the client's leaving is seen at any time."""

    def __init__(
        self,
        server: HttpServer,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        number: int,
        task: asyncio.Task[None],
    ) -> None:
        self.task = task
        self._server = server
        self._reader = reader
        self._writer = writer
        self._number = number
        self._count = 0
        self._buffer = bytearray()
        self._arrived = asyncio.Event()
        self._left = asyncio.Event()

    async def serve(self) -> None:
        """Requests until one side ends the connection."""
        pump = asyncio.create_task(self._pump())
        try:
            while (request := await self._read_request()) is not None:
                self._server.requests.append(request)
                if not await self._answer(request):
                    break
            self._writer.close()
            with contextlib.suppress(OSError):
                await self._writer.wait_closed()
        except asyncio.CancelledError:
            self._writer.transport.abort()  # A client that reads no more must not hold us up.
            with contextlib.suppress(OSError):
                await self._writer.wait_closed()  # The socket is closed in the loop's next turn only.
            raise
        finally:
            pump.cancel()

    async def _pump(self) -> None:
        with contextlib.suppress(OSError):
            while data := await self._reader.read(READ_SIZE):
                self._buffer += data
                self._arrived.set()
        self._left.set()
        self._arrived.set()

    async def _answer(self, request: RecordedRequest) -> bool:
        """Answer a request; whether the connection stays."""
        exchange = Exchange(request, self._writer)
        answering = asyncio.create_task(self._server.respond(exchange))
        leaving = asyncio.create_task(self._left.wait())
        try:
            await asyncio.wait({answering, leaving}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            is_done = answering.done()
            answering.cancel()
            leaving.cancel()
            results = await asyncio.gather(answering, leaving, return_exceptions=True)
        if is_done and not isinstance(results[0], ConnectionError):
            request.finished.set()
            return exchange.keeps_alive
        request.mark_aborted()
        return False

    async def _read_request(self) -> RecordedRequest | None:
        head = await self._take_until(b"\r\n\r\n")
        if head is None:
            return None
        first, *lines = head.decode("latin-1").split("\r\n")[:-2]
        method, target, _version = first.split(" ", 2)
        headers = [_header(line) for line in lines]
        self._count += 1
        request = RecordedRequest(method, target, headers, b"", self._number, self._count)
        if (request.header("expect") or "").lower() == "100-continue":
            self._writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        body = await self._read_body(request)
        if body is None:
            return None
        request.body = body
        return request

    async def _read_body(self, request: RecordedRequest) -> bytes | None:
        if (request.header("transfer-encoding") or "").lower() != "chunked":
            return await self._take(int(request.header("content-length") or 0))
        body = b""
        while (line := await self._take_until(b"\r\n")) is not None:
            size = int(line.split(b";")[0], 16)
            data = await self._take(size + 2)
            if data is None or size == 0:
                return body if data is not None else None
            body += data[:-2]
        return None

    async def _take_until(self, mark: bytes) -> bytes | None:
        while (end := self._buffer.find(mark)) < 0:
            if not await self._more():
                return None
        return await self._take(end + len(mark))

    async def _take(self, size: int) -> bytes | None:
        while len(self._buffer) < size:
            if not await self._more():
                return None
        data = bytes(self._buffer[:size])
        del self._buffer[:size]
        return data

    async def _more(self) -> bool:
        """Wait for more bytes; False if the client has left."""
        if self._left.is_set():
            return False
        self._arrived.clear()
        await self._arrived.wait()
        return True


def _header(line: str) -> Header:
    name, _, value = line.partition(":")
    return name, value.strip()
