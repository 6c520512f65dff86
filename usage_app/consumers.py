"""The live page's WebSocket: who may watch, what is sent and understood. An ASGI application.

Server to page, JSON texts: `ready`, `events` (with the number of dropped ones), `filter` (the one in force)
and `error`. Page to server: `{"type": "filter", …}`. A permission that is gone closes with 4403.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, MutableMapping
from importlib import import_module
from io import BytesIO
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.contrib.auth import get_user
from django.core.exceptions import DisallowedHost
from django.core.handlers.asgi import ASGIRequest
from django.db import Error as DatabaseError
from django.http import HttpRequest
from django.utils.http import is_same_domain

from gateway_project.core.codec import dumps, loads
from gateway_project.core.db import in_thread
from security_app.services.sessions import is_waiting_for_factor
from usage_app.services.live import TRY_AGAIN_LATER, FeedUnavailable, Viewer, feed
from usage_app.services.live_events import BadFilter, EventFilter

Message = MutableMapping[str, Any]
PERMISSION = "usage_app.view_usagerecord"
NOT_ALLOWED = 4403
# So old may be the knowledge that a person still may watch.
RECHECK_S = 3.0
MAX_MESSAGE_BYTES = 4096


async def live_socket(
    scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
) -> None:
    """Serve one connection from its handshake on; strangers and other sites' pages get 403."""
    await receive()
    request = _handshake_request(scope)
    session_key = request.COOKIES.get(settings.SESSION_COOKIE_NAME, "")
    if not _is_from_our_page(request) or not await _may_watch(session_key):
        await send({"type": "websocket.close", "code": NOT_ALLOWED})
        return
    await LiveSocket(session_key, receive, send).run(request)


class LiveSocket:
    """One accepted connection: a reader that takes filters, a writer that sends what the mailbox holds."""

    def __init__(
        self,
        session_key: str,
        receive: Callable[[], Awaitable[Message]],
        send: Callable[[Message], Awaitable[None]],
    ) -> None:
        self._session_key = session_key
        self._receive = receive
        self._send = send
        self._viewer = Viewer(EventFilter())

    async def run(self, request: HttpRequest) -> None:
        """Until either side ends it."""
        await self._send({"type": "websocket.accept"})
        try:
            await self._set_filter(_fields_of_query(request))
            await feed.join(self._viewer)
            is_partial = settings.WEB_CONCURRENCY > 1 and not settings.REDIS_URL
            await self._send_json({"type": "ready", "is_partial": is_partial})
            await self._talk()
        except FeedUnavailable as error:
            await self._close(TRY_AGAIN_LATER, str(error))
        except OSError:
            # The other end is gone.
            return
        finally:
            feed.leave(self._viewer)

    async def _talk(self) -> None:
        tasks = [asyncio.create_task(self._read()), asyncio.create_task(self._write())]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _read(self) -> None:
        while True:
            message = await self._receive()
            if message["type"] == "websocket.disconnect":
                return
            try:
                fields = _fields_of_message(message)
            except BadFilter as error:
                await self._send_json({"type": "error", "message": str(error)})
            else:
                await self._set_filter(fields)

    async def _write(self) -> None:
        checked_at = time.monotonic()
        while True:
            await self._viewer.wait(RECHECK_S)
            if self._viewer.closing is not None:
                await self._close(*self._viewer.closing)
                return
            if time.monotonic() - checked_at >= RECHECK_S:
                try:
                    is_allowed = await _may_watch(self._session_key)
                except DatabaseError:
                    await self._close(TRY_AGAIN_LATER, "The database is away.")
                    return
                if not is_allowed:
                    await self._close(NOT_ALLOWED, "You may not watch any more.")
                    return
                checked_at = time.monotonic()
            events, dropped = self._viewer.take()
            if events or dropped:
                await self._send_json({"type": "events", "events": events, "dropped": dropped})

    async def _set_filter(self, fields: dict[str, object]) -> None:
        """Put a filter in force and say so; a bad one changes nothing."""
        try:
            self._viewer.filter = EventFilter.parse(fields)
        except BadFilter as error:
            await self._send_json({"type": "error", "message": str(error)})
        else:
            await self._send_json({"type": "filter", **fields})

    async def _send_json(self, value: dict[str, object]) -> None:
        await self._send({"type": "websocket.send", "text": dumps(value).decode()})

    async def _close(self, code: int, reason: str) -> None:
        await self._send({"type": "websocket.close", "code": code, "reason": reason})


def _handshake_request(scope: Message) -> ASGIRequest:
    """The handshake as Django sees requests: its headers, cookies and host."""
    is_secure = scope.get("scheme") in ("wss", "https")
    http = {**scope, "type": "http", "method": "GET", "scheme": "https" if is_secure else "http"}
    return ASGIRequest(http, BytesIO())


def _is_from_our_page(request: HttpRequest) -> bool:
    """Whether the handshake comes from a page of this very site, by the rule for the admin's forms."""
    origin = request.headers.get("origin", "")
    try:
        ours = f"{request.scheme}://{request.get_host()}"
    except DisallowedHost:
        return False
    if settings.HTTPS_ONLY and not request.is_secure():
        return False
    return origin == ours or any(_is_trusted(origin, trusted) for trusted in settings.CSRF_TRUSTED_ORIGINS)


def _is_trusted(origin: str, trusted: str) -> bool:
    try:
        found, allowed = urlsplit(origin), urlsplit(trusted)
    except ValueError:
        return False
    return found.scheme == allowed.scheme and is_same_domain(found.netloc, allowed.netloc.removeprefix("*"))


async def _may_watch(session_key: str) -> bool:
    return bool(session_key) and await in_thread(_has_permission, session_key)


def _has_permission(session_key: str) -> bool:
    """Whether the session is alive and its user may see the ledger in the admin, as of now."""
    request = HttpRequest()
    request.session = import_module(settings.SESSION_ENGINE).SessionStore(session_key)
    user = get_user(request)
    if not (user.is_active and getattr(user, "is_staff", False) and user.has_perm(PERMISSION)):
        return False
    return not is_waiting_for_factor(user, request.session)


def _fields_of_query(request: HttpRequest) -> dict[str, object]:
    """A filter as the page has it in its address; `errors_only` is there or not."""
    names = ("model", "key", "upstream", "outcome")
    fields: dict[str, object] = {name: request.GET[name] for name in names if request.GET.get(name)}
    return {**fields, "errors_only": True} if request.GET.get("errors_only") else fields


def _fields_of_message(message: Message) -> dict[str, object]:
    """The fields of a page's message; BadFilter if it is none."""
    text = message.get("text") or message.get("bytes") or ""
    if len(text) > MAX_MESSAGE_BYTES:
        raise BadFilter(f"A message has at most {MAX_MESSAGE_BYTES} bytes.")
    try:
        fields = loads(text)
    except ValueError:
        raise BadFilter("The message is not JSON.") from None
    if not isinstance(fields, dict) or fields.pop("type", None) != "filter":
        raise BadFilter('A message is an object with "type": "filter".')
    return fields
