"""The header lines that tell of limits."""

from __future__ import annotations

import pytest

from security_app.registry.counters import BudgetRule, LimitRule, Meter
from security_app.registry.limit_lines import LimitLines, duration


def limit(kind: str, metric: str, value: int, *, row: str = "0" * 32) -> Meter:
    """A limit's counter."""
    return Meter(LimitRule(row, kind, "", "", metric, 60_000, value, is_fail_open=False), "")


BUDGET = Meter(BudgetRule("1" * 32, "key", "", "", "b", 1, "month", 0, "UTC", 0, 0, 0, False, False), "")


def test_the_tightest_is_told_of_and_each_scope_by_itself() -> None:
    meters = [
        limit("key", "requests", 60),
        BUDGET,
        limit("team", "requests", 90),
        limit("key", "concurrency", 5),
    ]

    lines = LimitLines(meters).filled([59, 1, 3, 4], [61_000, 0, 500, 0])

    assert lines.decode().splitlines() == [
        "x-ratelimit-limit-requests: 90",
        "x-ratelimit-remaining-requests: 3",
        "x-ratelimit-reset-requests: 500ms",
        "x-ratelimit-api_key-limit-requests: 60",
        "x-ratelimit-api_key-remaining-requests: 59",
        "x-ratelimit-team-limit-requests: 90",
        "x-ratelimit-team-remaining-requests: 3",
        "x-ratelimit-api_key-limit-max_parallel_requests: 5",
        "x-ratelimit-api_key-remaining-max_parallel_requests: 4",
    ]


def test_of_two_limits_of_one_scope_the_one_with_less_left_is_told_of() -> None:
    meters = [limit("user", "tokens", 1000), limit("user", "input_tokens", 400, row="2" * 32)]

    lines = LimitLines(meters).filled([700, -20], [1, 2000])

    assert lines.decode().splitlines() == [
        "x-ratelimit-limit-tokens: 400",
        "x-ratelimit-remaining-tokens: 0",
        "x-ratelimit-reset-tokens: 2s",
        "x-ratelimit-user-limit-tokens: 400",
        "x-ratelimit-user-remaining-tokens: 0",
    ]


def test_budgets_alone_have_no_lines() -> None:
    assert LimitLines([BUDGET]).filled([1], [1]) == b""


@pytest.mark.parametrize(
    ("milliseconds", "text"),
    [(-5, b"0ms"), (999, b"999ms"), (1000, b"1s"), (1001, b"2s"), (60_000, b"1m0s"), (7_503_000, b"2h5m3s")],
)
def test_durations_are_written_as_openai_does(milliseconds: int, text: bytes) -> None:
    assert duration(milliseconds) == text
