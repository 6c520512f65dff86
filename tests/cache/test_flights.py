"""Identical requests at the same time are one call of the vendor, and nobody's end is another's."""

from __future__ import annotations

import asyncio

import pytest

from tests.cache.cached import MODEL, cached, entry, until, with_vendor
from tests.limits.door import limit
from tests.routing.routed import door_of
from tests.routing.shaky import HANG, ShakyVendor
from upstreams_app.services.answer_cache.cache import answer_cache

pytestmark = pytest.mark.django_db(transaction=True)


def test_what_is_forgotten_while_it_is_asked_is_not_kept() -> None:
    async def work(vendor: ShakyVendor) -> None:
        door = door_of(entry(vendor))
        vendor.delay_s = 0.1
        asking = asyncio.ensure_future(door.ask(MODEL))
        await vendor.was_asked.wait()

        answer_cache.generation += 1

        assert cached(await asking) == "miss"
        assert cached(await door.ask(MODEL)) == "miss"
        assert cached(await door.ask(MODEL)) == "hit"

    with_vendor(work)


def test_many_at_once_ask_the_vendor_once() -> None:
    async def work(vendor: ShakyVendor) -> None:
        door = door_of(entry(vendor))
        vendor.delay_s = 0.05

        answers = await asyncio.gather(*(door.ask(MODEL) for _ in range(20)))

        assert sorted(cached(answer) or "" for answer in answers) == ["hit"] * 19 + ["miss"]
        assert len({answer.body for answer in answers}) == 1
        assert vendor.asked.total() == 1

    with_vendor(work)


@pytest.mark.parametrize("ending", ["leaves", "fails"])
def test_the_first_ones_end_is_not_the_others(ending: str) -> None:
    async def work(vendor: ShakyVendor) -> None:
        door = door_of(entry(vendor))
        await vendor.become(HANG)
        leading = asyncio.ensure_future(door.ask(MODEL))
        await vendor.was_asked.wait()
        others = [asyncio.ensure_future(door.ask(MODEL)) for _ in range(3)]
        await until(lambda: len(door.scopes) == 4)
        await asyncio.sleep(0)
        assert vendor.asked.total() == 1

        await vendor.become("ok")
        if ending == "leaves":
            door.scopes[0].cancel("client_disconnected")
        else:
            for writer in list(vendor._open):
                writer.transport.abort()
        answers = await asyncio.gather(*others)

        assert (await leading).status == (0 if ending == "leaves" else 502)
        assert [cached(answer) for answer in answers] == ["miss"] * 3
        assert vendor.asked.total() >= 4

    with_vendor(work)


def test_who_waits_may_leave() -> None:
    async def work(vendor: ShakyVendor) -> None:
        door = door_of(entry(vendor), rules=[limit(metric="concurrency", value=5)])
        vendor.delay_s = 0.1
        leading = asyncio.ensure_future(door.ask(MODEL))
        await vendor.was_asked.wait()
        waiting = [asyncio.ensure_future(door.ask(MODEL)) for _ in range(2)]
        await until(lambda: len(door.scopes) == 3)
        await asyncio.sleep(0.01)

        door.scopes[1].cancel("client_disconnected")

        assert (await waiting[0]).status == 0
        assert cached(await waiting[1]) == "hit"
        assert cached(await leading) == "miss"

    with_vendor(work)
