"""One HTTP/1.1 connection to an upstream: a request out, its answer in, then perhaps the next.

llhttp (by httptools) parses. Nothing is decoded, followed or stored here; which connection a call gets is
`http_pool`'s business, and what its head says `request_head`'s.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from contextlib import aclosing
from typing import Any, NoReturn

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from upstreams_app.errors import StaleConnection, UpstreamUnreachable

MAX_HEAD_BYTES = 64 * 1024
MAX_BUFFERED_BYTES = 128 * 1024
# Up to this size a body is joined with the head to one write; above it, copying costs more than a call.
_JOINED_BODY_BYTES = 64 * 1024
_CLOSED_EARLY = "the connection was closed before an answer"
_UNUSABLE = "the answer was not usable HTTP ({})"


class Headers(Mapping[str, str]):
    """An answer's headers by name in any case; of several with one name, the first."""

    __slots__ = ("_values",)

    def __init__(self, values: dict[bytes, bytes]) -> None:
        self._values = values

    def __getitem__(self, name: str) -> str:
        return self._values[name.lower().encode()].decode("latin-1").strip(" \t")

    def get(self, name: str, default: Any = None) -> Any:
        """As of any mapping, but without an exception for a header that is not there, as mostly."""
        value = self._values.get(name.lower().encode())
        return default if value is None else value.decode("latin-1").strip(" \t")

    def __iter__(self) -> Iterator[str]:
        return (name.decode("latin-1") for name in self._values)

    def __len__(self) -> int:
        return len(self._values)


def _parser_for(connection: Connection) -> HttpResponseParser:
    """A parser that takes what small servers write: line ends without CR, and folded or odd header values."""
    parser = HttpResponseParser(connection)
    parser.set_dangerous_leniencies(
        lenient_headers=True, lenient_optional_cr_before_lf=True, lenient_spaces_after_chunk_size=True
    )
    return parser


class _EndOfParsing(Exception):
    """Raised into the parser: what came is not for us."""


