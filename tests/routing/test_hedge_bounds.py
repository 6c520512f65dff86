"""Where a second target is not asked: its share, a budget, a condition or a place is missing."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway_project.lifecycle import lifecycle
from gateway_project.observability.metrics import numbers
from tests.limits.door import Answer, budget
from tests.routing.hedged import PRICES, below, decision, hedged
from tests.routing.routed import door_of, record_of, with_vendors
from tests.routing.shaky import HANG, ShakyVendor

pytestmark = pytest.mark.django_db(transaction=True)


def test_no_more_than_the_share_of_the_requests_is_asked_twice() -> None:
    async def work(vendors: list[ShakyVendor]) -> None:
        vendors[0].delay_s = 0.04
        door = door_of(hedged(vendors, after_s=0.01, share=0.1))

        before = numbers.hedges.get(("fast", "capped"), 0)
        for _ in range(11):
            await door.ask("fast")

        assert numbers.hedges["fast", "capped"] == before + 9
        # The first, and one in ten.
        assert vendors[1].asked.total() == 2

    with_vendors(2, work)


def test_a_budget_without_room_for_two_calls_has_one() -> None:
    async def work(vendors: list[ShakyVendor]) -> None:
        vendors[0].delay_s = 0.1
        small = budget(amount=60_000)
        door = door_of(hedged(vendors), rules=[small], prices=PRICES)

        answers.append(await door.ask("fast", max_tokens=5))

        assert vendors[1].asked.total() == 0

    answers: list[Answer] = []
    with_vendors(2, work)

    assert answers[0].status == 200
    assert decision(record_of(answers[0]))["hedged"][0]["outcome"] == "refused"
    assert below(answers[0]) == []


def test_who_is_refused_the_second_call_still_falls_over_to_that_target() -> None:
    async def work(vendors: list[ShakyVendor]) -> None:
        await vendors[0].become(HANG)
        small = budget(amount=60_000)
        entry = hedged(vendors, upstream={"first_token_timeout_s": 0.1})

        answer = await door_of(entry, rules=[small], prices=PRICES).ask("fast", max_tokens=5)

        assert (answer.status, answer.headers["x-gateway-upstream"]) == (200, "u1")

    with_vendors(2, work)


def test_only_what_the_condition_holds_for_and_no_vendor_keeps_is_asked_twice() -> None:
    async def work(vendors: list[ShakyVendor]) -> None:
        vendors[0].delay_s = 0.1
        door = door_of(hedged(vendors, condition="!has_tools"))

        await door.ask("fast", tools=[{"type": "function", "function": {"name": "send"}}])
        await door.ask("fast", store=True)
        assert vendors[1].asked.total() == 0
        await door.ask("fast", store=False)
        assert vendors[1].asked.total() == 1

    with_vendors(2, work)


def test_a_second_target_without_a_place_is_not_asked() -> None:
    async def work(vendors: list[ShakyVendor]) -> None:
        vendors[0].delay_s = 0.1
        entry = hedged(vendors)
        first, second = entry.targets
        full = replace(second, upstream=replace(second.upstream, max_concurrency=1, queue_size=5))
        lifecycle.clients.get(full.upstream)
        lifecycle.clients.places(full.upstream).held = 1
        door = door_of(replace(entry, targets=(first, full)))

        answer = await door.ask("fast")

        assert (answer.status, answer.headers["x-gateway-upstream"]) == (200, "u0")
        assert vendors[1].asked.total() == 0
        assert lifecycle.clients.places(full.upstream).held == 1

    with_vendors(2, work)
