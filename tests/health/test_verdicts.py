"""What probes and calls say of an upstream: the rules alone, without a database."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from upstreams_app.services.verdicts import Evidence, Probe, Traffic, Verdict, judge

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
NO_CALLS = Traffic()
OK, GONE, REFUSED = 200, None, 500


def probes(*statuses: int | None) -> list[Probe]:
    """Ten seconds apart, the last one now."""
    found = []
    for age, status in enumerate(reversed(statuses)):
        is_healthy = status == OK
        error = "" if is_healthy else f"failed with {status}"
        found.append(Probe(NOW - timedelta(seconds=10 * age), is_healthy, status, 5.0, error))
    return found


def judged(*statuses: int | None, previous: str = "healthy", traffic: Traffic = NO_CALLS) -> Verdict:
    return judge(Evidence(probes(*statuses), traffic), previous)


@pytest.mark.parametrize("failure", [GONE, REFUSED, 503, 401, 302])
def test_one_failure_is_a_doubt_and_two_are_down(failure: int | None) -> None:
    doubt = judged(OK, failure)
    down = judged(OK, failure, failure, previous=doubt.state)

    assert (doubt.state, doubt.is_settled) == ("degraded", False)
    assert (down.state, down.is_settled) == ("down", True)
    assert down.reason == f"failed with {failure}"


def test_an_upstream_that_never_answered_is_down_at_once() -> None:
    assert judged(GONE, previous="").state == "down"


def test_back_is_what_answers_twice() -> None:
    once = judged(GONE, GONE, OK, previous="down")
    twice = judged(GONE, GONE, OK, OK, previous="down")

    assert (once.state, once.is_settled) == ("down", False)
    assert (twice.state, twice.is_settled) == ("degraded", True)
    assert judged(OK, OK, OK, previous="degraded") == Verdict("healthy")


def test_a_flapping_upstream_stays_down() -> None:
    state = "down"
    for _ in range(5):
        state = judged(GONE, GONE, OK, previous=state).state
        assert state == "down"
        state = judged(GONE, OK, GONE, previous=state).state
        assert state == "down"


@pytest.mark.parametrize("status", [403, 404, 405, 429])
def test_a_list_that_is_refused_does_not_say_that_calls_fail(status: int) -> None:
    verdict = judged(status, status, status)

    assert verdict.state == "degraded"
    assert f"failed with {status}" in verdict.reason


def test_calls_that_succeed_are_believed_more_than_probes() -> None:
    since = Traffic(5, 0, NOW - timedelta(seconds=5))
    before = Traffic(5, 0, NOW - timedelta(seconds=25))

    assert judged(OK, GONE, GONE, traffic=since).state == "degraded"
    assert judged(OK, GONE, GONE, traffic=before).state == "down"
    assert judged(GONE, OK, previous="down", traffic=since).state == "degraded"


def test_without_probes_enough_calls_tell() -> None:
    silent = Evidence(why_no_probes="not probed: its callers bring their own credential")

    assert judge(silent, "") == Verdict("unknown", silent.why_no_probes)
    assert judge(Evidence(traffic=Traffic(20, 3)), "").state == "healthy"
    assert judge(Evidence(traffic=Traffic(20, 4)), "").state == "degraded"
    assert judge(Evidence(traffic=Traffic(19, 19)), "").state == "unknown"
    assert judge(Evidence(barred="chat"), "").state == "degraded"


def test_calls_that_are_kept_away_degrade_what_answers_probes() -> None:
    verdict = judge(Evidence(probes(OK, OK), barred="chat, embed"), "healthy")

    assert verdict == Verdict("degraded", "calls are kept from chat, embed, for they failed")
