"""Two calls at once, whose ends the test decides: each is accounted for once, and nothing is left behind."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, cast

import pytest

from gateway_project.core.context import RequestContext
from gateway_project.core.deadline import CallScope
from gateway_project.core.errors import InvalidRequest, UpstreamFailed
from gateway_project.core.ids import uuid7
from gateway_project.core.snapshot import Section, Snapshot
from security_app.registry import Principal
from security_app.services.reservation import Ticket
from tests.limits.door import CARD, POLICY
from tests.routing.candidates import route, target
from tests.usage.entries import ALICE
from upstreams_app.hedge_policy import HedgePolicy
from upstreams_app.services import background
from upstreams_app.services.calls import Call
from upstreams_app.services.client import ClientPool
from upstreams_app.services.course import Course
from upstreams_app.services.hedging import Race, hedge_of
from upstreams_app.services.outbound import Parcel
from usage_app.entry import TokenUsage, UsageEntry
from usage_app.registry import UsageConfig
from usage_app.services.ledger import ledger
from usage_app.services.settlement import Settlement

POLICY_AT_ONCE = HedgePolicy(0.0, at_p95=False, share=0.5)
PRICES = UsageConfig(overrides=dict.fromkeys(("a/m", "b/m"), ((0.0, CARD),)))
ENTRY = route(target("a/m"), target("b/m", priority=2), hedge=POLICY_AT_ONCE)
Ask = Callable[..., Awaitable[str]]


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> list[UsageEntry]:
    """What comes to the ledger."""
    kept: list[UsageEntry] = []
    monkeypatch.setattr(ledger, "append", kept.append)
    return kept


def make_call(**fields: Any) -> Call:
    task = asyncio.current_task()
    assert task is not None
    principal = Principal(ALICE, "alice", "", POLICY, 0.0, False)
    context = RequestContext(Snapshot({"usage": Section(PRICES, 1)}), CallScope(task), principal=principal)
    settlement = Settlement(context, Ticket(principal, "fast"), "chat", is_stream=False)
    settlement.measure_sent = lambda: 30
    return Call(context, ENTRY, "/chat/completions", {}, settlement, **fields)


def make_race(call: Call, ask: Ask, discarded: list[str]) -> Race[str]:
    clients = ClientPool()
    order = clients.tracker.groups(ENTRY)
    course = Course(ENTRY, [candidate for group in order for candidate in group])
    return Race(call, ENTRY, clients, course, ask, discard=discarded.append)


def reached(call: Call, candidate: Any) -> None:
    """As `ask` notes it."""
    call.target = candidate.target
    call.settlement.attempts += 1
    call.settlement.upstream = candidate.target.upstream.name
    call.settlement.price_model = candidate.target.model_id


async def test_both_at_the_same_moment_is_one_answer_and_two_accounts(lines: list[UsageEntry]) -> None:
    both = asyncio.Event()

    async def ask(call: Call, candidate: Any, **_: Any) -> str:
        reached(call, candidate)
        if candidate.target.model_id == "b/m":
            both.set()
        await both.wait()
        await asyncio.sleep(0)
        call.settlement.tokens = TokenUsage(input=7, output=2)
        return str(candidate.target.model_id)

    call, discarded = make_call(), list[str]()
    answer = await make_race(call, ask, discarded).run(POLICY_AT_ONCE)
    await background.finish(5)
    call.settlement.complete()

    assert (answer, discarded) == ("a/m", ["b/m"])
    assert [(line.upstream, line.tokens.input, line.tokens.output) for line in lines] == [
        ("b", 7, 2),
        ("a", 7, 2),
    ]
    assert lines[0].parent_id == lines[1].id
    assert (call.settlement.attempts, call.settlement.beside) == (1, 1)


async def test_the_limits_of_time_of_both_tick_with_the_request(lines: list[UsageEntry]) -> None:
    seen: list[float] = []

    async def ask(call: Call, candidate: Any, **_: Any) -> str:
        reached(call, candidate)
        call.context.scope.on_tick = seen.append
        if candidate.target.model_id == "b/m":
            scope.tick(5.0)
            return "b"
        await asyncio.get_running_loop().create_future()
        return "a"

    call, own = make_call(), list[float]()
    scope = call.context.scope
    scope.on_tick = own.append
    answer = await make_race(call, ask, []).run(POLICY_AT_ONCE)
    await background.finish(5)
    scope.tick(6.0)

    assert (answer, seen, own) == ("b", [5.0, 5.0], [5.0, 6.0])
    assert [line.error_code for line in lines] == ["hedge_lost"]


async def test_a_call_that_had_not_connected_costs_nothing(lines: list[UsageEntry]) -> None:
    async def ask(call: Call, candidate: Any, **_: Any) -> str:
        reached(call, candidate)
        if candidate.target.model_id == "a/m":
            call.context.scope.enter_phase("connect", 5)
            await asyncio.get_running_loop().create_future()
        return "b"

    await make_race(make_call(), ask, []).run(POLICY_AT_ONCE)
    await background.finish(5)

    assert [(line.upstream, line.cost_nano, line.attempts) for line in lines] == [("a", 0, 1)]


async def test_a_request_that_the_first_target_refuses_is_refused(lines: list[UsageEntry]) -> None:
    async def ask(call: Call, candidate: Any, **_: Any) -> str:
        reached(call, candidate)
        if candidate.target.model_id == "b/m":
            asked.set()
            await asyncio.get_running_loop().create_future()
        await asked.wait()
        raise InvalidRequest("no")

    asked = asyncio.Event()
    race = make_race(make_call(), ask, [])
    with pytest.raises(InvalidRequest):
        await race.run(POLICY_AT_ONCE)
    await background.finish(5)

    assert race.outcome == "cancelled"
    assert [(line.upstream, line.status) for line in lines] == [("b", 499)]


async def test_a_first_target_that_fails_meanwhile_does_not_end_the_second_call(
    lines: list[UsageEntry],
) -> None:
    async def ask(call: Call, candidate: Any, **_: Any) -> str:
        reached(call, candidate)
        if candidate.target.model_id == "a/m":
            await begun.wait()
            raise UpstreamFailed("gone")
        begun.set()
        await asyncio.wait({race.first.task})
        return "b"

    begun, call = asyncio.Event(), make_call()
    race = make_race(call, ask, [])

    assert await race.run(POLICY_AT_ONCE) == "b"
    assert (call.settlement.attempts, call.settlement.upstream, lines) == (2, "b", [])


async def test_what_is_never_asked_twice() -> None:
    plain, in_a_run = make_call(), make_call()
    in_a_run.context.parent_id = uuid7()
    upload = make_call(parcel=cast("Parcel", object()))
    image = make_call()
    image.path = "/images/generations"

    assert hedge_of(plain, ENTRY) is POLICY_AT_ONCE
    assert hedge_of(plain, route(target("a/m"), hedge=POLICY_AT_ONCE)) is None
    assert [hedge_of(call, ENTRY) for call in (in_a_run, upload, image)] == [None] * 3
