"""What a route knows of its second calls, and what a target learns from one that another was quicker than."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.routing.candidates import target
from upstreams_app.hedge_policy import HedgePolicy, read_hedging
from upstreams_app.routing.facts import TargetFacts
from upstreams_app.routing.hedge_state import HedgeState, HedgeStates

FIXED = HedgePolicy(0.8, at_p95=False, share=0.05)
AT_P95 = HedgePolicy(0.8, at_p95=True, share=0.05)


@settings(max_examples=50, deadline=None)
@given(percent=st.integers(1, 50), wants=st.lists(st.booleans(), max_size=300))
def test_second_calls_are_never_more_than_the_share_of_the_requests_and_one(
    percent: int, wants: list[bool]
) -> None:
    state, made = HedgeState(), 0
    policy = HedgePolicy(0.8, at_p95=False, share=percent / 100)

    for number, is_slow in enumerate(wants, start=1):
        state.note_request(policy)
        made += is_slow and state.take()
        assert made <= 1 + number * percent / 100 + 1e-6


def test_what_was_saved_up_while_nothing_took_long_is_bounded() -> None:
    state = HedgeState()
    for _ in range(10_000):
        state.note_request(FIXED)

    assert [state.take() for _ in range(6)] == [True] * 5 + [False]


def test_a_second_call_that_was_not_made_is_given_back() -> None:
    state = HedgeState()

    assert state.take()
    state.give_back()

    assert [state.take(), state.take()] == [True, False]


def test_the_usual_time_is_that_of_19_requests_in_20_streams_apart() -> None:
    state = HedgeState()
    for ms in range(1000, 3000, 100):
        assert state.delay_s(AT_P95, is_stream=True) is None
        state.observe(ms, is_stream=True)

    assert state.delay_s(AT_P95, is_stream=True) == 2.9
    assert state.delay_s(AT_P95, is_stream=False) is None
    assert state.delay_s(FIXED, is_stream=True) == 0.8


def test_the_usual_time_follows_what_comes_and_has_a_floor() -> None:
    state = HedgeState()
    for ms in [5000.0] * 200 + [10.0] * 200:
        state.observe(ms, is_stream=False)

    assert state.delay_s(AT_P95, is_stream=False) == 0.8


def test_the_states_of_routes_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("upstreams_app.routing.hedge_state._MAX_ROUTES", 3)
    states = HedgeStates()

    first = states.of("a")
    assert states.of("a") is first
    for name in ("b", "c", "d"):
        states.of(name)

    assert states.find("a") is None
    assert states.find("d") is not None


@pytest.mark.parametrize(
    ("after_ms", "percent", "condition"), [(9, 5, ""), (800, 0, ""), (800, 51, ""), (800, 5, "tokens >")]
)
def test_nonsense_in_a_row_is_refused(after_ms: int, percent: int, condition: str) -> None:
    with pytest.raises(ValueError, match=r"out of bounds|no valid CEL"):
        read_hedging(after_ms, at_p95=False, percent=percent, condition=condition)

    assert read_hedging(None, at_p95=True, percent=percent) is None


def test_a_target_that_was_outrun_has_not_failed_and_takes_at_least_so_long() -> None:
    facts, config = TargetFacts("a/m"), target("a/m", breaker_failures=1).upstream
    facts.begin(100.0, config)
    facts.succeeded(100.1, 100.0, is_stream=True)

    for _ in range(5):
        facts.begin(101.0, config)
        facts.outrun(103.0, 2000.0, is_stream=True)

    assert (facts.failures, facts.is_open, facts.waiting) == (0, False, 0)
    assert facts.is_ready(103.0, config)
    assert facts.stream.read(103.0) == 2000.0
    assert facts.plain.read(103.0) == 0.0


def test_a_slow_target_does_not_look_quicker_by_being_outrun() -> None:
    facts, config = TargetFacts("a/m"), target("a/m").upstream
    facts.begin(100.0, config)
    facts.succeeded(105.0, 5000.0, is_stream=False)

    facts.begin(105.0, config)
    facts.outrun(105.5, 500.0, is_stream=False)

    assert facts.plain.read(105.5) == 5000.0


def test_the_one_call_that_tries_an_open_breaker_leaves_the_try_to_another() -> None:
    facts, config = TargetFacts("a/m"), target("a/m", breaker_failures=1).upstream
    facts.begin(100.0, config)
    facts.failed(100.0, 1.0, "server_error", config)
    facts.begin(140.0, config)

    facts.outrun(141.0, 1000.0, is_stream=False)

    assert facts.is_open
    assert facts.barred_until == 141.0
