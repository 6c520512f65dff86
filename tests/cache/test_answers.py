"""An answer from before is given again: to the same question, from the same audience, for nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest

from security_app.registry import KeyPolicy
from tests.agents.inprocess import HELPER
from tests.cache.cached import MODEL, Clock, cached, entry, rules, with_vendor
from tests.fakes.vendor import FakeVendor
from tests.limits.door import AGENT, CARD, Answer, Door, at_the_door, limit
from tests.limits.door import MODEL as CHAT
from tests.routing.candidates import route, target
from tests.routing.routed import door_of, record_of
from tests.routing.shaky import DEAD, FAILS, ShakyVendor
from upstreams_app.services.answer_cache.cache import answer_cache

pytestmark = pytest.mark.django_db(transaction=True)
TEAM, OTHER_TEAM = uuid4(), uuid4()


@pytest.fixture
def fake_vendor() -> Iterator[FakeVendor]:
    """A vendor that agents can be asked over."""
    with FakeVendor() as running:
        yield running


@pytest.mark.parametrize("is_stream", [False, True], ids=["plain", "stream"])
def test_a_hit_is_the_same_answer_and_asks_no_vendor(is_stream: bool) -> None:
    async def work(vendor: ShakyVendor) -> None:
        door = door_of(entry(vendor), prices={MODEL: CARD})

        first = await door.ask(MODEL, stream=is_stream)
        again = await door.ask(MODEL, stream=is_stream)

        assert (cached(first), cached(again)) == ("miss", "hit")
        assert again.body == first.body
        assert again.headers["content-type"] == first.headers["content-type"]
        assert again.headers["x-gateway-cache-key"] == first.headers["x-gateway-cache-key"]
        assert (again.headers["x-gateway-cost"], again.headers["x-gateway-attempts"]) == ("0", "0")
        assert again.headers["age"] == "0"
        assert vendor.asked.total() == 1
        answers.extend([first, again])

    answers: list[Answer] = []
    with_vendor(work)

    first, again = map(record_of, answers)
    assert (first.is_cached, again.is_cached) == (False, True)
    assert (again.cost, again.input_tokens, again.output_tokens, again.attempts) == (0, 0, 0, 0)
    assert (again.status, again.state, again.upstream) == (200, "reported", "")
    assert again.decision is not None
    assert again.decision["cache"]["request_id"] == answers[0].headers["x-request-id"]
    assert again.decision["cache"]["input_tokens"] == first.input_tokens


def test_without_a_policy_nothing_is_kept() -> None:
    async def work(vendor: ShakyVendor) -> None:
        door = door_of(replace(entry(vendor), cache=None))

        answers = [await door.ask(MODEL, cache={"ttl": 60}) for _ in range(2)]

        assert [cached(answer) for answer in answers] == [None, None]
        assert vendor.asked.total() == 2
        assert len(answer_cache.memory) == 0

    with_vendor(work)


def test_any_other_parameter_is_another_question() -> None:
    async def work(vendor: ShakyVendor) -> None:
        door = door_of(entry(vendor))
        questions: list[dict[str, Any]] = [
            {},
            {"temperature": 0},
            {"temperature": 0.0},
            {"messages": [{"role": "user", "content": "Hi!"}]},
            {"seed": 1},
            {"user": "x"},
            {"some_vendors_own": {"deep": [1]}},
            {"stream": True},
            {"stream": True, "stream_options": {"include_usage": True}},
            {"cache": {"namespace": "mine"}},
        ]

        firsts = [cached(await door.ask(MODEL, **fields)) for fields in questions]
        again = [cached(await door.ask(MODEL, **fields)) for fields in questions]

        assert (set(firsts), set(again)) == ({"miss"}, {"hit"})

    with_vendor(work)


@pytest.mark.parametrize(
    ("scope", "shares"),
    [("key", []), ("team", ["same team"]), ("global", ["same team", "other team", "no team"])],
)
def test_only_the_audience_of_the_policy_shares(scope: str, shares: list[str]) -> None:
    async def work(vendor: ShakyVendor) -> None:
        door = door_of(entry(vendor, scope=scope))
        alice = door.principal._replace(team_id=TEAM)
        others = {
            "same team": alice._replace(key_id=uuid4()),
            "other team": alice._replace(key_id=uuid4(), team_id=OTHER_TEAM),
            "no team": alice._replace(key_id=uuid4(), team_id=None),
        }

        found = []
        for name, other in others.items():
            # What one gets is not there for the next.
            answer_cache.memory.flush()
            door.principal = alice
            await door.ask(MODEL)
            door.principal = other
            found += [name] if cached(await door.ask(MODEL)) == "hit" else []

        assert found == shares

    with_vendor(work)


def test_keys_without_a_team_share_with_nobody() -> None:
    async def work(vendor: ShakyVendor) -> None:
        door = door_of(entry(vendor, scope="team"))

        answers = [await door.ask(MODEL, key=uuid4()) for _ in range(2)]

        assert [cached(answer) for answer in answers] == ["miss", "miss"]

    with_vendor(work)


def test_an_answer_of_a_model_that_is_no_longer_behind_the_id_is_not_given() -> None:
    async def work(vendor: ShakyVendor) -> None:
        await door_of(entry(vendor)).ask(MODEL)

        answer = await door_of(entry(vendor, served_by=b"another")).ask(MODEL)

        assert cached(answer) == "miss"

    with_vendor(work)


def test_who_has_other_targets_has_other_answers() -> None:
    async def work(vendor: ShakyVendor) -> None:
        targets = [replace(target(f"{tag}/m", vendor.url), tags=frozenset({tag})) for tag in ("eu", "us")]
        models = frozenset({"eu/m", "us/m"})
        entry = replace(route(*targets), is_selective=True, cache=rules(scope="global", models=models))
        door = door_of(entry)

        found = []
        for door.tags in (("eu",), ("us",), ("eu", "x"), ("us",), ("eu", "us")):
            answer = await door.ask("fast")
            found.append((cached(answer), answer.headers.get("x-gateway-upstream")))

        assert found[:2] == [("miss", "eu"), ("miss", "us")]
        assert [how for how, _ in found[2:]] == ["hit", "hit", "miss"]

    with_vendor(work)


def test_a_kept_answer_is_not_given_beyond_a_limit() -> None:
    async def work(vendor: ShakyVendor) -> None:
        door = door_of(entry(vendor), rules=[limit(value=2)])
        await door.ask(MODEL)

        answers = [await door.ask(MODEL) for _ in range(2)]

        assert [answer.status for answer in answers] == [200, 429]
        assert cached(answers[0]) == "hit"

    with_vendor(work)


def test_a_kept_answer_takes_no_tokens_of_a_limit() -> None:
    async def work(vendor: ShakyVendor) -> None:
        rule = limit(metric="tokens", value=1_000_000)
        door = door_of(entry(vendor), rules=[rule])
        await door.ask(MODEL)
        used = await door.used(rule)

        await door.ask(MODEL)

        assert await door.used(rule) == used == 5

    with_vendor(work)


def test_who_may_not_use_the_model_gets_no_answer_of_it() -> None:
    async def work(vendor: ShakyVendor) -> None:
        door = door_of(entry(vendor, scope="global"))
        await door.ask(MODEL)
        narrow = KeyPolicy(frozenset({"inference"}), ("other/*",))
        door.principal = door.principal._replace(policy=narrow)

        answer = await door.ask(MODEL)

        assert answer.status == 403

    with_vendor(work)


def test_an_answer_goes_when_its_time_is_over() -> None:
    async def work(vendor: ShakyVendor) -> None:
        door = door_of(entry(vendor, ttl_s=100))
        await door.ask(MODEL)
        await door.ask(MODEL, seed=1, cache={"ttl": 10})
        await door.ask(MODEL, seed=2, cache={"ttl": 1000})
        clock.now += 99

        found = [cached(await door.ask(MODEL, **more)) for more in ({}, {"seed": 1}, {"seed": 2})]
        clock.now += 2
        later = [cached(await door.ask(MODEL, **more)) for more in ({}, {"seed": 2})]

        assert found == ["hit", "miss", "hit"]
        assert later == ["miss", "miss"]

    clock = Clock()
    with_vendor(work, clock)


def test_clients_say_whether_they_want_what_is_kept() -> None:
    async def work(vendor: ShakyVendor) -> None:
        door = door_of(entry(vendor))
        old = await door.ask(MODEL)
        clock.now += 60

        header = [(b"cache-control", b"max-age=30")]
        assert cached(await door.ask(MODEL, cache={"s-maxage": 90})) == "hit"
        assert cached(await door.ask(MODEL, cache={"no-store": True})) == "hit"
        assert cached(await door.ask(MODEL, seed=1, cache={"no-store": True})) == "miss"
        assert cached(await door.ask(MODEL, seed=1)) == "miss"
        assert cached(await door.ask(MODEL, headers=header)) == "miss"
        assert cached(await door.ask(MODEL, headers=header)) == "hit"
        assert cached(await door.ask(MODEL, cache={"no-cache": True})) == "miss"
        assert cached(await door.ask(MODEL)) == "hit"
        assert cached(await door.ask(MODEL, cache={"no-cache": True, "no-store": True})) is None
        assert old.headers["x-gateway-cache"] == "miss"

    clock = Clock()
    with_vendor(work, clock)


def test_a_policy_may_wait_to_be_asked() -> None:
    async def work(vendor: ShakyVendor) -> None:
        door = door_of(entry(vendor, is_on_request=True))

        use: dict[str, Any] = {"cache": {"use-cache": True}}

        found = [cached(await door.ask(MODEL, **more)) for more in ({}, use, {}, use)]

        assert found == [None, "miss", None, "hit"]

    with_vendor(work)


def test_what_offers_tools_is_kept_only_where_the_policy_says_so() -> None:
    async def work(vendor: ShakyVendor) -> None:
        tools = [{"type": "function", "function": {"name": "pay"}}]
        careful, careless = entry(vendor), entry(vendor, "b/m", includes_tools=True)
        door = door_of(careful, careless)

        found = [cached(await door.ask(MODEL, tools=tools)) for _ in range(2)]
        kept = [cached(await door.ask("b/m", tools=tools)) for _ in range(2)]
        acting = [cached(await door.ask("b/m", web_search_options={})) for _ in range(2)]

        assert (found, kept, acting) == ([None, None], ["miss", "hit"], [None, None])

    with_vendor(work)


def test_errors_are_not_kept() -> None:
    async def work(vendor: ShakyVendor) -> None:
        door = door_of(entry(vendor))
        await vendor.become(FAILS)
        failed = await door.ask(MODEL)
        await vendor.become("ok")

        answer = await door.ask(MODEL)

        assert (failed.status, cached(answer)) == (502, "miss")

    with_vendor(work)


def test_what_a_fallback_answered_is_not_kept() -> None:
    async def work(vendor: ShakyVendor) -> None:
        dead = ShakyVendor()
        await dead.start()
        first = route(target(MODEL, dead.url), name="fast", max_attempts=1, fallbacks={"general": ("b/m",)})
        first = replace(first, cache=entry(vendor).cache)
        door = door_of(first, entry(vendor, "b/m"))
        await dead.become(DEAD)

        answers = [await door.ask("fast") for _ in range(2)]

        assert [cached(answer) for answer in answers] == ["miss", "miss"]
        assert vendor.asked.total() == 2
        await dead.stop()

    with_vendor(work)


def test_what_is_too_large_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    async def work(vendor: ShakyVendor) -> None:
        door = door_of(entry(vendor))

        found = [cached(await door.ask(MODEL, stream=is_stream)) for is_stream in (False, True) * 2]

        assert found == ["miss"] * 4

    monkeypatch.setattr(answer_cache.memory, "_max_bytes", 6_000)
    with_vendor(work)


def test_runs_of_agents_get_no_kept_answers(fake_vendor: FakeVendor) -> None:
    async def work(door: Door) -> None:
        models = door.snapshot.sections["upstreams"].value.models
        models[CHAT] = replace(models[CHAT], cache=rules(models=frozenset({CHAT})))
        assert cached(await door.ask(CHAT)) == "miss"
        asked = len(fake_vendor.requests)

        answers = [await door.ask(AGENT) for _ in range(2)]

        assert [cached(answer) for answer in answers] == [None, None]
        assert len(fake_vendor.requests) == asked + 2

    at_the_door(fake_vendor, work, agent=HELPER)


def test_nonsense_about_the_cache_is_named() -> None:
    async def work(vendor: ShakyVendor) -> None:
        answer = await door_of(entry(vendor)).ask(MODEL, cache={"no-cash": True})

        assert (answer.status, answer.error["param"]) == (400, "cache.no-cash")
        assert vendor.asked.total() == 0

    with_vendor(work)
