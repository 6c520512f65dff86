"""Strategies put the target first that their name promises."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.routing.candidates import candidate, query, route, target
from upstreams_app.route_policy import COST, LATENCY, LEAST_BUSY, USAGE, WEIGHTED
from upstreams_app.routing.affinity import by_rendezvous
from upstreams_app.routing.plan import make_plan
from upstreams_app.routing.strategies import STRATEGIES, Candidate
from upstreams_app.routing.tracker import Tracker


def first_of(strategy: str, candidates: list[Candidate], asked: object = None) -> str:
    ranking = STRATEGIES[strategy].rank(candidates, asked or query())  # type: ignore[arg-type]
    return ranking.order[0].target.model_id


@given(
    st.lists(st.integers(0, 5), min_size=2, max_size=20),
    st.sampled_from(sorted(STRATEGIES)),
    st.integers(0, 2**32),
)
@settings(max_examples=60, deadline=None)
def test_every_strategy_orders_all_targets_and_zero_weights_last(
    weights: list[int], strategy: str, seed: int
) -> None:
    candidates = [candidate(f"u{index}/m", weight=weight) for index, weight in enumerate(weights)]

    order = STRATEGIES[strategy].rank(candidates, query()._replace(draw=random.Random(seed).random)).order

    assert sorted(each.target.model_id for each in order) == sorted(
        each.target.model_id for each in candidates
    )
    is_last_resort = [each.target.weight == 0 for each in order]
    assert is_last_resort == sorted(is_last_resort)


def test_weights_are_shares_of_the_traffic() -> None:
    candidates = [candidate("a/m", weight=1), candidate("b/m", weight=3)]
    asked = query()._replace(draw=random.Random(7).random)

    firsts = Counter(first_of(WEIGHTED, candidates, asked) for _ in range(4000))

    assert 0.72 < firsts["b/m"] / 4000 < 0.78


def test_the_least_busy_has_the_fewest_calls_for_its_weight() -> None:
    small, large = candidate("small/m"), candidate("large/m", weight=4)
    busy = {small.target.upstream.id: 2, large.target.upstream.id: 6}

    assert first_of(LEAST_BUSY, [small, large], query(busy=busy)) == "large/m"
    small.facts.remote_busy = 0
    large.facts.remote_busy = 10
    assert first_of(LEAST_BUSY, [small, large], query(busy=busy)) == "small/m"


def test_of_two_the_quicker_one_is_taken() -> None:
    quick, slow = candidate("quick/m"), candidate("slow/m")
    for each, ms in ((quick, 100.0), (slow, 900.0)):
        each.facts.begin(99.0, each.target.upstream)
        each.facts.succeeded(100.0, ms, is_stream=False)

    firsts = {first_of(LATENCY, [quick, slow]) for _ in range(20)}
    crowded = query(busy={quick.target.upstream.id: 20})

    assert firsts == {"quick/m"}
    assert first_of(LATENCY, [quick, slow], crowded) == "slow/m"


def test_a_target_that_was_slow_is_tried_again_after_a_while() -> None:
    quick, slow = candidate("quick/m"), candidate("slow/m")
    for each, ms in ((quick, 100.0), (slow, 5000.0)):
        each.facts.begin(0.0, each.target.upstream)
        each.facts.succeeded(1.0, ms, is_stream=False)
    quick.facts.begin(119.0, quick.target.upstream)
    quick.facts.succeeded(120.0, 100.0, is_stream=False)

    assert first_of(LATENCY, [quick, slow], query(120.0)) == "slow/m"


def test_the_cheapest_is_first_and_the_unpriced_last() -> None:
    candidates = [candidate("unknown/m"), candidate("dear/m"), candidate("cheap/m")]

    ranking = STRATEGIES[COST].rank(candidates, query(cost={"dear/m": 9, "cheap/m": 2}))

    assert [each.target.model_id for each in ranking.order] == ["cheap/m", "dear/m", "unknown/m"]


def test_usage_counts_the_tokens_of_about_a_minute() -> None:
    used, fresh = candidate("used/m"), candidate("fresh/m")
    used.facts.add_use(10_000, 100.0)
    fresh.facts.add_use(2_000, 100.0)

    assert first_of(USAGE, [used, fresh], query(101.0)) == "fresh/m"
    fresh.facts.add_use(5_000, 400.0)
    assert first_of(USAGE, [used, fresh], query(400.0)) == "used/m"


@given(st.text(max_size=40), st.integers(2, 12))
@settings(max_examples=50, deadline=None)
def test_only_the_keys_of_a_target_that_goes_move(key: str, count: int) -> None:
    candidates = [candidate(f"u{index}/m") for index in range(count)]

    order = by_rendezvous(candidates, key).order
    without_second = [each for each in candidates if each is not order[1]]

    assert by_rendezvous(candidates, key).order == order
    assert by_rendezvous(without_second, key).order[0] is order[0]


def test_affinity_obeys_weights() -> None:
    candidates = [candidate("a/m", weight=1), candidate("b/m", weight=3), candidate("c/m", weight=0)]

    firsts = Counter(by_rendezvous(candidates, f"session-{n}").order[0].target.model_id for n in range(4000))

    assert 0.71 < firsts["b/m"] / 4000 < 0.79
    assert firsts["c/m"] == 0


def test_the_keys_of_a_target_that_goes_are_shared_by_all_others_by_weight() -> None:
    candidates = [candidate(f"u{index}/m", weight=weight) for index, weight in enumerate((4, 1, 1, 2, 4))]

    orders = [by_rendezvous(candidates, f"session-{n}").order for n in range(9000)]
    heirs = Counter(order[1].target.model_id for order in orders if order[0] is candidates[0])

    shares = [heirs[f"u{index}/m"] / heirs.total() for index in (1, 2, 3, 4)]
    assert shares == pytest.approx([0.125, 0.125, 0.25, 0.5], abs=0.04)


@pytest.mark.parametrize("strategy", sorted(STRATEGIES))
def test_lower_priorities_come_first_whatever_the_strategy_says(strategy: str) -> None:
    entry = route(
        target("a/m", priority=2), target("b/m", priority=1), target("c/m", priority=1), strategy=strategy
    )
    tracker = Tracker()

    plan = make_plan(entry, tracker.groups(entry), query())

    assert plan.order[2].target.model_id == "a/m"


def test_targets_in_trouble_are_the_last_resort_across_priorities() -> None:
    first, second = target("a/m", priority=1), target("b/m", priority=2)
    entry, tracker = route(first, second), Tracker()
    for _ in range(3):
        tracker.facts(first).begin(99.0, first.upstream)
        tracker.facts(first).failed(99.5, 500.0, "server_error", first.upstream)

    plan = make_plan(entry, tracker.groups(entry), query())

    assert [each.target.model_id for each in plan.order] == ["b/m", "a/m"]
    assert plan.record()["barred"] == {"a/m": "server_error"}


def test_a_route_never_ejects_all_of_its_targets() -> None:
    targets = [target(f"u{index}/m") for index in range(3)]
    entry, tracker = route(*targets), Tracker()
    for index, each in enumerate(targets):
        for _ in range(3):
            tracker.facts(each).begin(90.0 + index, each.upstream)
            tracker.facts(each).failed(90.0 + index, 1.0, "connection", each.upstream)

    plan = make_plan(entry, tracker.groups(entry), query())

    assert [each.target.model_id for each in plan.order] == ["u0/m", "u1/m", "u2/m"]


def test_embeddings_are_served_by_one_model() -> None:
    entry = route(target("a/small"), target("b/large"), target("c/small"))
    tracker = Tracker()

    plan = make_plan(entry, tracker.groups(entry), query(), only_model=entry.embedding_model)

    assert {each.target.model_id for each in plan.order} == {"a/small", "c/small"}


def test_a_full_upstream_comes_after_those_with_room() -> None:
    full, free = target("full/m", max_concurrency=2, priority=1), target("free/m", priority=2)
    entry, tracker = route(full, free), Tracker()

    plan = make_plan(entry, tracker.groups(entry), query(busy={full.upstream.id: 2}))

    assert [each.target.model_id for each in plan.order] == ["free/m", "full/m"]
