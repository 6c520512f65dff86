"""What the counters of a process do with many names, and what a request costs."""

from __future__ import annotations

import sys
import timeit
from uuid import uuid4

import pytest

from gateway_project.observability.metrics import MAX_LABEL_VALUES, OTHER, Numbers
from usage_app.entry import TokenUsage, UsageEntry

# A guard against a mistake, not a measurement: a busy test machine is far slower than a server.
MOST_US = 10.0


def call(model: str = "v/m", upstream: str = "v", status: int = 200) -> UsageEntry:
    """A settled call."""
    return UsageEntry(
        id=uuid4(),
        operation="chat",
        model=model,
        status=status,
        state="reported",
        upstream=upstream,
        is_stream=True,
        tokens=TokenUsage(10, 20),
        cost_nano=1500,
        first_token_ms=20.0,
        total_ms=300.0,
        attempts=2,
    )


def values(numbers: Numbers, metric: str, index: int) -> set[str]:
    """The values of one label."""
    return {labels[index] for name, labels, _ in numbers.dump() if name == metric}


def test_names_beyond_the_bound_share_one() -> None:
    numbers = Numbers()
    for number in range(3 * MAX_LABEL_VALUES):
        numbers.observe_call(call(model=f"m{number}", upstream=f"u{number}"))
        numbers.observe_failure(f"u{number}", 502)

    assert len(values(numbers, "cost", 0)) == MAX_LABEL_VALUES
    assert len(values(numbers, "upstream_requests", 0)) == MAX_LABEL_VALUES
    assert OTHER in values(numbers, "upstream_failures", 0)
    total = sum(count for name, _, (count, *_) in numbers.dump() if name == "upstream_requests")
    assert total == 3 * MAX_LABEL_VALUES


def test_names_that_agents_code_makes_up_take_no_room_from_the_registrys_tools() -> None:
    numbers = Numbers()
    for number in range(3 * MAX_LABEL_VALUES):
        numbers.observe_tool(f"made_up_{number}", "function", "sdk", "ok", 1.0)

    numbers.observe_tool("look_up", "http", "gateway", "ok", 1.0)

    names = [name for name, _, _ in numbers.tools]
    assert len(names) == MAX_LABEL_VALUES + 1
    assert "look_up" in names


def test_routes_over_many_upstreams_stay_bounded() -> None:
    numbers = Numbers()
    for model in range(60):
        for upstream in range(60):
            numbers.observe_call(call(model=f"m{model}", upstream=f"u{upstream}"))

    assert len(numbers.calls) <= 3 * MAX_LABEL_VALUES


def test_errors_and_success_have_different_durations() -> None:
    numbers = Numbers()
    numbers.observe_call(call())
    numbers.observe_call(call(status=502))

    assert values(numbers, "operation_duration", 3) == {"", "502"}


@pytest.mark.skipif("coverage" in sys.modules, reason="The tracer costs more than what it traces.")
def test_a_request_costs_less_than_ten_microseconds() -> None:
    numbers, entry = Numbers(), call()

    def observe() -> None:
        numbers.observe_call(entry)
        numbers.observe_request(200, 300.0, is_stream=True)

    best_s = min(timeit.repeat(observe, number=2000, repeat=5)) / 2000
    assert best_s * 1e6 < MOST_US
