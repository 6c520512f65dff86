"""Requests whose bodies stream by: sent piece by piece, as fast as the upstream takes them."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress

from upstreams_app.errors import StaleConnection
from upstreams_app.services.http1 import Connection
from upstreams_app.services.http_pool import ConnectionPool
from upstreams_app.services.outbound import OutboundRequest
from upstreams_app.services.phases import Phases

_BODILESS_METHODS = frozenset({"GET", "HEAD", "DELETE", "OPTIONS"})


def framing(request: OutboundRequest) -> bytes:
    """The headers that say where the body ends, and the end of the head."""
    length = len(request.body) if request.pieces is None else request.length
    if length is None:
        return b"Transfer-Encoding: chunked\r\n\r\n"
    if not length and request.method in _BODILESS_METHODS:
        return b"\r\n"
    return b"Content-Length: %d\r\n\r\n" % length


async def send_streaming(
    pool: ConnectionPool, head: bytes, request: OutboundRequest, phases: Phases
) -> Connection:
    """The connection with the head of an answer.

    A kept connection may have died unnoticed: it is tried only where all of the body can be sent again.
    """
    is_bodiless = request.method == "HEAD"
    connection = pool.take() if request.is_kept else None
    if connection is not None:
        phases.begin_first_token()
        with suppress(StaleConnection):
            body = _body(request, phases)
            await connection.ask(head, request.body, pieces=body, is_bodiless=is_bodiless)
            return connection
    phases.begin_connect()
    connection = await pool.connect()
    phases.begin_first_token()
    await connection.ask(head, request.body, pieces=_body(request, phases), is_bodiless=is_bodiless)
    return connection


def _body(request: OutboundRequest, phases: Phases) -> AsyncGenerator[bytes, None] | None:
    if request.pieces is None:
        return None
    return _timed(request.pieces(), phases, is_chunked=request.length is None)


async def _timed(
    pieces: AsyncGenerator[bytes, None], phases: Phases, *, is_chunked: bool
) -> AsyncGenerator[bytes, None]:
    """The pieces; each has the time of a first token to be taken, and so has the answer after the last."""
    async with aclosing(pieces):
        async for piece in pieces:
            phases.begin_first_token()
            if piece:
                yield b"%x\r\n%b\r\n" % (len(piece), piece) if is_chunked else piece
    phases.begin_first_token()
    if is_chunked:
        yield b"0\r\n\r\n"
