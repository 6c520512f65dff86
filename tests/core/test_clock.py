"""Durations as people write them."""

from __future__ import annotations

from datetime import UTC, timedelta

import pytest

from gateway_project.core.clock import parse_duration, utc_now


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("30s", timedelta(seconds=30)),
        ("15m", timedelta(minutes=15)),
        ("24h", timedelta(hours=24)),
        ("30d", timedelta(days=30)),
        ("2w", timedelta(weeks=2)),
        ("1mo", timedelta(days=30)),
    ],
)
def test_a_duration_is_read(text: str, expected: timedelta) -> None:
    assert parse_duration(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0s",
        "30",
        "s",
        "-1d",
        "1.5h",
        "1y",
        " 1d",
        "1d ",
        "1 d",
        "9" * 30 + "d",
        "101y",
        "40000d",
    ],
)
def test_anything_else_is_refused_by_name(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not a duration|longer than 100 years"):
        parse_duration(text)


def test_now_is_aware_and_in_utc() -> None:
    assert utc_now().tzinfo is UTC
