"""A fallback needs leave of its own, for which the request's first leave is exchanged."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from gateway_project.core.context import RequestContext
from gateway_project.core.deadline import CallScope
from gateway_project.core.snapshot import Snapshot
from security_app.services.limiting import limiting
from tests.limits.door import CARD, Answer, budget, limit
from tests.routing.candidates import route, target
from tests.routing.routed import door_of, record_of, with_vendors
from tests.routing.shaky import DEAD, FAILS, HANG, ShakyVendor
from upstreams_app.registry import ModelEntry
from upstreams_app.services.calls import Call
from upstreams_app.services.demand import sent_bytes
from usage_app.services.settlement import Settlement

pytestmark = pytest.mark.django_db(transaction=True)
PRICES = {"u0/m": CARD, "u1/m": CARD}


def main_and_other(vendors: list[ShakyVendor], **policy: Any) -> list[ModelEntry]:
    first, second = (target(f"u{index}/m", vendor.url) for index, vendor in enumerate(vendors))
    return [route(first, name="main", **policy), route(second, name="other")]


@pytest.mark.parametrize("is_stream", [False, True], ids=["plain", "stream"])
def test_a_key_with_one_call_at_a_time_and_one_request_left_falls_back(is_stream: bool) -> None:
    async def work(vendors: list[ShakyVendor]) -> None:
        await vendors[0].become(DEAD)
        one, last, money = limit(metric="concurrency", value=1), limit(value=1), budget(amount=10**9)
        door = door_of(
            *main_and_other(vendors, fallbacks={"general": ("other",)}),
            rules=[one, last, money],
            prices=PRICES,
        )

        answer = await door.ask("main", stream=is_stream, max_tokens=5)

        assert (answer.status, answer.headers["x-gateway-upstream"]) == (200, "u1")
        assert await door.used(one) == 0
        assert await door.used(last) == 1
        answers.append((answer, await door.used(money)))

    answers: list[tuple[Answer, int]] = []
    with_vendors(2, work)

    answer, spent = answers[0]
    cost = record_of(answer).cost
    assert cost is not None
    assert spent == cost * 10**9 > 0


def test_what_a_fallback_is_refused_stays_with_the_first_leave() -> None:
    async def work(vendors: list[ShakyVendor]) -> None:
        await vendors[0].become(FAILS)
        one, last = limit(metric="concurrency", value=1), limit(value=1)
        empty = budget(subject="other", kind="model", amount=1)
        door = door_of(
            *main_and_other(vendors, fallbacks={"general": ("other",)}),
            rules=[one, last, empty],
            prices=PRICES,
        )

        answer = await door.ask("main")

        assert (answer.status, vendors[1].asked.total()) == (502, 0)
        assert (await door.used(one), await door.used(last)) == (0, 1)

    with_vendors(2, work)


def test_a_client_that_leaves_while_a_fallback_is_asked_leaves_nothing_held() -> None:
    async def work(vendors: list[ShakyVendor]) -> None:
        await vendors[0].become(FAILS)
        await vendors[1].become(HANG)
        one, money = limit(metric="concurrency", value=1), budget(amount=10**9)
        door = door_of(
            *main_and_other(vendors, fallbacks={"general": ("other",)}), rules=[one, money], prices=PRICES
        )
        asking = asyncio.ensure_future(door.ask("main"))
        await vendors[1].was_asked.wait()
        assert limiting.limiter.state().open_tickets == 1

        door.scopes[0].cancel("client_disconnected")
        await asking

        assert (await door.used(one), await door.used(money)) == (0, 0)

    with_vendors(2, work)


async def test_what_was_sent_is_measured_by_who_was_asked_last() -> None:
    task = asyncio.current_task()
    assert task is not None
    context = RequestContext(Snapshot({}), CallScope(task))
    plain, fanning = target("a/m"), target("b/m", kind="anthropic")
    settlement = Settlement.__new__(Settlement)
    fields: Any = {"n": b"3"}
    call = Call(context, route(fanning, plain), "/chat/completions", fields, settlement)
    body = b'{"messages":[{"role":"user","content":"Hi there"}],"n":3}'

    measured = []
    for asked in (None, fanning, plain):
        call.target = asked
        measured.append(sent_bytes(call, body, fields))

    assert measured[1] == 3 * measured[2] == 3 * measured[0]
