"""Start and stop of what runs behind the doors: one object per process, driven by the server's lifespan.

Start: load the snapshot, start its poller and the ledger's flusher. Stop, after the server has drained:
cancel what still runs, wait for late settlements, end the pollers, flush the ledger, close connections.
A server without lifespan support (daphne) starts it with the first request.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from django.conf import settings

from agents_app.services.agent_tool import serve_with
from agents_app.services.warm_processes import keep_processes_warm
from agents_app.services.watch import folder_watch
from gateway_project.collector import look_rarely
from gateway_project.core.db import close_connections_of_this_thread, in_thread, with_fresh_connections
from gateway_project.core.deadline import SHUTDOWN, Ticker
from gateway_project.core.snapshot import Snapshot
from gateway_project.core.threads import in_own_thread
from gateway_project.observability.logging import writer
from gateway_project.observability.metrics_writer import MetricsWriter
from gateway_project.registries import store
from gateway_project.sole_server import sole_server
from security_app.services import denials
from security_app.services.authorizing import lines as authorizer_lines
from security_app.services.limiting import limiting
from security_app.services.token_supplies import key_watch
from tools_app.services.mcp_client.pool import mcp_pool
from upstreams_app.registry import UpstreamsConfig
from upstreams_app.services import background
from upstreams_app.services.answer_cache.cache import answer_cache
from upstreams_app.services.client import ClientPool
from upstreams_app.services.facts_exchange import facts_exchange
from upstreams_app.services.health_watch import health_watch
from usage_app.services.ledger import ledger
from usage_app.services.live import feed

logger = logging.getLogger(__name__)
_POLL_S = 1.0
# Blocking tools of agents run in the loop's own pool, which Python makes as small as the machine.
_TOOL_THREADS = 64
_CHECK_INTERVAL_S = 0.1
_LATE_WORK_S = 5.0
_FLUSH_S = 5.0
_POLLER_S = 2.0
_METRICS_S = 2.0


class Lifecycle:
    """The background work of one server process, and what the doors ask about it."""

    def __init__(self) -> None:
        self.ticker = Ticker()
        self.is_draining = False
        self.clients = ClientPool()
        self._is_started = False
        self._start_lock: asyncio.Lock | None = None
        self._poller: threading.Thread | None = None
        self._stop_polling = threading.Event()
        self._metrics_writer = MetricsWriter()
        self._check: asyncio.Task[None] | None = None
        self._last_check = 0.0
        self._seen: object = None

    async def ensure_started(self) -> None:
        """Start at the first request if the server has no lifespan; costs nothing afterwards."""
        if self._is_started:
            return
        if self._start_lock is None:
            self._start_lock = asyncio.Lock()
        async with self._start_lock:
            if not self._is_started:
                await self.start()

    async def start(self) -> None:
        """Load the configuration and start the pollers.

        Raises if the database can't be read, and SecondServer if another process counts alone.
        """
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(_TOOL_THREADS, "tools"))
        await in_own_thread(sole_server.take)
        await in_thread(store.refresh)
        await in_own_thread(keep_processes_warm, store.current)
        feed.attach()
        ledger.start()
        await limiting.start(settings.REDIS_URL)
        facts_exchange.start(settings.REDIS_URL, self.clients)
        answer_cache.start(settings.REDIS_URL)
        health_watch.start(self.clients)
        key_watch.start()
        mcp_pool.start()
        serve_with(self.clients, self.ticker)
        self._stop_polling = threading.Event()
        self._poller = threading.Thread(
            target=self._poll, args=(self._stop_polling,), name="snapshot-poller", daemon=True
        )
        self._poller.start()
        self._metrics_writer.start()
        self._is_started = True
        self.is_draining = False
        # What is loaded by now lives as long as the process: the collector need not look at it again.
        gc.collect()
        gc.freeze()
        look_rarely()
        logger.info("server.started", extra=self.summary())

    def summary(self) -> dict[str, object]:
        """What this process serves, for the log at start."""
        snapshot = store.current
        upstreams: UpstreamsConfig = snapshot.sections["upstreams"].value
        return {
            "version": settings.VERSION,
            "database": settings.DATABASES["default"]["ENGINE"].rpartition(".")[2],
            "upstreams": sorted(upstreams.upstreams),
            "models": len(upstreams.models),
            "keys": len(snapshot.sections["security"].value.keys),
            "diagnostics": [f"{item.object}: {item.message}" for item in snapshot.diagnostics()][:20],
        }

    def snapshot(self) -> Snapshot:
        """The configuration in force."""
        snapshot = store.current
        if snapshot is not self._seen:
            self._seen = snapshot
            upstreams: UpstreamsConfig = snapshot.sections["upstreams"].value
            self.clients.keep_only(upstreams.upstreams)
        return snapshot

    def admission_error(self) -> str | None:
        """Why no call may start now, None if it may."""
        return ledger.admission_error()

    async def check_for_changes(self) -> None:
        """Look once whether the configuration changed; callers at the same time share one look."""
        if self._check is None or self._check.done():
            self._check = asyncio.get_running_loop().create_task(self._check_once())
        await asyncio.shield(self._check)

    async def _check_once(self) -> None:
        wait_s = self._last_check + _CHECK_INTERVAL_S - time.monotonic()
        if wait_s > 0:
            await asyncio.sleep(wait_s)
        self._last_check = time.monotonic()
        await in_thread(store.refresh)

    def _poll(self, stop: threading.Event) -> None:
        while not stop.wait(_POLL_S):
            # `refresh` keeps the old snapshot and says why if it fails; the poller goes on.
            with_fresh_connections(store.refresh)
            if settings.AGENT_AUTO_RELOAD:
                with_fresh_connections(folder_watch.look)
            keep_processes_warm(store.current)
            denials.hand_on()
            sole_server.keep()
        close_connections_of_this_thread()

    def drain(self) -> None:
        """Readiness turns 503; everything is served on but live pages, which find another process."""
        self.is_draining = True
        feed.drain()

    async def stop(self) -> None:
        """End everything in order. The server has stopped accepting and waited for its streams."""
        if not self._is_started:
            return
        self.is_draining = True
        for scope in list(self.ticker.scopes):
            scope.cancel(SHUTDOWN)
        until = time.monotonic() + _LATE_WORK_S
        with suppress(TimeoutError):
            async with asyncio.timeout_at(asyncio.get_running_loop().time() + _LATE_WORK_S):
                await self.ticker.wait_until_idle()
        await background.finish(max(0.0, until - time.monotonic()))
        await facts_exchange.stop()
        await answer_cache.stop()
        await health_watch.stop()
        await key_watch.stop()
        await authorizer_lines.close()
        await limiting.stop()
        self._stop_polling.set()
        if self._poller is not None:
            await in_own_thread(self._poller.join, _POLLER_S)
        await mcp_pool.stop()
        await in_own_thread(self._metrics_writer.stop, _METRICS_S)
        denials.hand_on(everything=True)
        if not await in_own_thread(ledger.stop, _FLUSH_S):
            logger.warning("ledger.flush_unfinished")
        await feed.detach()
        await self.clients.close()
        await in_own_thread(sole_server.release)
        self._is_started = False
        logger.info("server.stopped")
        # The server ends the process by the signal that stopped it: nothing runs at exit.
        writer.flush()


lifecycle = Lifecycle()
