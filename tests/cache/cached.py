"""Requests at the door of a gateway inside of the test, with a vendor behind it and rules made by hand."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

from tests.limits.door import Answer
from tests.routing.candidates import route, target
from tests.routing.routed import with_vendors
from tests.routing.shaky import ShakyVendor
from upstreams_app.cache_policy import CacheRules
from upstreams_app.registry import ModelEntry
from upstreams_app.services.answer_cache.cache import answer_cache

MODEL = "a/m"
Work = Callable[[ShakyVendor], Awaitable[None]]


class Clock:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def rules(**fields: Any) -> CacheRules:
    """Rules of a key's own answers for an hour, unless the fields say otherwise."""
    given: dict[str, Any] = {
        "scope": "key",
        "ttl_s": 3600,
        "is_on_request": False,
        "includes_tools": False,
        "served_by": b"a",
        "models": frozenset({MODEL}),
    }
    return CacheRules(**{**given, **fields})


def entry(vendor: ShakyVendor, model_id: str = MODEL, **fields: Any) -> ModelEntry:
    """A model of the vendor's under such rules."""
    served = target(model_id, vendor.url)
    models = frozenset({model_id})
    model = replace(route(served, name=model_id), is_route=False)
    return replace(model, cache=rules(**{"models": models, **fields}))


def with_vendor(work: Work, clock: Clock | None = None) -> None:
    """Do the work with a vendor and a cache of its own."""

    async def main(vendors: list[ShakyVendor]) -> None:
        answer_cache.memory.flush()
        answer_cache.clock = clock or time.time
        try:
            await work(vendors[0])
        finally:
            answer_cache.clock = time.time
        assert not len(answer_cache.flights)

    with_vendors(1, main)


async def until(holds: Callable[[], bool]) -> None:
    """Wait, on the loop, until something holds."""
    async with asyncio.timeout(10):
        while not holds():  # noqa: ASYNC110  (what is waited for tells nobody)
            await asyncio.sleep(0.002)


def cached(answer: Answer) -> str | None:
    """What an answer says of the cache."""
    assert answer.status == 200, answer.body
    return answer.headers.get("x-gateway-cache")
