"""Where the first byte takes long a second target is asked: the first answer wins, both are accounted for."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from random import Random

import pytest

from gateway_project.api.inference import embeddings
from gateway_project.lifecycle import lifecycle
from tests.limits.door import Answer, Door, budget, limit
from tests.routing.candidates import route, target
from tests.routing.hedged import PRICES, below, decision, hedged
from tests.routing.routed import door_of, record_of, with_vendors
from tests.routing.shaky import FAILS, HANG, OK, ShakyVendor
from upstreams_app.services import background
from usage_app.models import UsageRecord
from usage_app.services.ledger import ledger
from usage_app.services.reconciliation import differences
from usage_app.services.rollups import HOUR, roll_up

pytestmark = pytest.mark.django_db(transaction=True)
BOTH_WAYS = pytest.mark.parametrize("is_stream", [False, True], ids=["plain", "stream"])


@BOTH_WAYS
def test_the_second_target_answers_for_a_first_one_that_takes_long(is_stream: bool) -> None:
    async def work(vendors: list[ShakyVendor]) -> None:
        await vendors[0].become(HANG)
        one, calls = limit(metric="concurrency", value=1), limit(value=9)
        money = budget(amount=10**9, stops_streams=True)
        door = door_of(hedged(vendors), rules=[one, calls, money], prices=PRICES)

        answer = await door.ask("fast", stream=is_stream, max_tokens=5)

        assert answer.status == 200
        assert b"fine" in answer.body
        assert (answer.headers["x-gateway-upstream"], answer.headers["x-gateway-attempts"]) == ("u1", "2")
        await background.finish(5)
        assert lifecycle.clients.busy_by_name() == {}
        assert (await door.used(one), await door.used(calls)) == (0, 1)
        answers.append((answer, await door.used(money)))

    answers: list[tuple[Answer, int]] = []
    with_vendors(2, work)

    answer, spent = answers[0]
    record, (lost,) = record_of(answer), below(answer)
    assert (record.upstream, record.status, record.attempts) == ("u1", 200, 1)
    assert decision(record)["hedged"][0]["outcome"] == "won"
    assert (lost.upstream, lost.status, lost.error_code, lost.state) == ("u0", 499, "hedge_lost", "aborted")
    assert (lost.attempts, lost.model, lost.key_name) == (1, "fast", "alice")
    assert lost.input_tokens > 0
    # A whole answer was under way there too, and of a stream nothing had been written.
    assert lost.output_tokens == (0 if is_stream else 2)
    assert record.cost is not None
    assert lost.cost is not None
    assert spent == (record.cost + lost.cost) * 10**9
    while roll_up():
        pass
    hour = record.at.replace(minute=0, second=0, microsecond=0)
    assert differences(hour, hour + 2 * HOUR) == []


@BOTH_WAYS
def test_a_first_target_that_answers_in_the_end_wins_and_the_second_is_cancelled(is_stream: bool) -> None:
    async def work(vendors: list[ShakyVendor]) -> None:
        vendors[0].delay_s = 0.2
        await vendors[1].become(HANG)
        money = budget(amount=10**9)
        door = door_of(hedged(vendors), rules=[money], prices=PRICES)

        answer = await door.ask("fast", stream=is_stream, max_tokens=5)

        assert (answer.status, answer.headers["x-gateway-upstream"]) == (200, "u0")
        await background.finish(5)
        assert lifecycle.clients.busy_by_name() == {}
        answers.append((answer, await door.used(money)))

    answers: list[tuple[Answer, int]] = []
    with_vendors(2, work)

    answer, spent = answers[0]
    record, (lost,) = record_of(answer), below(answer)
    assert decision(record)["hedged"] == [{"outcome": "lost", "target": "u1/m"} | _time(record)]
    assert (lost.upstream, lost.error_code) == ("u1", "hedge_lost")
    assert record.cost is not None
    assert lost.cost is not None
    assert spent == (record.cost + lost.cost) * 10**9


def _time(record: UsageRecord) -> dict[str, int]:
    return {"after_ms": decision(record)["hedged"][0]["after_ms"]}


def test_a_quick_answer_costs_one_call() -> None:
    async def work(vendors: list[ShakyVendor]) -> None:
        answers.append(await door_of(hedged(vendors, after_s=3)).ask("fast"))

        assert vendors[1].asked.total() == 0

    answers: list[Answer] = []
    with_vendors(2, work)

    assert answers[0].headers["x-gateway-attempts"] == "1"
    assert "hedged" not in decision(record_of(answers[0]))
    assert below(answers[0]) == []


def test_where_both_fail_the_next_target_is_asked() -> None:
    async def work(vendors: list[ShakyVendor]) -> None:
        await vendors[0].become(HANG)
        await vendors[1].become(FAILS)
        door = door_of(hedged(vendors, upstream={"first_token_timeout_s": 0.1}), prices=PRICES)

        answers.append(await door.ask("fast"))

    answers: list[Answer] = []
    with_vendors(3, work)

    assert answers[0].status == 200
    record = record_of(answers[0])
    assert (record.upstream, record.attempts) == ("u2", 3)
    assert [failed["target"] for failed in decision(record)["failed"]] == ["u1/m", "u0/m"]
    assert decision(record)["hedged"][0]["outcome"] == "failed"
    # What fails costs nothing, as without a second call.
    assert below(answers[0]) == []


def test_where_both_fail_and_no_target_is_left_the_fallback_answers() -> None:
    async def work(vendors: list[ShakyVendor]) -> None:
        await vendors[0].become(HANG)
        await vendors[1].become(FAILS)
        entry = hedged(
            vendors[:2], upstream={"first_token_timeout_s": 0.1}, fallbacks={"general": ("other",)}
        )
        other = route(target("u2/m", vendors[2].url), name="other")
        money = budget(amount=10**9)

        answer = await door_of(entry, other, rules=[money], prices=PRICES).ask("fast", max_tokens=5)

        assert (answer.status, answer.headers["x-gateway-upstream"]) == (200, "u2")
        assert answer.headers["x-gateway-attempts"] == "3"

    with_vendors(3, work)


@pytest.mark.parametrize("mode", [FAILS, "400"])
def test_a_second_target_that_fails_does_no_harm(mode: str) -> None:
    async def work(vendors: list[ShakyVendor]) -> None:
        vendors[0].delay_s = 0.2
        await vendors[1].become(mode)

        answers.append(await door_of(hedged(vendors)).ask("fast"))

    answers: list[Answer] = []
    with_vendors(2, work)

    assert (answers[0].status, answers[0].headers["x-gateway-attempts"]) == (200, "2")
    assert record_of(answers[0]).upstream == "u0"


@BOTH_WAYS
def test_a_client_that_leaves_cancels_both(is_stream: bool) -> None:
    async def work(vendors: list[ShakyVendor]) -> None:
        for vendor in vendors:
            await vendor.become(HANG)
        money = budget(amount=10**9)
        door = door_of(hedged(vendors), rules=[money], prices=PRICES)
        asking = asyncio.ensure_future(door.ask("fast", user="left", stream=is_stream, max_tokens=5))
        await vendors[1].was_asked.wait()

        door.scopes[0].cancel("client_disconnected")
        await asking

        await background.finish(5)
        assert lifecycle.clients.busy_by_name() == {}
        spent.append(await door.used(money))

    spent: list[int] = []
    with_vendors(2, work)

    ledger.flush_now()
    second = UsageRecord.objects.exclude(parent_id=None).filter(end_user="left").latest("id")
    assert second.parent_id is not None
    first = UsageRecord.objects.get(pk=second.parent_id)
    assert (first.upstream, first.status, first.error_code) == ("u0", 499, "client_disconnected")
    assert (second.upstream, second.status, second.error_code) == ("u1", 499, "client_disconnected")
    assert second.cost is not None
    assert spent[0] == ((first.cost or 0) + second.cost) * 10**9


def test_one_deadline_ends_both() -> None:
    async def work(vendors: list[ShakyVendor]) -> None:
        for vendor in vendors:
            await vendor.become(HANG)
        answers.append(await door_of(hedged(vendors, deadline_s=0.2)).ask("fast"))

        await background.finish(5)
        assert lifecycle.clients.busy_by_name() == {}

    answers: list[Answer] = []
    with_vendors(2, work)

    assert answers[0].status == 504
    assert record_of(answers[0]).attempts + len(below(answers[0])) == 2


def test_a_first_call_that_waits_for_a_place_is_helped_and_leaves_the_queue() -> None:
    async def work(vendors: list[ShakyVendor]) -> None:
        entry = hedged(vendors, max_attempts=2, upstream={"max_concurrency": 1, "queue_size": 5})
        upstream = entry.targets[0].upstream
        places = lifecycle.clients.places(upstream)
        places.held = 1
        door = door_of(entry)

        answer = await door.ask("fast")

        assert (answer.status, answer.headers["x-gateway-upstream"]) == (200, "u1")
        assert (places.held, places.waiting) == (1, 0)

    with_vendors(2, work)


def test_embeddings_are_asked_twice_of_the_one_model_only() -> None:
    async def work(vendors: list[ShakyVendor]) -> None:
        await vendors[0].become(HANG)
        other = target("u1/other", vendors[1].url, priority=2)
        same = target("u2/m", vendors[2].url, priority=3)
        entry = replace(hedged(vendors[:1]), embedding_model="m")
        door = door_of(replace(entry, targets=(entry.targets[0], other, same)))

        answer = await door.ask("fast", operation=embeddings)

        assert (answer.status, answer.headers["x-gateway-upstream"]) == (200, "u2")
        assert vendors[1].asked.total() == 0

    with_vendors(3, work)


def test_whatever_happens_each_call_of_a_vendor_is_in_the_ledger_and_nothing_stays_held() -> None:
    random, money = Random(7), budget(amount=10**9)

    async def one(door: Door, vendors: list[ShakyVendor]) -> Answer:
        for vendor in vendors:
            vendor.delay_s = random.choice((0.0, 0.02, 0.06))
            vendor.mode = random.choice((OK, OK, OK, FAILS))
        asking = asyncio.ensure_future(
            door.ask("fast", user="whatever", stream=random.random() < 0.5, max_tokens=5)
        )
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        if random.random() < 0.3:
            loop, scope = asyncio.get_running_loop(), door.scopes[-1]
            loop.call_later(0.005 + random.random() * 0.05, scope.cancel, "client_disconnected")
        return await asking

    async def work(vendors: list[ShakyVendor]) -> None:
        door = door_of(hedged(vendors, after_s=0.01, breaker_failures=0), rules=[money], prices=PRICES)

        for _ in range(8):
            await asyncio.gather(*(one(door, vendors) for _ in range(8)))
        await background.finish(5)

        assert lifecycle.clients.busy_by_name() == {}
        asked.append(sum(vendor.asked.total() for vendor in vendors))
        spent.append(await door.used(money))

    asked, spent = list[int](), list[int]()
    with_vendors(3, work)

    ledger.flush_now()
    records = UsageRecord.objects.filter(end_user="whatever")
    assert records.filter(parent_id=None).count() == 64
    assert records.filter(error_code="hedge_lost").exists()
    assert sum(record.attempts for record in records) >= asked[0] > 64
    assert sum(record.cost or 0 for record in records) * 10**9 == spent[0]
