"""What stands before Django's own handler, which takes in a whole body before any view or authentication.

A body that is declared larger than the limit is refused unread; one without a length is counted as it
comes. Django never gets more than the limit, and never enough to write it to disk.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from time import perf_counter

from django.conf import settings

from gateway_project.api.exchange import Message, Receive, Send
from gateway_project.core.codec import dumps
from gateway_project.core.errors import PayloadTooLarge
from gateway_project.core.ids import public_id, uuid7
from gateway_project.observability.logging import log_event

Application = Callable[[Message, Receive, Send], Awaitable[None]]


class DjangoGuard:
    """An ASGI application around another one, for HTTP requests: 413 instead of a large body."""

    def __init__(self, application: Application) -> None:
        self._application = application

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Hand a request on, unless its body is, or turns out to be, too large."""
        limit: int = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
        if _declared_length(scope) > limit:
            await _refuse(scope, send, limit)
            return
        body = _CountedBody(scope, receive, send, limit)
        await self._application(scope, body.receive, body.send)


class _CountedBody:
    """Counts what an application receives; past the limit it answers and tells it that the client left."""

    def __init__(self, scope: Message, receive: Receive, send: Send, limit: int) -> None:
        self._scope = scope
        self._receive = receive
        self._send = send
        self._rest = limit
        self._limit = limit
        self._is_answered = False
        self._is_refused = False

    async def receive(self) -> Message:
        if self._is_refused:
            return {"type": "http.disconnect"}
        message = await self._receive()
        self._rest -= len(message.get("body", b""))
        if self._rest >= 0:
            return message
        self._is_refused = True
        if not self._is_answered:
            await _refuse(self._scope, self._send, self._limit)
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        if not self._is_refused:
            self._is_answered = True
            await self._send(message)


def _declared_length(scope: Message) -> int:
    """The Content-Length, 0 without one."""
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit():
            return int(value)
    return 0


async def _refuse(scope: Message, send: Send, limit: int) -> None:
    started = perf_counter()
    error = PayloadTooLarge(f"The body is larger than {limit} bytes.")
    body = dumps(error.body())
    request_id = public_id("req", uuid7())
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"connection", b"close"),
        (b"x-request-id", request_id.encode()),
    ]
    await send({"type": "http.response.start", "status": error.status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})
    log_event(
        "http.request",
        {
            "request_id": request_id,
            "method": scope["method"],
            "endpoint": scope["path"][:200],
            "status": error.status,
            "duration_ms": round((perf_counter() - started) * 1000, 3),
            "error_code": error.code,
        },
    )
