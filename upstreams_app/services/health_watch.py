"""How a server process learns what probes found, and tells what its own calls found.

Every few seconds, aside from the request path: routes then try upstreams that are down after the others, and
the state of an upstream tells that calls are kept from it. Both go through the database, so that all
processes know the same, with Valkey and without. What was heard is forgotten while the database is away.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from contextlib import suppress
from datetime import timedelta
from time import monotonic

from django.db import Error

from gateway_project.core.clock import utc_now
from gateway_project.core.db import in_thread
from upstreams_app.models import UpstreamState
from upstreams_app.services.client import ClientPool
from upstreams_app.services.verdicts import DOWN

logger = logging.getLogger(__name__)
_INTERVAL_S = 3.0
# How long one look counts.
_LIFE_S = 15.0
_MAX_NAMES = 250


class HealthWatch:
    """The task of one server process that looks and tells."""

    def __init__(self) -> None:
        self._task: asyncio.Task[None] | None = None
        self._is_lost = False

    def start(self, clients: ClientPool) -> None:
        """Begin; nothing waits for the first look."""
        self._task = asyncio.get_running_loop().create_task(self._run(clients))

    async def stop(self) -> None:
        """End it."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def _run(self, clients: ClientPool) -> None:
        while True:
            try:
                await self.look(clients)
                self._note("")
            except Error as error:
                self._note(type(error).__name__)
            await asyncio.sleep(_INTERVAL_S)

    async def look(self, clients: ClientPool) -> None:
        """Tell once, and hear."""
        left_s = await in_thread(exchange, clients.tracker.ejected(monotonic()))
        now = monotonic()
        clients.tracker.hear_probes({name: now + seconds for name, seconds in left_s.items()}, now)

    def _note(self, reason: str) -> None:
        """One line in the log for each change."""
        if reason and not self._is_lost:
            logger.warning("upstream.health_not_read", extra={"reason": reason})
        self._is_lost = bool(reason)


def exchange(ejected: Mapping[str, list[str]]) -> dict[str, float]:
    """Store what calls are kept from; the upstreams that are down, and for how many seconds that counts.

    One whose breaker is switched off is always called.
    """
    now = utc_now()
    for name, models in ejected.items():
        UpstreamState.objects.filter(upstream__name=name).update(
            barred_until=now + timedelta(seconds=_LIFE_S), barred=_listed(models)
        )
    down = UpstreamState.objects.filter(
        verdict=DOWN, fresh_until__gt=now, upstream__is_enabled=True, upstream__breaker_failures__gt=0
    )
    return {
        name: min(_LIFE_S, (until - now).total_seconds())
        for name, until in down.values_list("upstream__name", "fresh_until")
        if until is not None
    }


def _listed(models: list[str]) -> str:
    """Names of models, as many as there is room for."""
    shown: list[str] = []
    for name in sorted(models):
        if len(", ".join([*shown, name])) > _MAX_NAMES:
            return f"{', '.join(shown)} and {len(models) - len(shown)} more".strip()
        shown.append(name)
    return ", ".join(shown)


health_watch = HealthWatch()
