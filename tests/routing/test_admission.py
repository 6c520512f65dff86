"""An upstream gets no more calls at a time than it may, and keys wait for their turn, not for each other."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from gateway_project.core.deadline import CallScope, Ticker
from gateway_project.core.errors import Overloaded
from gateway_project.lifecycle import lifecycle
from tests.routing.candidates import route, target
from tests.routing.routed import door_of, with_vendors
from tests.routing.shaky import HANG, ShakyVendor
from upstreams_app.registry import UpstreamConfig
from upstreams_app.services.admission import Places


def config(**fields: Any) -> UpstreamConfig:
    """One place, and room for ten who wait."""
    return target("a/m", **{"max_concurrency": 1, "queue_size": 10, "queue_wait_s": 30.0, **fields}).upstream


def scope() -> CallScope:
    task = asyncio.current_task()
    assert task is not None
    return CallScope(task)


async def settled() -> None:
    """Let every task that can go on do so."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_keys_take_turns_whoever_asks_most() -> None:
    places, order, limits = Places(), [], config()

    async def call(key: str) -> None:
        await places.enter(limits, key=key, scope=scope())
        order.append(key)
        places.leave()

    await places.enter(limits, key="first", scope=scope())
    calls = [asyncio.create_task(call(key)) for key in ("greedy", "greedy", "greedy", "modest")]
    await settled()

    places.leave()
    await asyncio.gather(*calls)

    assert order == ["greedy", "modest", "greedy", "greedy"]
    assert (places.held, places.waiting) == (0, 0)


async def test_several_calls_take_their_places_at_once_and_keep_their_turn() -> None:
    places, order, limits = Places(), [], config(max_concurrency=3)

    async def call(key: str, count: int) -> None:
        await places.enter(limits, key=key, scope=scope(), count=count)
        order.append(key)

    await call("first", 2)
    several = asyncio.create_task(call("several", 2))
    single = asyncio.create_task(call("single", 1))
    await settled()
    assert order == ["first"]

    places.leave(2)
    await asyncio.gather(several, single)

    assert order == ["first", "several", "single"]
    assert (places.held, places.waiting) == (3, 0)


async def test_who_wanted_more_and_leaves_is_in_nobodys_way() -> None:
    places, limits = Places(), config(max_concurrency=2)
    await places.enter(limits, key="a", scope=scope())
    leaver = asyncio.create_task(places.enter(limits, key="b", scope=scope(), count=2))
    stayer = asyncio.create_task(places.enter(limits, key="c", scope=scope()))
    await settled()

    leaver.cancel()
    await stayer

    assert (places.held, places.waiting) == (2, 0)


async def test_who_finds_the_queue_full_is_told_at_once() -> None:
    places, limits = Places(), config(queue_size=1)
    await places.enter(limits, key="a", scope=scope())
    waiting = asyncio.create_task(places.enter(limits, key="a", scope=scope()))
    await settled()

    with pytest.raises(Overloaded) as refused:
        await places.enter(limits, key="b", scope=scope())

    assert refused.value.headers["retry-after"] == "1"
    places.leave()
    await waiting
    assert places.held == 1


async def test_who_leaves_the_queue_leaves_no_gap() -> None:
    places, limits = Places(), config()
    await places.enter(limits, key="a", scope=scope())
    leaver = asyncio.create_task(places.enter(limits, key="a", scope=scope()))
    stayer = asyncio.create_task(places.enter(limits, key="b", scope=scope()))
    await settled()

    leaver.cancel()
    await settled()
    places.leave()
    await stayer

    assert (places.held, places.waiting) == (1, 0)


async def test_a_place_that_comes_with_the_cancellation_is_passed_on() -> None:
    places, limits = Places(), config()
    await places.enter(limits, key="a", scope=scope())
    leaver = asyncio.create_task(places.enter(limits, key="a", scope=scope()))
    await settled()

    places.leave()
    leaver.cancel()
    await asyncio.gather(leaver, return_exceptions=True)

    assert (places.held, places.waiting) == (0, 0)


async def test_nobody_waits_longer_than_the_upstream_allows() -> None:
    places, limits, ticker = Places(), config(queue_wait_s=0.05), Ticker()
    await places.enter(limits, key="a", scope=scope())

    async def wait() -> None:
        own = scope()
        ticker.add(own)
        try:
            await places.enter(limits, key="b", scope=own)
        finally:
            ticker.remove(own)

    with pytest.raises(Overloaded, match=r"no place within 0\.05 s"):
        await asyncio.create_task(wait())

    assert places.waiting == 0


@pytest.mark.django_db(transaction=True)
def test_every_place_is_given_back_however_a_call_ends() -> None:
    async def work(vendors: list[ShakyVendor]) -> None:
        limited = target("a/m", vendors[0].url, max_concurrency=2, queue_size=100, first_token_timeout_s=0.2)
        entry = replace(route(limited, name="a/m"), is_route=False)
        door = door_of(entry)

        answers = await asyncio.gather(*(door.ask("a/m", stream=bool(n % 2)) for n in range(12)))
        await vendors[0].become(HANG)
        hung = await asyncio.gather(*(door.ask("a/m") for _ in range(2)))

        assert [answer.status for answer in answers] == [200] * 12
        assert [answer.status for answer in hung] == [504, 504]
        places = lifecycle.clients.places(limited.upstream)
        assert (places.held, places.waiting) == (0, 0)

    with_vendors(1, work)


@pytest.mark.django_db(transaction=True)
def test_a_route_takes_a_target_with_room_before_it_waits() -> None:
    async def work(vendors: list[ShakyVendor]) -> None:
        full = target("a/m", vendors[0].url, priority=1, max_concurrency=1, queue_size=5)
        entry = route(full, target("b/m", vendors[1].url, priority=2))
        lifecycle.clients.places(full.upstream).held = 1
        lifecycle.clients.places(full.upstream)._limit = 1

        answer = await door_of(entry).ask("fast")

        assert (answer.status, answer.headers["x-gateway-upstream"]) == (200, "b")

    with_vendors(2, work)
