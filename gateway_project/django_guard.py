"""What stands before Django's own handler, which takes in a whole body before any view or authentication.

A body that is declared larger than the limit is refused unread; one without a length is counted as it
comes, and none may take longer than a body at an inference door. Django never gets more than the limit, and
never enough to write it to disk.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from time import perf_counter

from django.conf import settings

from gateway_project.api.exchange import Message, Receive, Send
from gateway_project.core.errors import GatewayError, PayloadTooLarge, RequestTimeout
from gateway_project.refusal import refuse

Application = Callable[[Message, Receive, Send], Awaitable[None]]


class DjangoGuard:
    """An ASGI application around another one, for HTTP requests: 413 for a large body, 408 for a slow one."""

    def __init__(self, application: Application) -> None:
        self._application = application

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Hand a request on, unless its body is, or turns out to be, too large or too slow."""
        limit: int = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
        if _declared_length(scope) > limit:
            await refuse(scope, send, _too_large(limit), started=perf_counter())
            return
        body = _GuardedBody(scope, receive, send, limit)
        await self._application(scope, body.receive, body.send)


class _GuardedBody:
    """Counts and times what an application receives.

    Past a limit it answers in the application's place, and tells it that the client left.
    """

    def __init__(self, scope: Message, receive: Receive, send: Send, limit: int) -> None:
        self._scope = scope
        self._receive = receive
        self._send = send
        self._rest = limit
        self._limit = limit
        self._started = perf_counter()
        self._deadline = asyncio.get_running_loop().time() + settings.BODY_TIMEOUT_S
        self._is_complete = False
        self._is_answered = False
        self._is_refused = False

    async def receive(self) -> Message:
        if self._is_refused:
            return {"type": "http.disconnect"}
        if self._is_complete:
            # What is left to hear is that the client leaves, which may take as long as the answer.
            return await self._receive()
        try:
            async with asyncio.timeout_at(self._deadline):
                message = await self._receive()
        except TimeoutError:
            timeout_s = settings.BODY_TIMEOUT_S
            return await self._refuse(RequestTimeout(f"The body did not arrive within {timeout_s:g} s."))
        self._is_complete = not message.get("more_body")
        self._rest -= len(message.get("body", b""))
        return message if self._rest >= 0 else await self._refuse(_too_large(self._limit))

    async def _refuse(self, error: GatewayError) -> Message:
        self._is_refused = True
        if not self._is_answered:
            await refuse(self._scope, self._send, error, started=self._started)
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


def _too_large(limit: int) -> PayloadTooLarge:
    return PayloadTooLarge(f"The body is larger than {limit} bytes.")
