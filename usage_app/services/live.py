"""The live feed: what the ledger's flusher stored goes to the people who watch, over the channel layer.

    flusher's thread ── publish ──> batch ── one message per 250 ms ──> layer ──> listener ──> viewers

Nothing here waits for a viewer, and with none the flusher pays for one look at a counter. The feed is for
the eye: what it drops is counted and said, the ledger has it all.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from channels.layers import get_channel_layer  # type: ignore[import-untyped]
from django.conf import settings

from gateway_project.core.codec import dumps, loads
from usage_app.entry import UsageEntry
from usage_app.services.live_events import MAX_EVENTS, Batch, Event, EventFilter, to_event
from usage_app.services.live_watch import RemoteWatch

logger = logging.getLogger(__name__)

# Where the page connects to; other WebSockets there are none.
SOCKET_PATH = "/admin/live/socket"
INTERVAL_S = 0.25
GROUP = "live"
# How old the knowledge may be that nobody of another process watches.
LOOK_S = 1.0
_REMOTE_S = 2.5
_RENEW_S = 2.0
_LAYER_TIMEOUT_S = 2.0
_JOIN_TIMEOUT_S = 5.0
GOING_AWAY = 1001
TRY_AGAIN_LATER = 1013


class FeedUnavailable(Exception):
    """Nobody can be let in at present; the text says why, for the person at the page."""


class Viewer:
    """One person's page: a mailbox of bounded size behind a filter. All in the feed's event loop."""

    def __init__(self, event_filter: EventFilter) -> None:
        self.filter = event_filter
        self.closing: tuple[int, str] | None = None
        self._batch = Batch()
        self._wake = asyncio.Event()

    def deliver(self, events: list[Event], dropped: int) -> None:
        """Put what the viewer wants into the mailbox; the oldest are dropped if it was not read."""
        matches = self.filter.matches
        self._batch.add([event for event in events if matches(event)], dropped)
        if self._batch:
            self._wake.set()

    def close(self, code: int, reason: str) -> None:
        """Ask the connection to end."""
        self.closing = self.closing or (code, reason)
        self._wake.set()

    async def wait(self, timeout_s: float) -> None:
        """Until there is something to take or to close, at most so long."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._wake.wait()

    def take(self) -> tuple[list[Event], int]:
        """What is in the mailbox: events and the number of dropped ones."""
        self._wake.clear()
        return self._batch.take()


