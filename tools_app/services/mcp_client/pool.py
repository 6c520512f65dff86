"""The MCP servers of a server process: one supervisor for its event loop, a link and a watcher for each.

Started and stopped by the lifecycle. Whoever calls a server from another event loop (a trial in the admin)
gets a session of its own for the call.
"""

from __future__ import annotations

import asyncio
import secrets
from contextlib import suppress
from typing import Any
from uuid import UUID

from gateway_project.core.snapshot import Snapshot
from security_app.services.configuration import store
from tools_app.mcp_entry import McpServerEntry
from tools_app.registry import servers_of
from tools_app.services.mcp_client.failures import McpFailure, McpTimeout
from tools_app.services.mcp_client.link import McpLink, Request
from tools_app.services.mcp_client.session import McpSession
from tools_app.services.mcp_client.watcher import McpWatcher

_RECONCILE_S = 1.0
_INTERVAL_S = 15.0
# What runs in sessions of a configuration that was changed may go on so long.
_DRAIN_S = 60.0


class McpPool:
    """All sessions of one event loop."""

    def __init__(self, *, interval_s: float = _INTERVAL_S) -> None:
        self._interval_s = interval_s
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self._watchers: dict[UUID, McpWatcher] = {}
        self._draining: set[McpWatcher] = set()
        self._closing: set[asyncio.Task[None]] = set()
        self._seen: Snapshot | None = None
        self._holder = ""

    def start(self) -> None:
        """Begin; nothing waits for a server."""
        self._loop = asyncio.get_running_loop()
        self._holder = secrets.token_hex(16)
        self._task = self._loop.create_task(self._run())

    async def stop(self) -> None:
        """End all sessions, and the processes behind them."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        # What still drains has had its time.
        for closing in self._closing:
            closing.cancel()
        watchers, self._watchers = [*self._watchers.values(), *self._draining], {}
        await asyncio.gather(*(_ended(watcher) for watcher in watchers))
        if self._closing:
            await asyncio.wait(set(self._closing))
        self._loop = None
        self._seen = None

    async def request(self, server: McpServerEntry, ask: Request, *, timeout_s: float | None = None) -> Any:
        """One request to a server by the SDK's client; McpFailure for what comes to nothing."""
        if self._task is None or self._loop is not asyncio.get_running_loop():
            return await asked_once(server, ask, timeout_s=timeout_s)
        return await self._link(server).request(ask, timeout_s=timeout_s)

    def open_sessions(self) -> dict[str, int]:
        """How many sessions are open, by the names of their servers."""
        return {watcher.server.name: watcher.link.open_sessions for watcher in self._watchers.values()}

    def _link(self, server: McpServerEntry) -> McpLink:
        """The link for this configuration, or the newer one that is there already."""
        watcher = self._watchers.get(server.id)
        if watcher is not None and watcher.server.version >= server.version:
            return watcher.link
        current = servers_of(store.current.sections).get(server.name)
        if current is None or current.id != server.id:
            raise McpFailure("it is served no more", was_sent=False)
        return self._watch(current).link

    def _watch(self, server: McpServerEntry) -> McpWatcher:
        old = self._watchers.pop(server.id, None)
        if old is not None:
            self._drain(old)
        watcher = McpWatcher(server, holder=self._holder, interval_s=self._interval_s)
        self._watchers[server.id] = watcher
        return watcher

    def _drain(self, watcher: McpWatcher) -> None:
        """End a configuration that is no more, as soon as its calls are over."""
        self._draining.add(watcher)
        task = asyncio.get_running_loop().create_task(self._drained(watcher))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def _drained(self, watcher: McpWatcher) -> None:
        await watcher.close(drain_s=_DRAIN_S)
        self._draining.discard(watcher)
        if watcher.server.id not in self._watchers:
            await watcher.release()

    async def _run(self) -> None:
        """Keep a watcher for each enabled server."""
        while True:
            snapshot = store.current
            if snapshot is not self._seen:
                self._reconcile({one.id: one for one in servers_of(snapshot.sections).values()})
                self._seen = snapshot
            await asyncio.sleep(min(_RECONCILE_S, self._interval_s))

    def _reconcile(self, servers: dict[UUID, McpServerEntry]) -> None:
        for key in list(self._watchers):
            if key not in servers:
                self._drain(self._watchers.pop(key))
        for key, server in servers.items():
            known = self._watchers.get(key)
            if known is None or known.server.version != server.version:
                self._watch(server)


async def asked_once(server: McpServerEntry, ask: Request, *, timeout_s: float | None = None) -> Any:
    """One request in a session that is made for it; McpFailure for what comes to nothing."""
    try:
        async with asyncio.timeout(server.total_timeout_s):
            session = McpSession(server)
            try:
                await session.wait_until_ready()
                return await session.ask(ask(session.client), timeout_s=timeout_s or server.call_timeout_s)
            finally:
                await session.wait_until_closed()
    except TimeoutError as error:
        raise McpTimeout(f"it did not answer within {server.total_timeout_s:g} s in all") from error


async def _ended(watcher: McpWatcher) -> None:
    await watcher.close()
    await watcher.release()


mcp_pool = McpPool()
