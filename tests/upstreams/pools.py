"""Pools of connections to a loopback server, whatever a name is to lead to."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable

from gateway_project.core.outbound import Address, GuardedResolver, LookUp, look_up
from upstreams_app.services.http1 import Connection
from upstreams_app.services.http_pool import ConnectionPool
from upstreams_app.services.request_head import endpoint

ASK = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"
NAME = "models.example"


def pool_of(
    url: str,
    *,
    look_up: LookUp = look_up,
    tls: ssl.SSLContext | None = None,
    server_name: str | None = None,
    allow_private: bool = True,
) -> ConnectionPool:
    """A pool for this base URL."""
    resolver = GuardedResolver(allow_private=allow_private, look_up=look_up)
    return ConnectionPool(endpoint(url), resolver=resolver, tls=tls, server_name=server_name)


async def ask(pool: ConnectionPool, connection: Connection | None = None) -> Connection:
    """One whole exchange, its connection not yet given back."""
    connection = connection or pool.take() or await pool.connect()
    await connection.ask(ASK, b"")
    assert await connection.read_any() == b"hi"
    return connection


async def until(is_so: Callable[[], bool]) -> None:
    """Wait until it is so."""
    async with asyncio.timeout(5):
        while not is_so():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


def leading_to(*addresses: str) -> LookUp:
    """Answers each name with these addresses."""

    async def answer(host: str, port: int) -> list[Address]:
        return [
            Address(socket.AF_INET6, (address, port, 0, 0))
            if ":" in address
            else Address(socket.AF_INET, (address, port))
            for address in addresses
        ]

    return answer