class LiveFeed:
    """One per process. `publish` and `is_watched` are for any thread, the rest for the server's loop."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._watch: RemoteWatch | None = None
        self._viewers: set[Viewer] = set()
        self._batch = Batch()
        self._sender: asyncio.Task[None] | None = None
        self._look: asyncio.Task[None] | None = None
        self._listener: _Listener | None = None
        self._next_send = 0.0
        self._next_look = 0.0
        self._remote_until = 0.0
        self._is_draining = False
        self._is_failing = False

    def attach(self) -> None:
        """Begin, in the running loop."""
        self._loop = asyncio.get_running_loop()
        self._watch = RemoteWatch(settings.REDIS_URL) if settings.REDIS_URL else None
        self._is_draining = False

    @property
    def is_watched(self) -> bool:
        """Whether somebody watches, as far as is known."""
        return bool(self._viewers) or time.monotonic() < self._remote_until

    def publish(self, entries: Sequence[UsageEntry]) -> None:
        """Show stored entries, the newest last, to whoever watches; returns at once, never raises."""
        loop = self._loop
        if loop is None or not entries:
            return
        if self.is_watched:
            events = [to_event(entry) for entry in entries[-MAX_EVENTS:]]
            self._call(self._offer, events, len(entries) - len(events))
        if self._watch is not None and time.monotonic() >= self._next_look:
            self._next_look = time.monotonic() + LOOK_S
            self._call(self._start_look, () if self.is_watched else entries)

    async def join(self, viewer: Viewer) -> None:
        """Let a page in; returns once it will miss nothing. Raises FeedUnavailable."""
        if self._is_draining or self._loop is None:
            raise FeedUnavailable("The gateway stops.")
        if len(self._viewers) >= settings.LIVE_MAX_CONNECTIONS:
            raise FeedUnavailable("Too many live pages are open.")
        self._viewers.add(viewer)
        if self._listener is None or self._listener.is_done:
            self._listener = _Listener(self._viewers, self._watch)
        try:
            async with asyncio.timeout(_JOIN_TIMEOUT_S):
                await self._listener.ready.wait()
        except TimeoutError as error:
            raise FeedUnavailable("Messages between the gateway's processes do not arrive.") from error

    def leave(self, viewer: Viewer) -> None:
        """The page is gone."""
        self._viewers.discard(viewer)
        if not self._viewers and self._listener is not None:
            self._listener.cancel()
            self._listener = None

    def drain(self) -> None:
        """Send all pages away, and let none in; may be called by a signal's handler."""
        self._is_draining = True
        self._call(self._close_viewers)

    async def detach(self) -> None:
        """End everything that runs for the feed."""
        self._is_draining = True
        self._close_viewers()
        self._loop, watch = None, self._watch
        # Nobody can wait for what a loop that was closed left behind.
        here = asyncio.get_running_loop()
        tasks = [task for task in (self._sender, self._look) if task is not None and task.get_loop() is here]
        for task in tasks:
            task.cancel()
        if self._listener is not None:
            tasks.append(self._listener.cancel())
            self._listener = None
        await asyncio.gather(*tasks, return_exceptions=True)
        if watch is not None:
            await watch.close()

    def _call(self, function: Callable[..., None], *arguments: Any) -> None:
        loop = self._loop
        if loop is not None:
            # A loop that was closed has no viewers either.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(function, *arguments)

    def _close_viewers(self) -> None:
        for viewer in self._viewers:
            viewer.close(GOING_AWAY, "The gateway stops.")

    def _offer(self, events: list[Event], dropped: int) -> None:
        self._batch.add(events, dropped)
        if self._sender is None or self._sender.done():
            self._sender = asyncio.create_task(self._send())

    async def _send(self) -> None:
        """Send what has gathered, at most one message per interval."""
        while self._batch:
            await asyncio.sleep(max(0.0, self._next_send - time.monotonic()))
            self._next_send = time.monotonic() + INTERVAL_S
            events, dropped = self._batch.take()
            body = dumps({"events": events, "dropped": dropped})
            try:
                async with asyncio.timeout(_LAYER_TIMEOUT_S):
                    await get_channel_layer().group_send(GROUP, {"type": "live.events", "body": body})
            except Exception as error:  # noqa: BLE001  (each layer has its own; all mean that it is away)
                # Counted, and told with the next message that arrives.
                self._batch.add((), dropped + len(events))
                self._note_failure(error)
                return
            self._is_failing = False

    def _start_look(self, entries: Sequence[UsageEntry]) -> None:
        if self._look is None or self._look.done():
            self._look = asyncio.create_task(self._look_for_others(entries))

    async def _look_for_others(self, entries: Sequence[UsageEntry]) -> None:
        """Learn whether another process watches; if so, and nobody did before, it gets the entries."""
        if self._watch is None:
            return
        try:
            is_watched = await self._watch.is_watched()
        except Exception as error:  # noqa: BLE001  (as above: Valkey is away)
            self._note_failure(error)
            return
        self._remote_until = time.monotonic() + _REMOTE_S if is_watched else 0.0
        if is_watched and entries:
            newest = [to_event(entry) for entry in entries[-MAX_EVENTS:]]
            self._offer(newest, len(entries) - len(newest))

    def _note_failure(self, error: Exception) -> None:
        if not self._is_failing:
            logger.warning("live.layer_away", extra={"reason": type(error).__name__})
        self._is_failing = True


class _Listener:
    """This process's part in the group, while anybody watches here. If it fails, all are sent away."""

    def __init__(self, viewers: set[Viewer], watch: RemoteWatch | None) -> None:
        self.ready = asyncio.Event()
        self._viewers = viewers
        self._watch = watch
        self._task = asyncio.create_task(self._run())

    @property
    def is_done(self) -> bool:
        return self._task.done()

    def cancel(self) -> asyncio.Task[None]:
        """End it; the task that does so."""
        self._task.cancel()
        return self._task

    async def _run(self) -> None:
        try:
            layer = get_channel_layer()
            async with asyncio.timeout(_LAYER_TIMEOUT_S):
                channel = await layer.new_channel()
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(self._receive(layer, channel))
                    group.create_task(self._renew(layer, channel))
            finally:
                async with asyncio.timeout(_LAYER_TIMEOUT_S):
                    await layer.group_discard(GROUP, channel)
        except Exception as error:  # noqa: BLE001  (each layer has its own; all mean that it is away)
            logger.warning("live.layer_away", extra={"reason": type(error).__name__})
            for viewer in self._viewers:
                viewer.close(TRY_AGAIN_LATER, "Messages between the gateway's processes do not arrive.")

    async def _receive(self, layer: Any, channel: str) -> None:
        while True:
            message = loads((await layer.receive(channel))["body"])
            for viewer in self._viewers:
                viewer.deliver(message["events"], message["dropped"])

    async def _renew(self, layer: Any, channel: str) -> None:
        """Stay in the group, which the layers forget after a time, and in sight of other processes."""
        while True:
            async with asyncio.timeout(_LAYER_TIMEOUT_S):
                await layer.group_add(GROUP, channel)
                if self._watch is not None:
                    await self._watch.announce()
            if self._watch is not None and not self.ready.is_set():
                # By then all processes have looked.
                await asyncio.sleep(LOOK_S)
            self.ready.set()
            await asyncio.sleep(_RENEW_S)


feed = LiveFeed()
