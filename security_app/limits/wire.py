"""One connection to Valkey that speaks as much of its protocol (RESP2) as a script's caller needs.

Commands of one tick of the event loop go out in one write, answers come back in order. A connection that
answers late is given up with everything that waits on it.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple, Self, cast

from redis.asyncio.connection import parse_url

# When the loop was busy, an answer may lie in the socket unread: looked at before it counts as late.
_GRACE_S = 0.01
# A handshake is several round trips and much computing.
_TLS_TIMEOUT_S = 2.0


class WireError(Exception):
    """The connection is gone or late: what was asked may have been done, or not."""


class ErrorReply(Exception):
    """Valkey refused a command; the first word is its code."""


class Address(NamedTuple):
    """Where a Valkey is, from a REDIS_URL."""

    host: str
    port: int
    database: int
    credentials: tuple[str, ...]
    tls: ssl.SSLContext | None

    @classmethod
    def parse(cls, url: str) -> Self:
        """`redis://` or `rediss://` as redis-py reads them, with its `ssl_…` options."""
        options: dict[str, Any] = dict(parse_url(url))
        credentials = tuple(options[name] for name in ("username", "password") if options.get(name))
        is_tls = url.startswith("rediss:")
        return cls(
            host=str(options.get("host", "localhost")),
            port=int(options.get("port", 6379)),
            database=int(options.get("db", 0)),
            credentials=credentials if options.get("password") else (),
            tls=_tls(options) if is_tls else None,
        )


def _tls(options: dict[str, Any]) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=options.get("ssl_ca_certs"))
    if options.get("ssl_check_hostname") in (False, "false", "False", "no", "0"):
        context.check_hostname = False
    if str(options.get("ssl_cert_reqs", "required")).lower() == "none":
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if options.get("ssl_certfile"):
        context.load_cert_chain(options["ssl_certfile"], options.get("ssl_keyfile"))
    return context


class Wire(asyncio.Protocol):
    """Made by `connect`. `on_lost` is told once why an open connection ended, unless by `close`."""

    def __init__(self, timeout_s: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._timeout_s = timeout_s
        self._on_lost: Callable[[str], None] | None = None
        self._transport: asyncio.Transport | None = None
        self._waiting: deque[tuple[float, asyncio.Future[bytes]]] = deque()
        self._out: list[bytes] = []
        self._buffer = b""
        self._watch: asyncio.TimerHandle | None = None
        self._reason = "connection lost"

    @classmethod
    async def connect(cls, address: Address, timeout_s: float, on_lost: Callable[[str], None]) -> Self:
        """An open connection, signed in; raises OSError, TimeoutError, WireError or ErrorReply."""
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(timeout_s if address.tls is None else _TLS_TIMEOUT_S):
            _, wire = await loop.create_connection(
                lambda: cls(timeout_s), address.host, address.port, ssl=address.tls
            )
        try:
            answers = []
            if address.credentials:
                answers.append(wire.send(b"AUTH", *(part.encode() for part in address.credentials)))
            if address.database:
                answers.append(wire.send(b"SELECT", b"%d" % address.database))
            await asyncio.gather(*answers)
        except BaseException:
            wire.close()
            raise
        wire._on_lost = on_lost
        return wire

    def send(self, *parts: bytes) -> asyncio.Future[bytes]:
        """Ask; the future raises WireError or ErrorReply."""
        answer: asyncio.Future[bytes] = self._loop.create_future()
        if self._transport is None:
            answer.set_exception(WireError(self._reason))
            return answer
        if not self._out:
            self._loop.call_soon(self._flush)
        self._out.append(b"*%d\r\n" % len(parts))
        for part in parts:
            self._out.append(b"$%d\r\n%b\r\n" % (len(part), part))
        deadline = self._loop.time() + self._timeout_s
        self._waiting.append((deadline, answer))
        if self._watch is None:
            self._watch = self._loop.call_at(deadline, self._look, False)
        return answer

    def close(self) -> None:
        """End the connection without telling."""
        self._on_lost = None
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Part of asyncio's protocol."""
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, error: Exception | None) -> None:
        """Part of asyncio's protocol: nobody waits in vain."""
        self._transport = None
        if self._watch is not None:
            self._watch.cancel()
        waiting, self._waiting = self._waiting, deque()
        for _, answer in waiting:
            if not answer.done():
                answer.set_exception(WireError(self._reason))
        if self._on_lost is not None:
            self._on_lost(self._reason)
            self._on_lost = None

    def data_received(self, data: bytes) -> None:
        """Part of asyncio's protocol: give each whole answer to whom it belongs."""
        buffer = self._buffer + data if self._buffer else data
        at = 0
        while (end := buffer.find(b"\r\n", at)) >= 0:
            kind, value = buffer[at], buffer[at + 1 : end]
            stop = end + 2
            if kind == 36:  # $: a length, then so many bytes; -1 for none
                length = int(value)
                if length >= 0:
                    stop += length + 2
                    if stop > len(buffer):
                        break
                    value = buffer[end + 2 : stop - 2]
            elif kind not in (43, 45, 58):  # + - :
                self._abort("unexpected answer")
                return
            at = stop
            self._answer(ErrorReply(value.partition(b" ")[0].decode()) if kind == 45 else value)
        self._buffer = buffer[at:]

    def _answer(self, value: bytes | ErrorReply) -> None:
        if not self._waiting:
            self._abort("unexpected answer")
            return
        _, answer = self._waiting.popleft()
        # Who asked may have been cancelled.
        if answer.done():
            return
        if isinstance(value, ErrorReply):
            answer.set_exception(value)
        else:
            answer.set_result(value)

    def _flush(self) -> None:
        if self._transport is not None:
            self._transport.write(b"".join(self._out))
        self._out.clear()

    def _look(self, is_second: bool) -> None:
        """Give the connection up if its oldest question is late."""
        self._watch = None
        if not self._waiting:
            return
        deadline = self._waiting[0][0]
        if deadline > self._loop.time():
            self._watch = self._loop.call_at(deadline, self._look, False)
        elif is_second:
            self._abort("timeout")
        else:
            self._watch = self._loop.call_later(_GRACE_S, self._look, True)

    def _abort(self, reason: str) -> None:
        self._reason = reason
        if self._transport is not None:
            self._transport.abort()
