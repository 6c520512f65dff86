"""Limits and budgets at the door: who is let in, what is told, and that what is refused costs nothing."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import pytest

from gateway_project.api.inference import embeddings
from gateway_project.core.ids import public_id
from gateway_project.readiness import readiness_warnings
from security_app.limits import LocalLimiter, Take, Unavailable
from security_app.services import denials
from security_app.services.limiting import limiting
from tests.doors.conftest import shared_vendor, vendor
from tests.fakes import bodies
from tests.fakes.behaviours import chat, error
from tests.fakes.vendor import FakeVendor
from tests.limits.door import EMBEDDING, MODEL, UNPRICED, Door, at_the_door, budget, limit
from tests.usage.entries import ALICE, BOB

__all__ = ["shared_vendor", "vendor"]
TEAM = UUID("01900000-0000-7000-8000-00000000000a")
USED = {"prompt_tokens": 6000, "completion_tokens": 4000, "total_tokens": 10_000}


def test_a_limit_is_kept_and_told(vendor: FakeVendor) -> None:
    rule = limit(value=2)

    async def work(door: Door) -> None:
        first, second, third = [await door.ask() for _ in range(3)]

        assert (first.status, second.status, third.status) == (200, 200, 429)
        assert first.headers["x-ratelimit-limit-requests"] == "2"
        assert first.headers["x-ratelimit-remaining-requests"] == "1"
        assert first.headers["x-ratelimit-api_key-remaining-requests"] == "1"
        assert second.headers["x-ratelimit-remaining-requests"] == "0"
        assert third.headers["x-ratelimit-api_key-limit-requests"] == "2"
        assert 1 <= int(third.headers["retry-after"]) <= 61
        assert third.error["type"] == "rate_limit_error"
        assert third.error["code"] == "rate_limit_exceeded"
        assert "this API key" in third.error["message"]
        assert "2 requests in any minute" in third.error["message"]
        assert await door.used(rule) == 2

    at_the_door(vendor, work, rule)


def test_what_is_refused_is_counted_for_alerts(vendor: FakeVendor, monkeypatch: pytest.MonkeyPatch) -> None:
    counted = denials.DenialFolds()
    monkeypatch.setattr(denials, "limited_folds", counted)

    async def work(door: Door) -> None:
        for _ in range(3):
            await door.ask()

    at_the_door(vendor, work, limit(value=1))
    (fold,) = counted.take(everything=True)
    assert (fold.who, fold.reason, fold.count) == (public_id("key", ALICE), "limit", 2)


def test_a_stream_is_told_before_its_first_byte(vendor: FakeVendor) -> None:
    async def work(door: Door) -> None:
        first, second = await door.ask(stream=True), await door.ask(stream=True)

        assert first.headers["x-ratelimit-remaining-requests"] == "0"
        assert first.body.endswith(b"data: [DONE]\n\n")
        assert second.status == 429
        assert second.headers["content-type"] == "application/json"

    at_the_door(vendor, work, limit(value=1))


def test_each_scope_has_a_counter_and_the_tightest_speaks(vendor: FakeVendor) -> None:
    rules = [
        limit(value=9),
        limit(kind="team", subject=TEAM.hex, value=5),
        limit(kind="user", subject="ann", value=4),
        limit(kind="tag", subject="red", value=3),
        limit(kind="model", subject=MODEL, value=8),
    ]

    async def work(door: Door) -> None:
        door.principal = door.principal._replace(team_id=TEAM, user_id="ann")
        door.tags = ("red", "blue")
        answer = await door.ask()

        assert answer.headers["x-ratelimit-limit-requests"] == "3"
        remaining = {
            scope: answer.headers[f"x-ratelimit-{scope}-remaining-requests"]
            for scope in ("api_key", "team", "user", "tag", "model")
        }
        assert remaining == {"api_key": "8", "team": "4", "user": "3", "tag": "2", "model": "7"}

    at_the_door(vendor, work, *rules)


@pytest.mark.parametrize("spelling", ["zoe\0", "\0zoe", " zoe\n", "z\0oe"])
def test_an_end_user_is_the_same_for_limits_as_for_the_ledger(vendor: FakeVendor, spelling: str) -> None:
    async def work(door: Door) -> None:
        assert (await door.ask(user="zoe")).status == 200
        assert (await door.ask(user=spelling)).status == 429

    at_the_door(vendor, work, limit(kind="end_user", subject="", value=1))


def test_end_users_are_limited_by_the_body_s_user(vendor: FakeVendor) -> None:
    async def work(door: Door) -> None:
        statuses = [(await door.ask(user=user)).status for user in ("ann", "ann", "ben", "ann")]
        assert statuses == [200, 429, 200, 429]

    at_the_door(vendor, work, limit(kind="end_user", subject="", value=1))


def test_a_default_holds_for_each_key_without_a_limit_of_its_own(vendor: FakeVendor) -> None:
    default, own = limit(subject="", value=1), limit(subject=BOB.hex, value=2)

    async def work(door: Door) -> None:
        assert [(await door.ask(key=ALICE)).status for _ in range(2)] == [200, 429]
        assert [(await door.ask(key=BOB)).status for _ in range(3)] == [200, 200, 429]
        assert (await door.ask(key=TEAM)).status == 200

    at_the_door(vendor, work, default, own)


def test_a_limit_of_tokens_does_not_stand_in_for_the_default_of_requests(vendor: FakeVendor) -> None:
    async def work(door: Door) -> None:
        assert [(await door.ask()).status for _ in range(2)] == [200, 429]

    at_the_door(vendor, work, limit(subject="", value=1), limit(metric="tokens", value=10**9))


def test_a_limit_counts_only_its_models(vendor: FakeVendor) -> None:
    async def work(door: Door) -> None:
        assert [(await door.ask(UNPRICED)).status for _ in range(2)] == [200, 200]
        assert [(await door.ask(MODEL)).status for _ in range(2)] == [200, 429]

    at_the_door(vendor, work, limit(model="fake/*", value=1))


def test_concurrency_is_of_what_is_open(vendor: FakeVendor) -> None:
    async def work(door: Door) -> None:
        answers = await asyncio.gather(*(door.ask() for _ in range(3)))
        assert sorted(answer.status for answer in answers) == [200, 429, 429]
        refused = next(answer for answer in answers if answer.status == 429)
        assert "1 requests at a time" in refused.error["message"]
        assert refused.headers["x-ratelimit-api_key-remaining-max_parallel_requests"] == "0"
        assert (await door.ask()).status == 200

    at_the_door(vendor, work, limit(metric="concurrency", value=1))


def test_tokens_are_reserved_and_then_settled(vendor: FakeVendor) -> None:
    rule = limit(metric="tokens", value=5000)

    async def work(door: Door) -> None:
        vendor.always(chat(usage={"prompt_tokens": 40, "completion_tokens": 60, "total_tokens": 100}))
        too_much = await door.ask(max_tokens=6000)
        answer = await door.ask(max_tokens=3000)

        assert too_much.status == 429
        assert too_much.headers["x-should-retry"] == "false"
        assert "retry-after" not in too_much.headers
        assert answer.status == 200
        assert int(answer.headers["x-ratelimit-remaining-tokens"]) < 2000
        assert await door.used(rule) == 100

    at_the_door(vendor, work, rule)


def test_a_request_that_no_upstream_saw_costs_nothing(vendor: FakeVendor) -> None:
    tight, wide = limit(metric="concurrency", value=0), limit(value=10)
    spent = budget()

    async def work(door: Door) -> None:
        assert (await door.ask()).status == 429
        assert await door.used(wide) == 0
        assert await door.used(spent) == 0

    at_the_door(vendor, work, tight, wide, spent)


def test_a_request_that_an_upstream_refused_keeps_its_request_and_nothing_else(vendor: FakeVendor) -> None:
    wide, spent = limit(value=10), budget()

    async def work(door: Door) -> None:
        vendor.always(error(400))
        answer = await door.ask()

        assert answer.status == 400
        assert answer.headers["x-ratelimit-remaining-requests"] == "9"
        assert (await door.used(wide), await door.used(spent)) == (1, 0)

    at_the_door(vendor, work, wide, spent)


def test_a_budget_is_spent_to_the_cent_and_says_when_it_resets(vendor: FakeVendor) -> None:
    # A hundred cents, of which each request costs one.
    rule = budget(window="month", zone="Europe/Berlin", amount=3 * 10**7)

    async def work(door: Door) -> None:
        vendor.always(chat(usage=USED))
        # The body is 90 bytes or so; what may come after it makes it a cent.
        answers = [await door.ask(max_tokens=4000) for _ in range(4)]

        assert [answer.status for answer in answers] == [200, 200, 200, 429]
        refused = answers[-1]
        assert refused.error["code"] == refused.error["type"] == "insufficient_quota"
        assert refused.headers["x-should-retry"] == "false"
        assert int(refused.headers["retry-after"]) > 0
        assert "$0.03 a month" in refused.error["message"]
        assert "(Europe/Berlin)" in refused.error["message"]
        assert await door.used(rule) == 3 * 10**7

    at_the_door(vendor, work, rule)


def test_a_reservation_that_does_not_fit_is_refused_before_the_vendor_is_asked(vendor: FakeVendor) -> None:
    async def work(door: Door) -> None:
        answer = await door.ask(max_tokens=2_000_000)
        assert answer.status == 429
        assert "this request may cost up to $2" in answer.error["message"]
        assert vendor.requests == []

    at_the_door(vendor, work, budget())


def test_what_was_spent_before_a_restart_counts(vendor: FakeVendor) -> None:
    rule = budget(window="month")

    async def work(door: Door) -> None:
        assert (await door.ask(max_tokens=10)).status == 429

    at_the_door(vendor, work, rule, seeds={rule.id: 10**9})


def test_models_without_a_price_need_leave_under_a_budget(vendor: FakeVendor) -> None:
    async def work(door: Door) -> None:
        answer = await door.ask(UNPRICED)
        assert (answer.status, answer.error["code"], answer.error["param"]) == (
            400,
            "model_unpriced",
            "model",
        )

    at_the_door(vendor, work, budget())

    async def work_with_leave(door: Door) -> None:
        assert (await door.ask(UNPRICED)).status == 200

    at_the_door(vendor, work_with_leave, budget(allows_unpriced=True))


def test_embeddings_reserve_no_output(vendor: FakeVendor) -> None:
    async def work(door: Door) -> None:
        answer = await door.ask(EMBEDDING, operation=embeddings)
        assert answer.status == 200

    # Less than the 4096 tokens that an answer without a maximum would reserve.
    at_the_door(vendor, work, budget(amount=4096 * 1000 - 1))


def test_a_temporary_increase_counts_until_it_ends(vendor: FakeVendor) -> None:
    async def work(door: Door) -> None:
        assert (await door.ask(max_tokens=10_000)).status == expected

    expected = 200
    at_the_door(vendor, work, budget(amount=10**6, increase=10**9, until_ms=2**45))
    # More than counters can hold is as much as they can.
    at_the_door(vendor, work, budget(amount=9 * 10**15, increase=9 * 10**15, until_ms=2**45))
    expected = 429
    at_the_door(vendor, work, budget(amount=10**6, increase=10**9, until_ms=1))


@pytest.mark.parametrize("status", [500, 429])
def test_a_failing_upstream_holds_nothing(vendor: FakeVendor, status: int) -> None:
    spent = budget()

    async def work(door: Door) -> None:
        vendor.always(error(status))
        await door.ask()
        assert door.held() == 0
        assert await door.used(spent) == 0

    at_the_door(vendor, work, spent)


def test_a_soft_amount_is_told_once(vendor: FakeVendor, caplog: Any) -> None:
    rule = budget(soft=2 * 10**7)

    async def work(door: Door) -> None:
        vendor.always(chat(usage=USED))
        told = []
        for _ in range(4):
            assert (await door.ask(max_tokens=100)).status == 200
            told.append(sum(record.message == "budget.soft_amount_reached" for record in caplog.records))
        assert told == [0, 1, 1, 1]

    at_the_door(vendor, work, rule)


def test_nothing_is_counted_where_nothing_is_limited(vendor: FakeVendor) -> None:
    async def work(door: Door) -> None:
        answer = await door.ask()
        assert answer.status == 200
        assert not [name for name in answer.headers if name.startswith("x-ratelimit")]
        assert json.loads(answer.body)["usage"] == bodies.USAGE

    at_the_door(vendor, work)


class Away(LocalLimiter):
    """A limiter whose store does not answer."""

    async def reserve(self, ticket_id: str, takes: Sequence[Take], **_: Any) -> Unavailable:
        return Unavailable("the store is away")


@pytest.mark.parametrize("is_fail_open", [True, False])
def test_without_counters_each_rule_says_whether_calls_go_on(vendor: FakeVendor, is_fail_open: bool) -> None:
    async def work(door: Door) -> None:
        limiting._limiter = Away()
        answer = await door.ask()

        assert answer.status == (200 if is_fail_open else 503)
        if is_fail_open:
            assert answer.headers["x-gateway-limits"] == "degraded"
        else:
            assert answer.error["type"] == "overloaded_error"
            assert int(answer.headers["retry-after"]) > 0
        assert limiting.problem() is not None
        assert "limits and budgets are not counted" in readiness_warnings()

    at_the_door(vendor, work, limit(is_fail_open=True), budget(is_fail_open=is_fail_open))


def test_an_installation_that_counts_has_no_warning_of_it(vendor: FakeVendor) -> None:
    async def work(door: Door) -> None:
        assert (await door.ask()).status == 200
        assert limiting.problem() is None

    at_the_door(vendor, work, limit())