class Connection(asyncio.Protocol):
    """An open connection, idle or with one exchange under way: `ask`, `read_any`, then `finish` or `abort`.

    Whoever asks owns it until then. It closes itself when bytes come that nobody asked for.
    """

    __slots__ = (
        "_buffered",
        "_failure",
        "_has_bytes",
        "_has_head",
        "_is_bodiless",
        "_is_complete",
        "_is_early_end_likely",
        "_is_full",
        "_is_idle",
        "_is_paused",
        "_keeps_alive",
        "_loop",
        "_on_lost",
        "_parser",
        "_pieces",
        "_times_asked",
        "_transport",
        "_unproductive",
        "_values",
        "_waiter",
        "idle_since",
        "status",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop, on_lost: Callable[[Connection], None]) -> None:
        self._loop = loop
        self._on_lost = on_lost
        self._parser: HttpResponseParser | None = _parser_for(self)
        self._transport: asyncio.Transport | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._is_idle = True
        self._times_asked = 0
        self.idle_since = 0.0
        self._reset()

    def _reset(self) -> None:
        self.status = 0
        self._values: dict[bytes, bytes] = {}
        self._pieces: list[bytes] = []
        self._buffered = 0
        # Bytes since the last piece of a body; until the head is complete, all of them.
        self._unproductive = 0
        self._failure = ""
        self._has_bytes = self._has_head = self._is_complete = self._is_paused = self._keeps_alive = False
        self._is_early_end_likely = self._is_bodiless = self._is_full = False

    # The exchange.

    async def ask(
        self,
        head: bytes,
        body: bytes,
        *,
        pieces: AsyncGenerator[bytes, None] | None = None,
        is_bodiless: bool = False,
    ) -> None:
        """Send a request and wait for the head of its answer: then `status` and `headers` are known.

        `pieces` follow the body, as fast as they are taken, until an answer comes. `is_bodiless` says that
        the answer will have no body, whatever its head tells (HEAD).

        UpstreamUnreachable if none comes, StaleConnection if this connection had only died since its last
        use. The connection is closed then, as it is on cancellation.
        """
        self._reset()
        self._is_idle = False
        self._is_bodiless = is_bodiless
        self._times_asked += 1
        is_cut = False
        try:
            transport = self._open_transport()
            if len(body) <= _JOINED_BODY_BYTES:
                transport.write(head + body)
            else:
                transport.write(head)
                transport.write(body)
            if pieces is not None:
                is_cut = await self._send(transport, pieces)
            while not self._has_head:
                if self._failure == _CLOSED_EARLY:
                    raise self._early_end()
                if self._failure:
                    raise UpstreamUnreachable(self._failure)
                await self._arrival()
        except BaseException:
            self.abort()
            raise
        # Servers refuse large bodies without reading them, and may not tell that they close.
        self._is_early_end_likely = is_cut or (self.status >= 300 and len(body) > _JOINED_BODY_BYTES)

    async def _send(self, transport: asyncio.Transport, pieces: AsyncGenerator[bytes, None]) -> bool:
        """Send pieces while they are taken; whether the answer, or the end, came before the last one."""
        async with aclosing(pieces):
            async for piece in pieces:
                if self._has_head or self._failure:
                    return True
                transport.write(piece)
                while self._is_full and not self._has_head and not self._failure:
                    await self._arrival()
        return False

    def _open_transport(self) -> asyncio.Transport:
        transport = self._transport
        if transport is None or transport.is_closing():
            raise self._early_end()
        return transport

    def _early_end(self) -> UpstreamUnreachable:
        kind = StaleConnection if self._times_asked > 1 and not self._has_bytes else UpstreamUnreachable
        return kind(_CLOSED_EARLY)

    @property
    def headers(self) -> Headers:
        """The headers of the answer that `ask` waited for."""
        return Headers(self._values)

    @property
    def is_at_end(self) -> bool:
        """Whether the whole body has been read."""
        return self._is_complete and not self._pieces

    async def read_any(self) -> bytes:
        """All of the body that is here, else its next piece; b"" at its end.

        UpstreamUnreachable if it breaks off, after what came before has been read.
        """
        while not self._pieces:
            if self._is_complete:
                return b""
            if self._failure:
                raise UpstreamUnreachable(self._failure)
            await self._arrival()
        pieces, self._pieces, self._buffered = self._pieces, [], 0
        if self._is_paused:
            self._is_paused = False
            if self._transport is not None and not self._transport.is_closing():
                self._transport.resume_reading()
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def finish(self) -> bool:
        """End the exchange: whether the connection may serve another; it is closed if not."""
        transport = self._transport
        if (
            self._keeps_alive
            and self.is_at_end
            and not self._is_early_end_likely
            and transport is not None
            and not transport.is_closing()
            # An answer came before all of the request was sent.
            and not transport.get_write_buffer_size()
        ):
            self._is_idle = True
            return True
        self.abort()
        return False

    @property
    def is_usable(self) -> bool:
        """Whether an idle connection is still open, as far as we know."""
        return self._transport is not None and not self._transport.is_closing()

    def abort(self) -> None:
        """Close at once, whatever is under way; who waits for an answer gets an error."""
        if not self._is_complete and not self._failure:
            self._failure = "the connection was closed"
        if self._transport is not None:
            self._transport.abort()

    async def _arrival(self) -> None:
        waiter = self._waiter = self._loop.create_future()
        try:
            await waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    # What the event loop calls.

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """The connection is open, after the handshake of TLS if there is one."""
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Parse what came."""
        parser = self._parser
        if parser is None or self._failure:
            return
        if self._is_idle:
            self.abort()
            return
        self._has_bytes = True
        self._unproductive += len(data)
        try:
            parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade) as error:
            # After the end of the answer: it stays good, the connection does not.
            self._keeps_alive = False
            if not self._is_complete:
                self._fail(self._failure or _UNUSABLE.format(type(error).__name__))
        else:
            if self._unproductive > MAX_HEAD_BYTES:
                self._fail(_UNUSABLE.format("too much that is no body"))
        if self._buffered > MAX_BUFFERED_BYTES and not self._is_paused and self._transport is not None:
            self._is_paused = True
            self._transport.pause_reading()
        self._wake()

    def pause_writing(self) -> None:
        """More is written than is taken."""
        self._is_full = True

    def resume_writing(self) -> None:
        """What was written is mostly taken."""
        self._is_full = False
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone. That is how a body of unknown length ends."""
        if not self._is_complete and not self._failure:
            if not self._has_head:
                self._failure = _CLOSED_EARLY
            elif exc is None and not self._values.keys() & {b"content-length", b"transfer-encoding"}:
                self._is_complete = True
            else:
                self._failure = f"the connection broke off ({type(exc).__name__ if exc else 'too early'})"
        self._keeps_alive = False
        # The parser holds our methods: a cycle that only the collector would free.
        self._parser = None
        self._on_lost(self)
        self._wake()

    def _fail(self, reason: str) -> None:
        self._failure = reason
        if self._transport is not None:
            self._transport.abort()

    # What the parser calls.

    def on_message_begin(self) -> None:
        """An answer begins; after ours, it is one that nobody asked for."""
        if self._is_complete:
            raise _EndOfParsing

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header came, or after the body a trailer, which nobody needs."""
        if not self._has_head:
            self._values.setdefault(name.lower(), value)

    def on_headers_complete(self) -> None:
        """A head is complete: the answer's, or an interim one, which is skipped."""
        parser, values = self._parser, self._values
        if parser is None:
            raise _EndOfParsing
        status = parser.get_status_code()
        if status < 200:
            self._values = {}
            if status in (100, 102, 103):
                return
            self._refuse(f"status {status}")
        if values.get(b"transfer-encoding", b"chunked").strip().lower() != b"chunked":
            self._refuse("transfer encoding")
        if self._unproductive > MAX_HEAD_BYTES and _size(values) > MAX_HEAD_BYTES:
            self._refuse("head too large")
        self.status = status
        self._has_head = True
        self._unproductive = 0
        # The parser would wait for the body that the head describes.
        self._is_complete = self._is_bodiless

    def on_body(self, body: bytes) -> None:
        """A piece of the body came."""
        self._unproductive = 0
        self._pieces.append(body)
        self._buffered += len(body)

    def on_message_complete(self) -> None:
        """The answer is complete, or an interim one."""
        if self._has_head and self._parser is not None:
            self._is_complete = True
            self._keeps_alive = self._parser.should_keep_alive()

    def _refuse(self, reason: str) -> NoReturn:
        self._failure = _UNUSABLE.format(reason)
        raise _EndOfParsing


def _size(values: dict[bytes, bytes]) -> int:
    return sum(len(name) + len(value) + 4 for name, value in values.items())
