"""A connection to an upstream without a network: bytes in by hand, bytes out in a list."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from upstreams_app.services.http1 import Connection

OK = b"HTTP/1.1 200 OK\r\n"
TWO = OK + b"Content-Length: 2\r\n\r\nhi"


class MemoryTransport(asyncio.Transport):
    """Keeps what is written; closing tells the protocol at the loop's next turn."""

    def __init__(self, protocol: Connection) -> None:
        super().__init__()
        self.written: list[bytes] = []
        self.unsent_bytes = 0
        self.is_paused = False
        self.pauses = 0
        self._protocol = protocol
        self._is_closing = False

    def write(self, data: Any) -> None:
        self.written.append(data)

    def get_write_buffer_size(self) -> int:
        return self.unsent_bytes

    def pause_reading(self) -> None:
        assert not self.is_paused
        self.is_paused = True
        self.pauses += 1

    def resume_reading(self) -> None:
        assert self.is_paused
        self.is_paused = False

    def is_closing(self) -> bool:
        return self._is_closing

    def abort(self) -> None:
        self.lose(None)

    def lose(self, error: Exception | None) -> None:
        if not self._is_closing:
            self._is_closing = True
            asyncio.get_running_loop().call_soon(self._protocol.connection_lost, error)


@dataclass(frozen=True)
class Read:
    """What a caller got."""

    status: int
    headers: dict[str, str]
    body: bytes
    is_reusable: bool


def opened() -> tuple[Connection, MemoryTransport]:
    connection = Connection(asyncio.get_running_loop(), lambda _: None)
    transport = MemoryTransport(connection)
    connection.connection_made(transport)
    return connection, transport


async def exchange(
    pieces: Sequence[bytes], *, ends: bool = False, on: tuple[Connection, MemoryTransport] | None = None
) -> Read:
    """A request answered by these bytes, and with `ends` by the connection's end after them."""
    connection, transport = on or opened()
    asking = asyncio.create_task(connection.ask(b"head", b"body"))
    await asyncio.sleep(0)
    for piece in pieces:
        if not transport.is_closing():
            connection.data_received(piece)
    if ends:
        transport.lose(None)
    async with asyncio.timeout(5):
        await asking
        body = b""
        while piece := await connection.read_any():
            body += piece
    return Read(connection.status, dict(connection.headers), body, connection.finish())
