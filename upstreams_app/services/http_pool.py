"""Connections to one endpoint: opening them, and keeping idle ones for the next call.

There is no limit on connections in use; `max_concurrency` of the upstream is one on calls.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from itertools import chain, zip_longest

from gateway_project.core.outbound import Address, GuardedResolver
from upstreams_app.errors import UpstreamUnreachable
from upstreams_app.services.http1 import Connection
from upstreams_app.services.request_head import Endpoint

KEEP_IDLE_S = 55.0
# Connections that expire shortly after one another are closed together.
_SWEEP_S = 1.0
# RFC 8305, section 5: how long an address has before the next one is tried beside it.
_HEAD_START_S = 0.25


class ConnectionPool:
    """The connections to one endpoint. The last one used is the next one used, so that spare ones expire.

    ValueError if TLS can't ask for the endpoint's name.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        resolver: GuardedResolver,
        tls: ssl.SSLContext | None,
        server_name: str | None,
    ) -> None:
        self._endpoint = endpoint
        self._resolver = resolver
        self._tls = tls
        self._server_name = (server_name or endpoint.host.rstrip(".")) if tls is not None else None
        if tls is not None:
            # ValueError for a name that no certificate can have; uvloop would not end a handshake with it.
            tls.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_hostname=self._server_name)
        self._loop = asyncio.get_running_loop()
        self._open: set[Connection] = set()
        # The longest idle first.
        self._idle: list[Connection] = []
        self._timer: asyncio.TimerHandle | None = None
        self._is_closed = False

    def take(self) -> Connection | None:
        """An idle connection; None if there is none."""
        while self._idle:
            connection = self._idle.pop()
            if connection.is_usable:
                return connection
        return None

    async def connect(self) -> Connection:
        """A new connection; UpstreamUnreachable if none can be made."""
        try:
            addresses = await self._resolver.resolve(self._endpoint.host, self._endpoint.port)
        except (OSError, UnicodeError) as error:
            raise UpstreamUnreachable("the host name has no usable address") from error
        try:
            connection = await self._open_connection(await connected_socket(addresses))
        except ssl.SSLError as error:
            raise UpstreamUnreachable("TLS failed") from error
        except OSError as error:
            raise UpstreamUnreachable("the connection was refused or failed") from error
        if self._is_closed:
            connection.abort()
            raise UpstreamUnreachable("the connection was closed")
        self._open.add(connection)
        return connection

    async def _open_connection(self, connected: socket.socket) -> Connection:
        try:
            _, connection = await self._loop.create_connection(
                partial(Connection, self._loop, self._forget),
                sock=connected,
                ssl=self._tls,
                server_hostname=self._server_name,
            )
        except BaseException:
            connected.close()
            raise
        return connection

    def give_back(self, connection: Connection) -> None:
        """Take a connection back after an exchange, to keep it if it can serve another."""
        if not connection.finish():
            return
        connection.idle_since = self._loop.time()
        self._idle.append(connection)
        if self._timer is None:
            self._timer = self._loop.call_later(KEEP_IDLE_S, self._sweep)

    def _forget(self, connection: Connection) -> None:
        self._open.discard(connection)
        with suppress(ValueError):
            self._idle.remove(connection)

    def _sweep(self) -> None:
        self._timer = None
        now = self._loop.time()
        while self._idle and self._idle[0].idle_since + KEEP_IDLE_S <= now:
            self._idle.pop(0).abort()
        if self._idle:
            wait_s = max(self._idle[0].idle_since + KEEP_IDLE_S - now, _SWEEP_S)
            self._timer = self._loop.call_later(wait_s, self._sweep)

    def close(self) -> None:
        """Close all connections; exchanges under way break off."""
        self._is_closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._idle.clear()
        for connection in list(self._open):
            connection.abort()


async def connected_socket(addresses: Sequence[Address]) -> socket.socket:
    """A socket connected to the first address that answers; OSError if none does.

    Each has a head start before the next is tried beside it (RFC 8305, "happy eyeballs").
    """
    if len(addresses) == 1:
        return await _connect(addresses[0])
    waiting = _alternating(addresses)
    attempts: list[asyncio.Task[socket.socket]] = []
    winner: asyncio.Task[socket.socket] | None = None
    failure: BaseException = OSError("the name has no address")
    try:
        pending: set[asyncio.Task[socket.socket]] = set()
        while waiting or pending:
            if waiting:
                attempt = asyncio.create_task(_connect(waiting.pop(0)))
                attempts.append(attempt)
                pending.add(attempt)
            done, pending = await asyncio.wait(
                pending, timeout=_HEAD_START_S if waiting else None, return_when=asyncio.FIRST_COMPLETED
            )
            for attempt in done:
                error = attempt.exception()
                if error is None:
                    winner = attempt
                    return attempt.result()
                failure = error
        raise failure
    finally:
        for attempt in attempts:
            if attempt is not winner:
                attempt.cancel()
                attempt.add_done_callback(_discard)


def _alternating(addresses: Sequence[Address]) -> list[Address]:
    """The families in turn, the resolver's favourite first."""
    first = [address for address in addresses if address.family == addresses[0].family]
    others = [address for address in addresses if address.family != addresses[0].family]
    pairs = chain.from_iterable(zip_longest(first, others))
    return [address for address in pairs if address is not None]


def _discard(attempt: asyncio.Task[socket.socket]) -> None:
    if not attempt.cancelled() and attempt.exception() is None:
        attempt.result().close()


async def _connect(address: Address) -> socket.socket:
    connected = socket.socket(address.family, socket.SOCK_STREAM)
    try:
        connected.setblocking(False)
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        await asyncio.get_running_loop().sock_connect(connected, address.place)
    except BaseException:
        connected.close()
        raise
    return connected
