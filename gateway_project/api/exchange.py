"""One request and its answer at an inference door, on bare ASGI.

It reads a bounded body, notices when the client leaves, and writes a plain answer or a stream. Django's
request and response objects would cost more than all the policy between them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from time import monotonic, perf_counter
from typing import Any

from gateway_project.core.codec import dumps
from gateway_project.core.context import RequestContext
from gateway_project.core.deadline import DISCONNECTED, TOTAL, CallScope
from gateway_project.core.errors import (
    GatewayError,
    InvalidRequest,
    PayloadTooLarge,
    RequestTimeout,
    UnsupportedMediaType,
)
from gateway_project.core.extensions import HEAD_LINES
from gateway_project.core.ids import correlation_id, printable, uuid7
from gateway_project.core.limits import limits
from gateway_project.core.sse import HEARTBEAT
from security_app.services.authentication import bearer_token
from upstreams_app.services.relay import error_event

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
HeaderList = list[tuple[bytes, bytes]]

_JSON = (b"content-type", b"application/json")
_SSE_HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache, no-transform"),
    (b"x-accel-buffering", b"no"),
]


class ClientLeft(Exception):
    """The client closed its connection before the request was read."""


class Exchange:
    """A request being answered. `status` is what was sent, 0 before."""

    __slots__ = (
        "_early_start_at",
        "_is_complete",
        "_is_opaque",
        "_last_sent",
        "_lines",
        "_loop",
        "_receive",
        "_send",
        "_send_tasks",
        "_take_lines",
        "_watch_task",
        "client_ip",
        "context",
        "correlation_id",
        "cors_headers",
        "headers",
        "holder",
        "is_stream",
        "method",
        "model_id",
        "path",
        "path_params",
        "principal_id",
        "query",
        "request_id",
        "request_name",
        "scope",
        "started",
        "status",
    )

    def __init__(self, asgi_scope: Message, receive: Receive, send: Send, scope: CallScope) -> None:
        self._receive = receive
        self._send = send
        self._loop = asyncio.get_running_loop()
        self.scope = scope
        self.method: str = asgi_scope["method"]
        self.path: str = asgi_scope["path"]
        self.query: bytes = asgi_scope.get("query_string", b"")
        self.headers: dict[bytes, bytes] = dict(asgi_scope["headers"])
        # uvicorn has put there what trusted proxies (GATEWAY_TRUSTED_PROXIES) say, and believes no others.
        client = asgi_scope.get("client")
        self.client_ip: str = client[0] if client else ""
        own_id = self.header(b"x-client-request-id") or self.header(b"x-request-id")
        self.correlation_id = correlation_id(own_id) if own_id else ""
        self.path_params: dict[str, str] = {}
        self.cors_headers: HeaderList = []
        self.context: RequestContext | None = None
        self.request_id = uuid7()
        self.request_name = "req_" + self.request_id.hex
        self.started = perf_counter()
        self.status = 0
        self.is_stream = False
        self.model_id = ""
        self.principal_id = ""
        # Whom a key belongs to, from when it is known: a request may be refused before it has a context.
        self.holder: Any = None
        extensions = asgi_scope.get("extensions")
        self._take_lines: Callable[[bytes], None] | None = extensions.get(HEAD_LINES) if extensions else None
        self._lines = b""
        self._is_complete = False
        # What goes out is not ours to add to.
        self._is_opaque = False
        self._last_sent = 0.0
        self._early_start_at = 0.0
        self._watch_task: asyncio.Task[None] | None = None
        self._send_tasks: set[asyncio.Task[None]] = set()

    def caller(self) -> RequestContext:
        """Who asks, at a door that not everybody may enter."""
        if self.context is None:
            raise RuntimeError("nobody was let in yet")
        return self.context

    def header(self, name: bytes) -> str:
        """A request header by its lower-case name, "" if it is absent."""
        value = self.headers.get(name)
        return value.decode("latin-1") if value is not None else ""

    def token(self) -> str:
        """The key that the request shows, as OpenAI's, Anthropic's or Azure's clients do; "" without one."""
        authorization = self.headers.get(b"authorization")
        if authorization is not None and (token := bearer_token(authorization.decode("latin-1"))):
            return token
        return self.other_key()

    def other_key(self) -> str:
        """The key beside a token in the header Authorization; "" without one."""
        return self.header(b"x-api-key") or self.header(b"api-key")

    def elapsed_ms(self) -> float:
        """Milliseconds since the request arrived."""
        return (perf_counter() - self.started) * 1000

    # Reading

    async def read_body(self) -> bytes:
        """The whole body; raises for a wrong type, one that is too large, or too slow a client."""
        self._check_body_headers()
        self.scope.enter_phase("body", limits.body_timeout_s)
        try:
            message = await self._receive()
            if message["type"] == "http.request" and not message.get("more_body"):
                body: bytes = message.get("body", b"")
            else:
                body = await self._read_pieces(message)
        except asyncio.CancelledError:
            if self.scope.expired_phase != "body":
                raise
            self.scope.absorb()
            raise RequestTimeout(
                f"The body did not arrive within {limits.body_timeout_s:g} s.",
                headers={"connection": "close"},
            ) from None
        finally:
            self.scope.leave_phase()
        if len(body) > limits.max_body_bytes:
            raise self._too_large()
        # Most calls are quicker than a tick, and need no watching.
        self.watch()
        return body

    async def read_piece(self) -> tuple[bytes, bool]:
        """The next piece of the body and whether it is the last; RequestTimeout from too slow a client."""
        self.scope.enter_phase("body", limits.body_timeout_s)
        try:
            message = await self._receive()
        except asyncio.CancelledError:
            if self.scope.expired_phase not in ("body", TOTAL):
                raise
            self.scope.absorb()
            raise RequestTimeout(
                f"The body came too slowly: nothing for {limits.body_timeout_s:g} s, or little for long.",
                headers={"connection": "close"},
            ) from None
        finally:
            self.scope.leave_phase()
        if message["type"] == "http.disconnect":
            raise ClientLeft
        return message.get("body", b""), not message.get("more_body")

    def watch(self) -> None:
        """No more of the body is wanted: from the next tick on, notice when the client leaves.

        Does no harm when it is called again.
        """
        self.scope.on_tick = self._tick

    async def _read_pieces(self, message: Message) -> bytes:
        pieces: list[bytes] = []
        size = 0
        while True:
            if message["type"] == "http.disconnect":
                raise ClientLeft
            piece = message.get("body", b"")
            size += len(piece)
            if size > limits.max_body_bytes:
                raise self._too_large()
            pieces.append(piece)
            if not message.get("more_body"):
                return b"".join(pieces)
            message = await self._receive()

    def _check_body_headers(self) -> None:
        length = self.headers.get(b"content-length")
        if length is not None and length.isdigit() and int(length) > limits.max_body_bytes:
            raise self._too_large()
        encoding = self.headers.get(b"content-encoding")
        if encoding is not None and encoding.lower() != b"identity":
            raise UnsupportedMediaType(
                "Send the body without a content encoding.", headers={"connection": "close"}
            )
        if self.headers.get(b"content-type", b"").startswith(b"multipart/"):
            raise UnsupportedMediaType("Send the body as application/json.", headers={"connection": "close"})

    @staticmethod
    def _too_large() -> PayloadTooLarge:
        return PayloadTooLarge(
            f"The body is larger than {limits.max_body_bytes} bytes.", headers={"connection": "close"}
        )

    def _tick(self, now: float) -> None:
        """Several times a second: watch for the client's leaving, start streams early, send heartbeats."""
        if self._watch_task is None:
            self._watch_task = self._loop.create_task(self._watch())
        if not self.is_stream or self._is_complete:
            return
        if not self.status:
            if now >= self._early_start_at:
                self._own(self._send_start_and_comment())
        elif now - self._last_sent >= limits.heartbeat_s and not self._send_tasks:
            self._last_sent = now
            self._own(self._send_heartbeat())

    async def _watch(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.scope.cancel(DISCONNECTED)

    # Writing

    def add_header(self, name: bytes, value: bytes) -> None:
        """A header of the answer to come; `header_value` makes a value of any text."""
        if b"\n" in value or b"\r" in value:
            raise ValueError("A header's value has no line breaks.")
        self._lines += b"%b: %b\r\n" % (name, value)

    def add_lines(self, lines: bytes) -> None:
        """Several headers of the answer to come as they stand on the wire: fixed names and plain numbers."""
        self._lines += lines

    async def _send_head(self, status: int, headers: HeaderList) -> None:
        """The status, these headers and those that were added."""
        for name, value in self.cors_headers:
            self.add_header(name, value)
        if self.correlation_id:
            self.add_header(b"x-client-request-id", self.correlation_id.encode())
        lines = b"x-request-id: %b\r\n%b" % (self.request_name.encode(), self._lines)
        if self._take_lines is not None:
            # The server would look at each of them again.
            self._take_lines(lines)
        else:
            headers = [*headers, *_headers_in(lines)]
        await self._send({"type": "http.response.start", "status": status, "headers": headers})

    async def send_body(
        self,
        status: int,
        body: bytes,
        *,
        content_type: tuple[bytes, bytes] = _JSON,
        extra: HeaderList | None = None,
    ) -> None:
        """A plain answer. For HEAD the body's length is told and the body left out."""
        self.status = status
        headers = [content_type, (b"content-length", b"%d" % len(body))]
        if extra:
            # What an error says of itself counts, not what was said before it was known.
            said = {name for name, _ in extra}
            before = [header for header in _headers_in(self._lines) if header[0] not in said]
            headers += [*before, *extra]
            self._lines = b""
        self._is_complete = True
        await self._send_head(status, headers)
        await self._send({"type": "http.response.body", "body": b"" if self.method == "HEAD" else body})

    def expect_stream(self) -> None:
        """The client asked for a stream: if the first event takes long, answer 200 and comments meanwhile."""
        self.is_stream = True
        self._early_start_at = monotonic() + limits.stream_header_wait_s

    @property
    def is_started(self) -> bool:
        """Whether the status went out already."""
        return self.status != 0

    async def start_stream(self) -> None:
        """Send the head of a stream, once; from then on errors are events."""
        if self.status:
            return
        self.status = 200
        self._last_sent = monotonic()
        await self._send_head(200, _SSE_HEADERS)

    async def send_piece(self, piece: bytes) -> None:
        """More of the stream."""
        self._last_sent = monotonic()
        await self._send({"type": "http.response.body", "body": piece, "more_body": True})

    async def end_stream(self, last: bytes = b"") -> None:
        """The end of the stream, with its last bytes; nothing if it has ended."""
        if self._is_complete:
            return
        self._is_complete = True
        await self._send({"type": "http.response.body", "body": last, "more_body": False})

    async def start_opaque(self, status: int, headers: HeaderList) -> None:
        """Send the head of an answer that is somebody else's; if it breaks off, so does the connection."""
        self.status, self._is_opaque = status, True
        await self._send_head(status, headers)

    async def send_error(self, error: GatewayError) -> None:
        """An error as an answer, or as the last event if the stream has begun."""
        if self._is_opaque:
            # The server closes the connection of an answer without an end: clients see that it is cut.
            return
        if self.is_started:
            await self.end_stream(error_event(error))
            return
        await self.send_body(error.status, dumps(error.body()), extra=error_headers(error))

    async def _send_start_and_comment(self) -> None:
        await self.start_stream()
        await self._send_heartbeat()

    async def _send_heartbeat(self) -> None:
        if not self._is_complete:
            await self.send_piece(HEARTBEAT)

    def _own(self, work: Any) -> None:
        task = self._loop.create_task(work)
        self._send_tasks.add(task)
        task.add_done_callback(self._send_tasks.discard)

    def close(self) -> None:
        """End of the exchange: helper tasks stop. Nothing may be left that only the collector could free."""
        self.scope.close()
        watch_task, self._watch_task = self._watch_task, None
        if watch_task is not None:
            watch_task.cancel()
        for task in self._send_tasks:
            task.cancel()


def error_headers(error: GatewayError) -> HeaderList:
    """What an error says in headers."""
    return [(name.encode(), value.encode("latin-1", "replace")) for name, value in error.headers.items()]


def _headers_in(lines: bytes) -> HeaderList:
    """Header lines as a list of names and values."""
    headers: HeaderList = []
    for line in lines.split(b"\r\n")[:-1]:
        name, _, value = line.partition(b": ")
        headers.append((name, value))
    return headers


def header_value(value: str) -> bytes:
    """Printable ASCII for a header; everything else becomes a question mark."""
    return printable(value).encode()


def require_json_text(body: bytes) -> None:
    """JSON is UTF-8 (RFC 8259, section 8.1)."""
    if body.isascii():
        return
    try:
        body.decode()
    except UnicodeDecodeError as error:
        raise InvalidRequest("The body is not valid UTF-8.") from error
