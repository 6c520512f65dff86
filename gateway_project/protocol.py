"""uvicorn's HTTP protocol with bounds on request heads and stalled peers, and answers written at once.

httptools takes heads of any size, in quadratic time, and uvicorn waits for one without an end. Here a head
has a size and a time; what is neither a head nor a body (trailers, chunk extensions) has the same size.

uvicorn writes the head and the body of an answer apart: two system calls, each of which costs more than
composing the answer. Here the head waits for the first piece of the body, at most until the event loop's
next turn.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from django.conf import settings
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from gateway_project.core.codec import dumps
from gateway_project.core.errors import GatewayError, InvalidRequest, RequestTimeout
from gateway_project.core.extensions import HEAD_LINES
from gateway_project.stalled import EndsWhenStalled

logger = logging.getLogger(__name__)
MAX_HEAD_BYTES = 64 * 1024
_SWEEP_S = 1.0


class JoinedWrites:
    """A transport that joins an answer's head with the write after it; all else is the transport's own."""

    __slots__ = ("_head", "_lines", "_loop", "_transport", "is_closing", "resume_reading")

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._head = b""
        self._lines = b""
        # Asked for with each request, where a search by `__getattr__` would be felt.
        self.is_closing = transport.is_closing
        self.resume_reading = transport.resume_reading

    def add_lines(self, lines: bytes) -> None:
        """Header lines, each with its line break, to go out with the next head."""
        self._lines += lines

    def write(self, data: bytes) -> None:
        """Write now, unless it is a head."""
        if self._head:
            data, self._head = self._head + data, b""
            self._transport.write(data)
        elif data.startswith(b"HTTP/1."):
            if self._lines and not data.startswith(b"HTTP/1.1 100"):
                # Before the empty line that ends the head.
                data, self._lines = b"%b%b\r\n" % (data[:-2], self._lines), b""
            self._head = data
            self._loop.call_soon(self._flush)
        else:
            self._transport.write(data)

    def close(self) -> None:
        """Close once everything is written."""
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        head, self._head = self._head, b""
        if head and not self._transport.is_closing():
            self._transport.write(head)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class HeadTooLarge(Exception):
    """Raised into the parser, which has nothing more to do with this connection."""


class JoiningProtocol(EndsWhenStalled, HttpToolsProtocol):
    """uvicorn's protocol on httptools, over a transport that joins writes, with bounded heads."""

    # Bytes since the last head or piece of a body was complete; until data is parsed, with all of that data.
    _received = 0
    _has_progressed = False
    _is_head_too_large = False
    _is_upgraded = False
    is_waiting = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client connected."""
        joined = JoinedWrites(transport, self.loop)
        self._add_lines = joined.add_lines
        super().connection_made(joined)  # type: ignore[arg-type]
        waiting.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        waiting.remove(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse what came. Whatever is neither the end of a head nor of a body must not go on for long."""
        self._received += len(data)
        self._has_progressed = False
        super().data_received(data)
        if self._has_progressed:
            self._received = 0
        elif self._received > MAX_HEAD_BYTES:
            self._refuse(_head_too_large())
        if not self.is_waiting and not self._is_upgraded and not self._is_answering():
            # An unfinished head, or the rest of a body that was answered early: uvicorn has ended its own
            # timeout for idle connections.
            waiting.add(self)

    def on_message_begin(self) -> None:
        """A request begins: its application may add header lines to the answer."""
        super().on_message_begin()
        self.scope["extensions"] = {HEAD_LINES: self._add_lines}  # type: ignore[dict-item]

    def on_headers_complete(self) -> None:
        """A head is complete: the request starts."""
        if self._received > MAX_HEAD_BYTES and self._head_size() > MAX_HEAD_BYTES:
            self._is_head_too_large = True
            raise HeadTooLarge
        self._has_progressed = True
        if self.is_waiting:
            waiting.remove(self)
        super().on_headers_complete()

    def handle_websocket_upgrade(self) -> None:
        """The connection is another protocol's from now on."""
        self._is_upgraded = True
        super().handle_websocket_upgrade()

    def on_body(self, body: bytes) -> None:
        """A piece of a body came."""
        self._has_progressed = True
        super().on_body(body)

    def send_400_response(self, msg: str) -> None:
        """Answer what the parser could not take, or was not to take."""
        if self._is_head_too_large:
            self._refuse(_head_too_large())
        else:
            super().send_400_response(msg)

    def time_out(self) -> None:
        """The time for a head is over; whoever began one is told so."""
        if self._is_answering():
            return
        if self._received:
            self._refuse(RequestTimeout(f"The head did not arrive within {settings.HEAD_TIMEOUT_S:g} s."))
        else:
            self.transport.close()

    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _head_size(self) -> int:
        return len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)

    def _refuse(self, error: GatewayError) -> None:
        """Answer and close; without an answer if that of an earlier request is under way."""
        if self.transport.is_closing():
            return
        logger.info("http.head_refused", extra={"status": error.status})
        if not self._is_answering():
            body = dumps(error.body())
            head = b"content-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n"
            self.transport.write(STATUS_LINE[error.status] + head % len(body) + body)
        self.transport.close()


class WaitingConnections:
    """The connections of the process's event loop that owe us a head, swept each second while there are any.

    One sweep for all, since a timer for each request would cost more than all else that is done here.
    """

    def __init__(self) -> None:
        self._since: dict[JoiningProtocol, float] = {}  # The longest waiting first.
        self._is_sweeping = False

    def add(self, connection: JoiningProtocol) -> None:
        """Begin to wait for a connection's head."""
        connection.is_waiting = True
        self._since[connection] = connection.loop.time()
        if not self._is_sweeping:
            self._is_sweeping = True
            connection.loop.call_later(_SWEEP_S, self._sweep, connection.loop)

    def remove(self, connection: JoiningProtocol) -> None:
        """The head came, or the connection went."""
        connection.is_waiting = False
        self._since.pop(connection, None)

    def _sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        last = loop.time() - settings.HEAD_TIMEOUT_S
        for connection, since in list(self._since.items()):
            if since > last:
                break
            self.remove(connection)
            connection.time_out()
        self._is_sweeping = bool(self._since)
        if self._is_sweeping:
            loop.call_later(_SWEEP_S, self._sweep, loop)


waiting = WaitingConnections()


def _head_too_large() -> GatewayError:
    return InvalidRequest(
        f"The head of the request is larger than {MAX_HEAD_BYTES} bytes.",
        status=431,
        code="request_head_too_large",
    )
