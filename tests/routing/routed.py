"""Requests at the door of a gateway inside of the test, over routes and vendors made by hand."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from agents_app.registry import AgentsConfig
from gateway_project.core.deadline import Ticker
from gateway_project.core.snapshot import Section, Snapshot
from gateway_project.lifecycle import lifecycle
from security_app.limits import Counter
from security_app.registry import PeopleConfig
from security_app.registry.counters import Rule
from security_app.registry.limits import LimitsConfig
from security_app.services.limiting import limiting
from tests.limits.door import Answer, Door
from tests.routing.shaky import ShakyVendor
from upstreams_app.registry import ModelEntry, UpstreamsConfig
from upstreams_app.services import background
from upstreams_app.services.client import ClientPool
from usage_app.models import UsageRecord
from usage_app.registry import RateCard, UsageConfig
from usage_app.services.ledger import ledger


def with_vendors(count: int, work: Callable[[list[ShakyVendor]], Awaitable[None]]) -> None:
    """Do the work with so many vendors, on one event loop, with connections and limits of its own."""

    async def main() -> None:
        vendors = [ShakyVendor() for _ in range(count)]
        # The ticker of a loop that has ended ticks no more.
        lifecycle.clients, lifecycle.ticker = ClientPool(), Ticker()
        await limiting.start(seeder=_nothing_used)
        try:
            for vendor in vendors:
                await vendor.start()
            await work(vendors)
            await background.finish(5)
            assert limiting.limiter.state().open_tickets == 0
        finally:
            await lifecycle.clients.close()
            await limiting.stop()
            for vendor in vendors:
                await vendor.stop()

    asyncio.run(main())


async def _nothing_used(counters: Sequence[Counter]) -> list[int]:
    return [0] * len(counters)


def record_of(answer: Answer) -> UsageRecord:
    """The ledger's record of a request."""
    ledger.flush_now()
    return UsageRecord.objects.get(pk=answer.headers["x-request-id"].removeprefix("req_"))


def door_of(
    *entries: ModelEntry, rules: Sequence[Rule] = (), prices: dict[str, RateCard] | None = None
) -> Door:
    """The door of a configuration with these model ids."""
    config = LimitsConfig()
    for rule in rules:
        config.put(rule)
    overrides = {name: ((0.0, card),) for name, card in (prices or {}).items()}
    sections: dict[str, Section[Any]] = {
        "people": Section(PeopleConfig(), 1),
        "limits": Section(config.seal(), 1),
        "usage": Section(UsageConfig(overrides=overrides), 1),
        "upstreams": Section(UpstreamsConfig({entry.id: entry for entry in entries}, {}), 1),
        "agents": Section(AgentsConfig({}, {}), 1),
    }
    return Door(Snapshot(sections), {})
