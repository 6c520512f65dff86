"""A request gets its answer from whoever can give it, and a dead target is left alone."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from gateway_project.lifecycle import lifecycle
from tests.limits.door import CARD, Answer, budget
from tests.routing.candidates import route, target
from tests.routing.routed import door_of, record_of, with_vendors
from tests.routing.shaky import DEAD, FAILS, HANG, LIMITED, ShakyVendor
from upstreams_app.registry import ModelEntry
from upstreams_app.services.course import backoff_s

pytestmark = pytest.mark.django_db(transaction=True)


def direct(vendor: ShakyVendor, model_id: str = "a/m", **upstream: Any) -> ModelEntry:
    """The model id of one target."""
    return replace(route(target(model_id, vendor.url, **upstream), name=model_id), is_route=False)


def test_a_dead_single_target_gets_no_connection_until_one_call_tries_it() -> None:
    async def work(vendors: list[ShakyVendor]) -> None:
        vendor = vendors[0]
        door = door_of(direct(vendor, breaker_failures=3, breaker_cooldown_s=60.0))
        await vendor.become(FAILS)
        failed = [(await door.ask("a/m")).status for _ in range(3)]
        count, asked = vendor.accepted, vendor.asked.total()

        refused = [await door.ask("a/m", stream=is_stream) for is_stream in (False, True)]

        assert failed == [502, 502, 502]
        assert {answer.status for answer in refused} == {503}
        assert refused[0].error["code"] == "upstream_circuit_open"
        assert 0 < int(refused[0].headers["retry-after"]) <= 60
        assert (vendor.accepted, vendor.asked.total()) == (count, asked)
        await vendor.become("ok")
        facts = lifecycle.clients.tracker.find("a/m")
        assert facts is not None
        facts.barred_until = 0.1
        assert [(await door.ask("a/m")).status for _ in range(2)] == [200, 200]
        assert not facts.is_open

    with_vendors(1, work)


def test_only_one_of_many_calls_tries_a_target_again() -> None:
    async def work(vendors: list[ShakyVendor]) -> None:
        vendor = vendors[0]
        door = door_of(direct(vendor, breaker_failures=1, breaker_cooldown_s=60.0, first_token_timeout_s=5.0))
        await vendor.become(FAILS)
        await door.ask("a/m")
        facts = lifecycle.clients.tracker.find("a/m")
        assert facts is not None
        facts.barred_until = 0.1
        asked = vendor.asked.total()

        statuses = [answer.status for answer in await asyncio.gather(*(door.ask("a/m") for _ in range(20)))]

        assert vendor.asked.total() == asked + 1
        assert sorted(statuses) == [502] + [503] * 19

    with_vendors(1, work)


@pytest.mark.parametrize("status", ["401", LIMITED])
def test_callers_with_credentials_of_their_own_close_a_model_to_nobody(status: str) -> None:
    async def work(vendors: list[ShakyVendor]) -> None:
        door = door_of(direct(vendors[0], breaker_failures=1, takes_client_credential=True))
        await vendors[0].become(status)
        for _ in range(3):
            await door.ask("a/m")
        await vendors[0].become("ok")

        answer = await door.ask("a/m")

        assert answer.status == 200
        facts = lifecycle.clients.tracker.find("a/m")
        assert facts is not None
        assert not facts.barred_until

    with_vendors(1, work)


def test_a_single_target_is_asked_again_with_a_pause() -> None:
    async def work(vendors: list[ShakyVendor]) -> None:
        vendor = vendors[0]
        await vendor.become(LIMITED)
        door = door_of(direct(vendor, max_retries=1))
        asking = asyncio.ensure_future(door.ask("a/m", user="x"))
        await vendor.was_asked.wait()
        await vendor.become("ok")

        answer = await asking

        assert (answer.status, answer.headers["x-gateway-attempts"]) == (200, "2")

    with_vendors(1, work)


def test_a_timeout_is_not_waited_for_twice_at_the_same_target() -> None:
    async def work(vendors: list[ShakyVendor]) -> None:
        await vendors[0].become(HANG)
        door = door_of(direct(vendors[0], max_retries=5, first_token_timeout_s=0.2))

        answer = await door.ask("a/m", user="x")

        assert (answer.status, vendors[0].asked["x"]) == (504, 1)

    with_vendors(1, work)


@pytest.mark.parametrize("fault", [DEAD, FAILS, LIMITED, HANG])
@pytest.mark.parametrize("is_stream", [False, True], ids=["plain", "stream"])
def test_another_target_answers_and_the_ledger_says_why(fault: str, is_stream: bool) -> None:
    async def work(vendors: list[ShakyVendor]) -> None:
        first, second = vendors
        entry = route(
            target("a/m", first.url, priority=1, first_token_timeout_s=0.3),
            target("b/m", second.url, priority=2),
            strategy="latency",
        )
        await first.become(fault)

        answer = await door_of(entry).ask("fast", user="x", stream=is_stream)

        assert (answer.status, answer.headers["x-gateway-upstream"]) == (200, "b")
        answers.append(answer)

    answers: list[Answer] = []
    with_vendors(2, work)

    record = record_of(answers[0])
    assert record.decision is not None
    assert record.decision["candidates"] == ["a/m", "b/m"]
    assert [failed["target"] for failed in record.decision["failed"]] == ["a/m"]
    assert (record.model, record.route, record.attempts) == ("fast", "fast", 2)


def test_a_route_says_how_often_a_fault_may_be_tried_again() -> None:
    async def work(vendors: list[ShakyVendor]) -> None:
        targets = [target(f"u{index}/m", vendor.url) for index, vendor in enumerate(vendors)]
        for vendor in vendors:
            await vendor.become(FAILS)
        door = door_of(
            route(*targets, name="once", retries={"server_error": 1}),
            route(*targets, name="never", retries={"server_error": 0}),
            route(*targets, name="two", max_attempts=2),
        )

        attempts = [(await door.ask(name)).headers["x-gateway-attempts"] for name in ("once", "never", "two")]

        assert attempts == ["2", "1", "2"]

    with_vendors(3, work)


def test_one_deadline_is_over_everything() -> None:
    async def work(vendors: list[ShakyVendor]) -> None:
        for vendor in vendors:
            await vendor.become(HANG)
        targets = [
            target(f"u{index}/m", vendor.url, first_token_timeout_s=10.0)
            for index, vendor in enumerate(vendors)
        ]
        loop = asyncio.get_running_loop()
        began = loop.time()

        answer = await door_of(route(*targets, deadline_s=0.3)).ask("fast")

        assert answer.status == 504
        assert answer.headers["x-gateway-attempts"] == "1"
        assert loop.time() - began < 5

    with_vendors(2, work)


def fallback_routes(vendors: list[ShakyVendor], **policy: Any) -> list[ModelEntry]:
    first, second = (target(f"u{index}/m", vendor.url) for index, vendor in enumerate(vendors))
    return [route(first, name="main", **policy), route(second, name="other")]


def test_a_fallback_answers_under_the_name_that_was_asked() -> None:
    async def work(vendors: list[ShakyVendor]) -> None:
        await vendors[0].become(DEAD)
        door = door_of(*fallback_routes(vendors, fallbacks={"general": ("gone", "other")}))

        answer = await door.ask("main")

        assert (answer.status, answer.headers["x-gateway-upstream"]) == (200, "u1")
        assert b'"model":"main"' in answer.body.replace(b" ", b"")
        answers.append(answer)

    answers: list[Answer] = []
    with_vendors(2, work)

    record = record_of(answers[0])
    assert (record.model, record.upstream) == ("main", "u1")
    assert record.decision is not None
    assert record.decision["fallback"] == "other"


def test_a_fallback_that_the_key_may_not_use_is_none() -> None:
    async def work(vendors: list[ShakyVendor]) -> None:
        await vendors[0].become(DEAD)
        door = door_of(*fallback_routes(vendors, fallbacks={"general": ("other",)}))
        policy = door.principal.policy
        door.principal = door.principal._replace(policy=replace_models(policy, ("main",)))

        answer = await door.ask("main")

        assert answer.status == 502
        assert not vendors[1].asked

    def replace_models(policy: Any, models: tuple[str, ...]) -> Any:
        return type(policy)(policy.scopes, models)

    with_vendors(2, work)


def test_a_fallback_is_asked_within_its_own_budget() -> None:
    async def work(vendors: list[ShakyVendor]) -> None:
        await vendors[0].become(DEAD)
        empty = budget(subject="other", kind="model", amount=1)
        entries = fallback_routes(vendors, fallbacks={"general": ("other",)})
        door = door_of(*entries, rules=[empty], prices={"u1/m": CARD})

        answer = await door.ask("main")

        assert answer.status == 502
        assert not vendors[1].asked

    with_vendors(2, work)


def test_a_used_up_budget_leads_to_the_fallback() -> None:
    async def work(vendors: list[ShakyVendor]) -> None:
        empty = budget(subject="main", kind="model", amount=1)
        entries = fallback_routes(vendors, fallbacks={"budget": ("other",)})
        door = door_of(*entries, rules=[empty], prices={"u0/m": CARD, "u1/m": CARD})

        answers = [await door.ask("main", stream=is_stream) for is_stream in (False, True)]

        assert [answer.status for answer in answers] == [200, 200]
        assert not vendors[0].asked
        assert vendors[1].asked.total() == 2

    with_vendors(2, work)


def test_fallbacks_never_go_in_circles() -> None:
    async def work(vendors: list[ShakyVendor]) -> None:
        for vendor in vendors:
            await vendor.become(FAILS)
        first, second = fallback_routes(vendors, fallbacks={"general": ("other", "main")})
        second = replace(second, policy=first.policy)

        answer = await door_of(first, second).ask("main")

        assert (answer.status, answer.headers["x-gateway-attempts"]) == (502, "2")

    with_vendors(2, work)


def test_the_pause_doubles_up_to_eight_seconds() -> None:
    longest = [backoff_s(repeats, lambda: 1.0) for repeats in range(7)]

    assert longest == [0.5, 1.0, 2.0, 4.0, 8.0, 8.0, 8.0]
    assert backoff_s(0, lambda: 0.0) == 0.375
