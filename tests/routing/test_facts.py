"""A target that fails is left alone, and taken back when it works again."""

from __future__ import annotations

import pytest

from tests.routing.candidates import candidate
from upstreams_app.route_policy import CONNECTION, OVERLOADED, RATE_LIMITED, SERVER_ERROR, TIMEOUT
from upstreams_app.routing.strategies import Candidate


@pytest.fixture
def one() -> Candidate:
    """A target whose breaker opens after 3 failures, for 30 s."""
    return candidate("a/m", first_token_timeout_s=4.0)


def fail(one: Candidate, now: float, fault: str = SERVER_ERROR, *, took_s: float = 0.0) -> None:
    one.facts.begin(now - took_s, one.target.upstream)
    one.facts.failed(now, took_s * 1000, fault, one.target.upstream)


def is_ready(one: Candidate, now: float) -> bool:
    return one.facts.is_ready(now, one.target.upstream)


def test_the_breaker_opens_after_failures_in_a_row_and_not_before(one: Candidate) -> None:
    fail(one, 1.0)
    fail(one, 2.0)
    one.facts.begin(3.0, one.target.upstream)
    one.facts.succeeded(3.1, 100.0, is_stream=False)
    fail(one, 4.0)
    fail(one, 5.0)

    was_open = one.facts.is_open
    fail(one, 6.0)

    assert (was_open, one.facts.is_open) == (False, True)
    assert not is_ready(one, 35.9)
    assert is_ready(one, 36.1)


def test_after_the_cooldown_one_call_tries_it(one: Candidate) -> None:
    for _ in range(3):
        fail(one, 1.0)

    one.facts.begin(31.5, one.target.upstream)

    assert not is_ready(one, 31.6)
    one.facts.succeeded(32.0, 500.0, is_stream=False)
    assert is_ready(one, 32.0)
    assert not one.facts.is_open


def test_each_try_that_fails_doubles_the_time(one: Candidate) -> None:
    for _ in range(3):
        fail(one, 0.0)
    fail(one, 30.0)

    assert not is_ready(one, 89.0)
    assert is_ready(one, 90.5)
    for now in (100.0, 1000.0, 2000.0, 3000.0, 4000.0):
        fail(one, now)
    assert is_ready(one, 4301.0)


def test_calls_that_began_before_do_not_prolong_it(one: Candidate) -> None:
    for _ in range(3):
        fail(one, 10.0)
    for _ in range(20):
        fail(one, 11.0, took_s=5.0)

    assert is_ready(one, 40.5)


def test_a_try_that_was_given_up_leaves_the_next_one_to_another_call(one: Candidate) -> None:
    for _ in range(3):
        fail(one, 0.0)
    one.facts.begin(30.0, one.target.upstream)
    one.facts.abandoned(31.0, 0.0)

    assert one.facts.is_open
    assert is_ready(one, 31.0)


def test_a_429_is_a_pause_and_no_failure(one: Candidate) -> None:
    for _ in range(10):
        one.facts.begin(0.0, one.target.upstream)
        one.facts.failed(0.0, 5.0, RATE_LIMITED, one.target.upstream, retry_after_s=20.0)

    assert not one.facts.is_open
    assert not is_ready(one, 19.9)
    assert is_ready(one, 20.1)


def test_a_full_queue_says_nothing_of_the_target(one: Candidate) -> None:
    for _ in range(10):
        fail(one, 1.0, OVERLOADED)

    assert is_ready(one, 1.0)


def test_a_lost_connection_costs_a_moments_rest(one: Candidate) -> None:
    fail(one, 10.0, CONNECTION)

    assert not is_ready(one, 10.9)
    assert is_ready(one, 11.1)


def test_who_fails_more_than_half_of_its_calls_is_an_outlier() -> None:
    one = candidate("a/m", breaker_failures=100)
    for now in range(40):
        fail(one, float(now))
        fail(one, float(now))
        if not is_ready(one, now + 0.5):
            break
        one.facts.begin(float(now), one.target.upstream)
        one.facts.succeeded(float(now), 10.0, is_stream=False)

    assert one.facts.why_barred == "outlier"
    assert now < 20
    assert is_ready(one, now + 31.0)


def test_a_target_that_gives_no_sign_of_life_is_passed_over(one: Candidate) -> None:
    one.facts.begin(10.0, one.target.upstream)

    assert is_ready(one, 11.9)
    assert not is_ready(one, 12.1)
    one.facts.begin(12.2, one.target.upstream)
    one.facts.succeeded(12.3, 100.0, is_stream=True)
    assert is_ready(one, 12.4)


def test_without_a_breaker_nothing_bars_a_target() -> None:
    one = candidate("a/m", breaker_failures=0, first_token_timeout_s=1.0)
    for now in range(50):
        fail(one, float(now), TIMEOUT)

    assert is_ready(one, 49.0)


def test_a_call_given_up_that_began_before_does_not_end_the_rest(one: Candidate) -> None:
    one.facts.begin(5.0, one.target.upstream)
    for _ in range(3):
        fail(one, 10.0)

    one.facts.abandoned(20.0, 15_000.0)

    assert not is_ready(one, 20.0)
    assert is_ready(one, 40.5)
