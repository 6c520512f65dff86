"""Finds, keeps and counts answers: in this process, or where there is a Valkey in that, for all processes."""

from __future__ import annotations

import time
from typing import Final, NamedTuple

from django.conf import settings

from gateway_project.observability import metrics
from upstreams_app.services.answer_cache.counts import Counts
from upstreams_app.services.answer_cache.entries import Kept
from upstreams_app.services.answer_cache.flights import Flight, Flights
from upstreams_app.services.answer_cache.lookups import Lookup
from upstreams_app.services.answer_cache.memory import MemoryStore
from upstreams_app.services.answer_cache.valkey import ValkeyStore

HIT: Final = "hit"
SHARED: Final = "shared"
MISS: Final = "miss"


class Found(NamedTuple):
    """What became of a lookup: an answer, and whether it was kept or only awaited; else the model is asked.

    Then `flight` is there if others wait for it: whoever has one must end it.
    """

    kept: Kept | None = None
    how: str = MISS
    flight: Flight | None = None


NOTHING: Final = Found()


class AnswerCache:
    """One per process, used in one event loop; what manages it may be in another thread."""

    def __init__(self) -> None:
        self.clock = time.time
        self.memory = MemoryStore(settings.CACHE_BYTES, self.now)
        self.counts = Counts(self.now)
        self.flights = Flights()
        self.shared: ValkeyStore | None = None
        # Grows when answers are to be forgotten: those that are on their way here are not kept then.
        self.generation = 0

    def start(self, redis_url: str) -> None:
        """Begin to share with all processes, if there is a Valkey."""
        if redis_url:
            self.shared = ValkeyStore(redis_url, settings.CACHE_BYTES)

    async def stop(self) -> None:
        """End what `start` began."""
        shared, self.shared = self.shared, None
        if shared is not None:
            await shared.stop()

    def now(self) -> float:
        """Seconds since 1970."""
        return self.clock()

    @property
    def largest_bytes(self) -> int:
        """How large an answer may be."""
        return (self.shared or self.memory).largest_bytes

    async def find(self, lookup: Lookup) -> Found:
        """An answer that is kept, and young enough, or that another request is about to get."""
        if not lookup.is_wanted:
            return NOTHING
        if self.shared is None:
            kept = self.memory.get(lookup.key)
        else:
            kept = await self.shared.get(lookup.key)
        if kept is not None and self._is_young(lookup, kept):
            return Found(kept, HIT)
        if not lookup.is_shared:
            return NOTHING
        flight = self.flights.find(lookup.key)
        if flight is None:
            return Found(flight=self.flights.lead(lookup.key))
        awaited = await flight.wait()
        return NOTHING if awaited is None else Found(awaited, SHARED)

    def keep(self, lookup: Lookup, kept: Kept) -> None:
        """Keep an answer."""
        if self.shared is None:
            self.memory.put(lookup.key, kept, lookup.ttl_s)
        else:
            self.shared.put(lookup.key, kept, lookup.ttl_s)

    def note(self, model_id: str, result: str) -> None:
        """Count how a request ended that might have had a kept answer."""
        metrics.observe_cache(model_id, result)
        self.counts.add(model_id, is_hit=result != MISS)

    def _is_young(self, lookup: Lookup, kept: Kept) -> bool:
        return lookup.max_age_s is None or self.now() - kept.at <= lookup.max_age_s


answer_cache = AnswerCache()
