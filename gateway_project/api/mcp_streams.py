"""Streams from the gateway to MCP clients: which lists changed, and how far a call is.

A stream of changes holds no messages. What was sent last is in the event's id, so whoever comes back with it
(`Last-Event-ID`), at whichever process, is told what changed since.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TypeGuard
from uuid import UUID

from gateway_project.api.mcp_exchange import McpExchange, as_event
from gateway_project.api.second_look import may_still_enter
from gateway_project.core.errors import Overloaded, RateLimited
from gateway_project.lifecycle import lifecycle
from security_app.registry.identities import INFERENCE
from tools_app.services.mcp_client.results import without_unseen
from tools_app.services.mcp_gateway.changes import Marks, marks_of, read_marks, section_version
from tools_app.services.mcp_gateway.protocol import SUBSCRIPTION_KEY, RpcId, notification_body

# The scope that all doors of the MCP gateway ask for.
ACCESS = "inference"
MAX_STREAMS = 2000
MAX_STREAMS_OF_A_KEY = 64
_LOOK_S = 1.0
_MAX_WAITING = 64
# What waits for a slow client is a client's token and a server's words, so both are bounded.
_MAX_TOKEN_CHARS = 256
_MAX_MESSAGE_CHARS = 2000
# A message by the kind of list that changed, and the marks of all lists then.
Told = Callable[[str, Marks], bytes]


class ChangeFeed:
    """Wakes the streams of this process when there is something to look at: one timer for all of them."""

    def __init__(self) -> None:
        self._streams: set[asyncio.Event] = set()
        self._by_key: Counter[UUID | None] = Counter()
        self._task: asyncio.Task[None] | None = None

    @contextmanager
    def entered(self, key_id: UUID | None) -> Iterator[asyncio.Event]:
        """An event that is set when a stream should look around; raises where there are too many."""
        if len(self._streams) >= MAX_STREAMS:
            raise Overloaded("Too many streams are open; try again later.", headers={"retry-after": "30"})
        if self._by_key[key_id] >= MAX_STREAMS_OF_A_KEY:
            raise RateLimited("This key has too many streams open.", headers={"retry-after": "30"})
        stream = asyncio.Event()
        self._streams.add(stream)
        self._by_key[key_id] += 1
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._watch())
        try:
            yield stream
        finally:
            self._streams.discard(stream)
            self._by_key[key_id] -= 1
            if not self._by_key[key_id]:
                del self._by_key[key_id]
            if not self._streams and self._task is not None:
                self._task.cancel()
                self._task = None

    async def _watch(self) -> None:
        seen = None
        while True:
            snapshot = lifecycle.snapshot()
            if snapshot is not seen or lifecycle.is_draining:
                seen = snapshot
                for stream in self._streams:
                    stream.set()
            await asyncio.sleep(_LOOK_S)


feed = ChangeFeed()


async def follow_changes(
    exchange: McpExchange, server: str, *, told: Told, until: float, first: bytes = b"", last: bytes = b""
) -> None:
    """Tell of changed lists until `until` (seconds since 1970), the key's end, or that of the gateway.

    `first` and `last` are what the stream begins and ends with.
    """
    principal = exchange.caller().principal
    if principal.expires_at:
        until = min(until, principal.expires_at)
    with feed.entered(principal.key_id) as stirred:
        before = marks_of(lifecycle.snapshot(), server)
        seen = read_marks(exchange.header(b"last-event-id")) or before
        exchange.is_stream = True
        exchange.watch()
        await exchange.start_stream()
        if first:
            await exchange.send_piece(first)
        version = -2
        while not lifecycle.is_draining and time.time() < until and may_still_enter(exchange, INFERENCE):
            snapshot = lifecycle.snapshot()
            if section_version(snapshot) != version:
                version, now = section_version(snapshot), marks_of(snapshot, server)
                for kind in now.changed(seen):
                    if message := told(kind, now):
                        await exchange.send_piece(message)
                seen = now
            stirred.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(max(until - time.time(), 0)):
                    await stirred.wait()
        await exchange.end_stream(last)


def told_by_id(kind: str, marks: Marks) -> bytes:
    """A message of a session's stream: its id lets the client come back to it."""
    return as_event(notification_body(f"notifications/{kind}/list_changed"), str(marks))


def told_to(subscription: RpcId, wanted: set[str]) -> Told:
    """The messages of a subscription, for the kinds that it wants."""

    def told(kind: str, marks: Marks) -> bytes:
        if kind not in wanted:
            return b""
        meta = {"_meta": {SUBSCRIPTION_KEY: subscription}}
        return as_event(notification_body(f"notifications/{kind}/list_changed", meta))

    return told


def is_progress_token(token: object) -> TypeGuard[RpcId]:
    """Whether a request is told of its progress under this."""
    return isinstance(token, int) if not isinstance(token, str) else len(token) <= _MAX_TOKEN_CHARS


class ProgressEvents:
    """Sends a call's progress as events before its result. Nobody waits for a client that reads slowly."""

    def __init__(self, exchange: McpExchange, token: RpcId) -> None:
        self._exchange = exchange
        self._token = token
        self._waiting: deque[bytes] = deque()
        self._task: asyncio.Task[None] | None = None

    async def __call__(self, progress: float, total: float | None, message: str | None) -> None:
        """As `tools_app.entry.Progress`."""
        params = {"progressToken": self._token, "progress": progress}
        if total is not None:
            params["total"] = total
        if message is not None:
            params["message"] = without_unseen(message[:_MAX_MESSAGE_CHARS])
        if len(self._waiting) >= _MAX_WAITING:
            self._waiting.popleft()
        self._waiting.append(as_event(notification_body("notifications/progress", params)))
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._send())

    async def _send(self) -> None:
        await self._exchange.start_stream()
        while self._waiting:
            await self._exchange.send_piece(self._waiting.popleft())

    async def finish(self) -> None:
        """Return once all of it is sent."""
        if self._task is not None:
            await self._task

    def close(self) -> None:
        """Send no more."""
        if self._task is not None:
            self._task.cancel()
