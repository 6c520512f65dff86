"""Looking after one MCP server: its lists, its health, its state, one process of all at a time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import timedelta
from time import monotonic
from typing import Any
from uuid import UUID

from django.db import Error
from django.db.models import Q

from gateway_project.core.clock import utc_now
from gateway_project.core.db import in_thread
from tools_app.mcp_entry import McpServerEntry
from tools_app.models import McpServerState
from tools_app.services.mcp_catalogue import store_listing
from tools_app.services.mcp_client.failures import McpFailure
from tools_app.services.mcp_client.link import McpLink
from tools_app.services.mcp_client.listing import read_listing
from tools_app.services.mcp_client.session import McpSession

logger = logging.getLogger(__name__)
READY, FAILING = "ready", "failing"
# A server that says over and over that its lists changed is asked no more often than this.
_LEAST_BETWEEN_LISTS_S = 2.0
# Each look at lists that changed something doubles the wait for the next, up to this; quiet halves it.
_MOST_BETWEEN_LISTS_S = 600.0
_LEASE_FACTOR = 3
_LEAST_LEASE_S = 15.0
_PING_S = 10.0
# One that does not answer is tried sooner again.
_RETRY_S = 5.0
_NEVER = float("-inf")


class McpWatcher:
    """The task that looks after one configuration of a server, in one process."""

    def __init__(self, server: McpServerEntry, *, holder: str, interval_s: float) -> None:
        self.server = server
        self.link = McpLink(server, on_message=self._hear, on_open=self._note_session)
        self._holder = holder
        self._interval_s = interval_s
        self._changed = asyncio.Event()
        self._listed_at = _NEVER
        self._is_first = True
        self._sessions = 0
        self._least_s = min(_LEAST_BETWEEN_LISTS_S, interval_s)
        self._between_s = self._least_s
        self._listening: asyncio.Task[None] | None = None
        self._told = ""
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def close(self, *, drain_s: float = 0.0) -> None:
        """End it and its sessions; calls that run have so long to end by themselves."""
        self._task.cancel()
        await asyncio.wait({self._task})
        if self._listening is not None:
            self._listening.cancel()
            await asyncio.wait({self._listening})
        await self.link.close(drain_s=drain_s)

    async def release(self) -> None:
        """Let another process look at once."""
        try:
            await in_thread(give_back, self.server.id, self._holder)
        except Error:
            # The lease ends by itself.
            logger.info("mcp.lease_not_released", extra={"server": self.server.name})

    def _hear(self, message: Any) -> None:
        """Of what a server says unasked, that its lists changed is what counts here."""
        if str(getattr(message, "method", "")).endswith("/list_changed"):
            self._changed.set()

    def _note_session(self) -> None:
        """A server that is met anew may be another than it was: its lists are read again."""
        self._sessions += 1
        if self._sessions > 1:
            self._changed.set()

    async def _run(self) -> None:
        while True:
            try:
                if self._changed.is_set() or await in_thread(
                    take, self.server.id, self._holder, max(_LEAST_LEASE_S, self._interval_s * _LEASE_FACTOR)
                ):
                    await self._look()
            except Error as error:
                logger.warning(
                    "mcp.state_not_kept", extra={"server": self.server.name, "reason": type(error).__name__}
                )
            except Exception:
                # Whatever a server managed to break, the next look is made.
                logger.exception("mcp.look_failed", extra={"server": self.server.name})
            self.link.tidy()
            await self._wait()

    async def _wait(self) -> None:
        """Until the next look is due, or the server says that something changed."""
        wait_s = self._interval_s if self._told != FAILING else min(self._interval_s, _RETRY_S)
        try:
            async with asyncio.timeout(wait_s):
                await self._changed.wait()
        except TimeoutError:
            return
        left_s = self._listed_at + self._between_s - monotonic()
        if left_s > 0:
            await asyncio.sleep(min(left_s, self._interval_s))

    async def _look(self) -> None:
        started = monotonic()
        try:
            async with asyncio.timeout(self.server.total_timeout_s):
                session = await self.link.session()
                started = monotonic()
                if self._is_listing_due():
                    await self._list(session)
                else:
                    await _ping(session)
        except McpFailure as failure:
            await self._note(FAILING, None, failure.reason)
        except TimeoutError:
            await self._note(FAILING, None, "it did not answer in time")
        else:
            await self._note(READY, (monotonic() - started) * 1000, "")

    def _is_listing_due(self) -> bool:
        age_s = monotonic() - self._listed_at
        if self._changed.is_set():
            return age_s >= self._between_s
        return age_s >= self.server.refresh_interval_s

    async def _list(self, session: McpSession) -> None:
        # What changes from here on is for the next look, and so is a look that fails.
        self._changed.clear()
        self._listed_at = _NEVER
        listing = await read_listing(session)
        changes = await in_thread(store_listing, self.server.id, listing)
        factor = 2 if changes.count and not self._is_first else 0.5
        self._between_s = min(_MOST_BETWEEN_LISTS_S, max(self._least_s, self._between_s * factor))
        self._listed_at = monotonic()
        self._is_first = False
        self._listen(session)

    def _listen(self, session: McpSession) -> None:
        """Since 2026-07-28 a server tells of changes only whom it is asked to."""
        from mcp_types.version import MODERN_PROTOCOL_VERSIONS

        if session.client.protocol_version not in MODERN_PROTOCOL_VERSIONS:
            return
        if self._listening is None or self._listening.done():
            self._listening = asyncio.get_running_loop().create_task(_heard(session, self._changed.set))

    async def _note(self, state: str, latency_ms: float | None, error: str) -> None:
        if state == FAILING:
            # Whoever comes back may be another than it was.
            self._listed_at = _NEVER
        if state != self._told:
            log = logger.info if state == READY else logger.warning
            log("mcp.server_state", extra={"server": self.server.name, "state": state, "reason": error})
            self._told = state
        await in_thread(note_state, self.server.id, state, latency_ms, error)


async def _heard(session: McpSession, tell: Callable[[], None]) -> None:
    try:
        async with session.client.listen(
            tools_list_changed=True, prompts_list_changed=True, resources_list_changed=True
        ) as subscription:
            # What changed between the lists and this, nobody told.
            tell()
            async for _ in subscription:
                tell()
    except Exception as error:  # noqa: BLE001  (of the SDK; the next look listens again, the timer looks anyway)
        logger.debug("mcp.not_listening", extra={"server": session.server.name, "reason": str(error)[:200]})


async def _ping(session: McpSession) -> None:
    """Whether it answers: by a ping, or what took its place in 2026-07-28."""
    from mcp_types.version import MODERN_PROTOCOL_VERSIONS

    client = session.client
    version = client.protocol_version
    if version in MODERN_PROTOCOL_VERSIONS:
        await session.ask(client.session.send_discover(version), timeout_s=_PING_S)
    else:
        await session.ask(client.send_ping(), timeout_s=_PING_S)


def take(server_id: UUID, holder: str, lease_s: float) -> bool:
    """Whether this process is to look after a server now; the lease is its own until it ends."""
    now = utc_now()
    free = Q(lease_until=None) | Q(lease_until__lt=now) | Q(holder=holder)
    values = {"holder": holder, "lease_until": now + timedelta(seconds=lease_s)}
    rows = McpServerState.objects.filter(server=server_id)
    if rows.filter(free).update(**values):
        return True
    if rows.exists():
        return False
    state = McpServerState(server_id=server_id, **values)
    McpServerState.objects.bulk_create([state], ignore_conflicts=True)
    return bool(rows.filter(holder=holder).exists())


def give_back(server_id: UUID, holder: str) -> None:
    """End the own lease."""
    McpServerState.objects.filter(server=server_id, holder=holder).update(holder="", lease_until=None)


def note_state(server_id: UUID, state: str, latency_ms: float | None, error: str) -> None:
    """Keep what a look found."""
    now = utc_now()
    rows = McpServerState.objects.filter(server=server_id)
    rows.exclude(state=state).update(state=state, since=now)
    rows.update(
        checked_at=now, latency_ms=None if latency_ms is None else round(latency_ms, 3), error=error[:300]
    )
