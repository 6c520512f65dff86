"""Calendar windows hold the moment that they were computed for, follow each other, and begin at midnight."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from security_app.calendar_windows import CALENDAR, window_at

ZONES = sorted(available_timezones())


def ms(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1000)


@given(
    window=st.sampled_from(CALENDAR),
    zone=st.sampled_from(ZONES),
    moment_ms=st.integers(ms("1990-01-01T00:00+00:00"), ms("2090-01-01T00:00+00:00")),
)
@settings(max_examples=400)
def test_windows_hold_their_moment_and_follow_each_other(window: str, zone: str, moment_ms: int) -> None:
    start_ms, end_ms = window_at(window, zone, moment_ms)

    assert start_ms <= moment_ms < end_ms
    assert window_at(window, zone, start_ms) == (start_ms, end_ms)
    assert window_at(window, zone, end_ms - 1) == (start_ms, end_ms)
    assert window_at(window, zone, end_ms)[0] == end_ms


@pytest.mark.parametrize(
    ("window", "zone", "moment", "start", "end"),
    [
        # The day of a change of clocks has 23 or 25 hours.
        (
            "day",
            "Europe/Berlin",
            "2026-03-29T12:00+02:00",
            "2026-03-29T00:00+01:00",
            "2026-03-30T00:00+02:00",
        ),
        (
            "day",
            "Europe/Berlin",
            "2026-10-25T12:00+01:00",
            "2026-10-25T00:00+02:00",
            "2026-10-26T00:00+01:00",
        ),
        (
            "week",
            "America/New_York",
            "2026-03-08T03:30-04:00",
            "2026-03-02T00:00-05:00",
            "2026-03-09T00:00-04:00",
        ),
        (
            "month",
            "Asia/Kolkata",
            "2026-02-28T23:59+05:30",
            "2026-02-01T00:00+05:30",
            "2026-03-01T00:00+05:30",
        ),
        ("month", "UTC", "2028-02-29T00:00+00:00", "2028-02-01T00:00+00:00", "2028-03-01T00:00+00:00"),
        (
            "year",
            "Pacific/Auckland",
            "2026-12-31T23:00+13:00",
            "2026-01-01T00:00+13:00",
            "2027-01-01T00:00+13:00",
        ),
        # In Beirut clocks went forward at midnight: the day began at one o'clock.
        ("day", "Asia/Beirut", "2022-03-27T12:00+03:00", "2022-03-27T01:00+03:00", "2022-03-28T00:00+03:00"),
        # Samoa had no 30th of December 2011.
        ("day", "Pacific/Apia", "2011-12-29T12:00-10:00", "2011-12-29T00:00-10:00", "2011-12-31T00:00+14:00"),
    ],
)
def test_windows_begin_at_the_first_moment_of_a_local_day(
    window: str, zone: str, moment: str, start: str, end: str
) -> None:
    assert window_at(window, zone, ms(moment)) == (ms(start), ms(end))


def test_a_window_ends_at_the_exact_millisecond() -> None:
    midnight = datetime(2026, 6, 1, tzinfo=ZoneInfo("Europe/Berlin")).astimezone(UTC)
    last_ms = round(midnight.timestamp() * 1000) - 1

    before, after = (
        window_at("month", "Europe/Berlin", last_ms),
        window_at("month", "Europe/Berlin", last_ms + 1),
    )

    assert before[1] == after[0] == last_ms + 1
    assert timedelta(milliseconds=before[1] - before[0]) == timedelta(days=31)
