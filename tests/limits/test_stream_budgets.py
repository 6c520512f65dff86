"""Streams that cost more than what is left of a budget: they end where the budget says so, and only there."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from agents import Agent
from gateway_project.core.errors import QuotaExceeded
from gateway_project.core.ids import parse_public_id
from security_app.limits import Granted, Limiter, Take
from security_app.models import Budget, ConfigVersion
from security_app.registry.counters import BudgetRule, Meter
from security_app.registry.limits import CALL, SECTION, LimitsConfig, Who, build
from security_app.services.stream_budgets import StreamBudgets
from tests.doors.conftest import shared_vendor, vendor
from tests.fakes import bodies
from tests.fakes.behaviours import stream
from tests.fakes.vendor import FakeVendor
from tests.limits.door import AGENT, MODEL, Answer, Door, at_the_door, budget, limit
from tests.limits.endless import TOKENS_EACH, EndlessStream
from tests.usage.entries import ALICE
from usage_app.models import UsageRecord
from usage_app.services.ledger import ledger

__all__ = ["shared_vendor", "vendor"]
# What a token costs at the door, in nano-dollars.
TOKEN = 1000
EVENT = TOKENS_EACH * TOKEN
AMOUNT = 2000 * TOKEN
# How far the estimate of an event's text may be off: a few bytes.
SLACK = EVENT // 10


def stopping(**fields: Any) -> BudgetRule:
    return budget(amount=AMOUNT, stops_streams=True, **fields)


def last_error(answer: Answer) -> dict[str, Any]:
    """The error that a stream ended with."""
    last = answer.body.rstrip(b"\n").rpartition(b"\n\n")[2]
    event: dict[str, Any] = json.loads(last.removeprefix(b"data: "))
    assert event["choices"] == []
    error: dict[str, Any] = event["error"]
    return error


def test_a_stream_ends_where_its_budget_does_and_is_charged_what_it_used(vendor: FakeVendor) -> None:
    rule, endless = stopping(window="month", zone="Europe/Berlin"), EndlessStream()

    async def work(door: Door) -> None:
        vendor.always(endless)
        with endless.paced() as door.on_sent:
            answer = await door.ask(stream=True, max_tokens=10)

        assert answer.status == 200
        error = last_error(answer)
        assert (error["type"], error["code"]) == ("insufficient_quota", "budget_exceeded")
        assert "this API key, $0.002 a month, is used up" in error["message"]
        assert "(Europe/Berlin)" in error["message"]
        assert b"[DONE]" not in answer.body
        assert AMOUNT < await door.used(rule) <= AMOUNT + EVENT + SLACK
        # What was paid for was sent.
        sent = answer.body.count(b">x")
        assert abs(sent * EVENT - await door.used(rule)) < EVENT
        vendor.requests[0].wait_aborted()

    at_the_door(vendor, work, rule)


@pytest.mark.django_db(transaction=True)
def test_the_ledger_has_the_tokens_and_the_reason(vendor: FakeVendor) -> None:
    rule, endless, answers, used = stopping(), EndlessStream(), [], []

    async def work(door: Door) -> None:
        vendor.always(endless)
        with endless.paced() as door.on_sent:
            answers.append(await door.ask(stream=True, max_tokens=10))
        used.append(await door.used(rule))

    at_the_door(vendor, work, rule)

    ledger.flush_now()
    request_id = parse_public_id("req", answers[0].headers["x-request-id"])
    assert request_id is not None
    record = UsageRecord.objects.get(id=request_id)
    assert (record.status, record.error_code, record.state) == (429, "budget_exceeded", "aborted")
    assert record.output_tokens > 1800
    assert record.cost * 10**9 == used[0]


@pytest.mark.parametrize("fields", [{"stops_streams": False}, {"amount": 10**9}], ids=["off", "not used up"])
def test_no_other_stream_is_cut(vendor: FakeVendor, fields: dict[str, Any]) -> None:
    rule, endless = stopping()._replace(**fields), EndlessStream(40)

    async def work(door: Door) -> None:
        vendor.always(endless)
        with endless.paced() as door.on_sent:
            answer = await door.ask(stream=True, max_tokens=10)

        assert answer.status == 200
        assert answer.body.endswith(b"data: [DONE]\n\n")
        # By the vendor's own count.
        assert await door.used(rule) == 40 * EVENT + 10 * TOKEN

    at_the_door(vendor, work, rule)


def test_an_answer_that_is_there_is_not_cut_before_its_last_words(vendor: FakeVendor) -> None:
    rule, usage = stopping(), {"prompt_tokens": 10, "completion_tokens": 4000}
    chunks = bodies.chat_chunks(["x" * 12_000], model="fake-chat", usage=usage)

    async def work(door: Door) -> None:
        vendor.always(
            stream(
                [b"".join(bodies.sse_events(chunks[:-1], has_done=False)), *bodies.sse_events(chunks[-1:])]
            )
        )
        answer = await door.ask(stream=True, max_tokens=10)

        assert answer.body.endswith(b"data: [DONE]\n\n")
        assert await door.used(rule) == 4010 * TOKEN

    at_the_door(vendor, work, rule)


def test_streams_beside_each_other_never_go_on_with_the_same_money(vendor: FakeVendor) -> None:
    rule, endless, count = stopping(), EndlessStream(), 4

    async def work(door: Door) -> None:
        vendor.always(endless)
        with endless.paced() as door.on_sent:
            answers = await asyncio.gather(*(door.ask(stream=True, max_tokens=10) for _ in range(count)))

        assert {last_error(answer)["code"] for answer in answers} == {"budget_exceeded"}
        # Each may be one event ahead of what it was told.
        assert AMOUNT - EVENT < await door.used(rule) <= AMOUNT + count * (EVENT + SLACK)

    at_the_door(vendor, work, rule)


def test_an_agent_s_run_ends_with_the_stream_of_its_call(vendor: FakeVendor) -> None:
    rule, endless = stopping(), EndlessStream(20_000)

    async def work(door: Door) -> None:
        vendor.always(endless)
        with endless.paced():
            pass
        answer = await door.ask(AGENT, stream=True, max_tokens=10)

        assert last_error(answer)["code"] == "budget_exceeded"
        # The vendor is fast: some of what it sends is read ahead.
        assert AMOUNT < await door.used(rule) < 20_000 * EVENT
        vendor.requests[0].wait_aborted()

    at_the_door(vendor, work, rule, agent=Agent(name="Helper"))


def test_without_such_a_budget_there_is_nothing_to_watch() -> None:
    rules = LimitsConfig()
    for rule in (budget(), limit()):
        rules.put(rule)

    plan = rules.seal().plan(CALL, Who(key=ALICE.hex), MODEL)

    assert plan.needs_cost
    assert not plan.stops_streams


@pytest.mark.django_db
def test_a_row_says_whether_its_budget_ends_streams() -> None:
    row = Budget(budget_id="alice's", subject_kind="key", subject_id=ALICE.hex, amount=1, stops_streams=True)
    row.save()
    section = build(None, 1, {})

    assert section.value.plan(CALL, Who(key=ALICE.hex), MODEL).stops_streams
    row.stops_streams = False
    row.save()
    section = build(section, ConfigVersion.objects.get(section=SECTION).version, {})
    assert not section.value.plan(CALL, Who(key=ALICE.hex), MODEL).stops_streams


async def held(limiter: Limiter, rule: BudgetRule, ticket_id: str, amount: int) -> StreamBudgets:
    """The budgets of a stream that reserved so much."""
    meter = Meter(rule, ALICE.hex)
    takes = [Take(meter.counter(1), amount)]
    answer = await limiter.reserve(ticket_id, takes)
    assert isinstance(answer, Granted)
    budgets = StreamBudgets.of(limiter, [meter], takes, answer.remaining)
    assert budgets is not None
    return budgets


async def total(limiter: Limiter, rule: BudgetRule) -> int:
    """What counts against a budget."""
    await limiter.settled()
    used = await limiter.used([Meter(rule, ALICE.hex).counter(1)])
    assert isinstance(used, list)
    return used[0]


async def test_what_a_stream_takes_is_nobody_else_s_and_is_given_back(limiter: Limiter) -> None:
    rule = stopping()._replace(amount=1000)
    first, second = await held(limiter, rule, "first", 100), await held(limiter, rule, "second", 100)

    await first.require(500, 200)
    assert first.held_nano == 700
    # The last of it, for there is no room for the step.
    await second.require(250, 200)
    assert second.held_nano == 300
    assert await total(limiter, rule) == 1000
    with pytest.raises(QuotaExceeded):
        await second.require(301, 200)
    first.give_back()
    await limiter.settled()
    await second.require(301, 200)

    second.give_back()
    limiter.settle("first", {"cost": 500})
    limiter.settle("second", {"cost": 301})
    assert await total(limiter, rule) == 801


async def test_what_others_used_beyond_their_reservation_is_missing(limiter: Limiter) -> None:
    rule = stopping()._replace(amount=1000)
    mine = await held(limiter, rule, "mine", 600)
    await held(limiter, rule, "other", 400)

    await mine.require(599, 10)
    limiter.settle("other", {"cost": 450})
    await limiter.settled()

    await mine.require(550, 10)
    with pytest.raises(QuotaExceeded):
        await mine.require(551, 10)
    limiter.settle("mine", {"cost": 551})


async def test_a_window_that_ended_leaves_what_was_known_of_it(limiter: Limiter) -> None:
    rule = stopping()._replace(amount=1000, window="day")
    meter = Meter(rule, ALICE.hex)
    takes = [Take(meter.counter(1), 100)]
    yesterday = StreamBudgets.of(limiter, [meter], takes, [200])
    assert yesterday is not None

    await yesterday.require(99, 10)
    await yesterday.require(300, 10)

    with pytest.raises(QuotaExceeded):
        await yesterday.require(301, 10)


async def test_an_amount_that_is_changed_meanwhile_counts(limiter: Limiter) -> None:
    # The increase has ended since.
    rule = stopping()._replace(amount=100, increase=900, until_ms=2)
    mine = await held(limiter, rule, "mine", 500)

    await mine.require(100, 10)
    with pytest.raises(QuotaExceeded, match=r"\$0.0000001 in all"):
        await mine.require(101, 10)
    limiter.settle("mine", {"cost": 101})
