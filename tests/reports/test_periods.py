"""Days begin at midnight of their zone, and a schedule is due once a day whatever the clocks do."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from usage_app.services.exports.periods import (
    PERIODS,
    SCHEDULES,
    day_start,
    fixed_bounds,
    last_occurrence,
    period_bounds,
)

ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu", "Africa/Cairo", "Pacific/Apia"]
ZONES += ["America/Santiago", "Asia/Beirut", "Australia/Lord_Howe", "Pacific/Chatham"]
MOMENTS = st.datetimes(
    datetime(2010, 1, 1),  # noqa: DTZ001  (the strategy adds the zone)
    datetime(2035, 1, 1),  # noqa: DTZ001
    timezones=st.just(UTC),
)


@settings(max_examples=300)
@given(st.sampled_from(ZONES), st.dates(date(2005, 1, 1), date(2035, 1, 1)))
def test_days_follow_each_other_without_gap_at_quarter_hours(name: str, day: date) -> None:
    zone = ZoneInfo(name)

    start, end = fixed_bounds(day, day, zone)

    assert end == day_start(day + timedelta(days=1), zone)
    # Samoa left out the 30th of December 2011 as a whole.
    assert start < end or (name, day) == ("Pacific/Apia", date(2011, 12, 30))
    assert start.minute % 15 == start.second == 0
    assert (start - timedelta(seconds=1)).astimezone(zone).date() < day


@settings(max_examples=200)
@given(st.sampled_from(sorted(PERIODS)), st.sampled_from(ZONES), MOMENTS)
def test_every_period_has_a_start_before_its_end(period: str, name: str, now: datetime) -> None:
    zone = ZoneInfo(name)

    start, end = period_bounds(period, now=now, zone=zone)

    assert start < end
    assert start.tzinfo is end.tzinfo is UTC
    if period.startswith(("last_", "yester")):
        assert end <= now


@pytest.mark.parametrize(
    ("period", "start", "end"),
    [
        ("yesterday", "2026-03-28T23:00", "2026-03-29T22:00"),
        ("today", "2026-03-29T22:00", "2026-03-30T22:00"),
        ("last_week", "2026-03-22T23:00", "2026-03-29T22:00"),
        ("last_month", "2026-01-31T23:00", "2026-02-28T23:00"),
        ("month_to_date", "2026-02-28T23:00", "2026-03-30T22:00"),
        ("last_quarter", "2025-09-30T22:00", "2025-12-31T23:00"),
    ],
)
def test_periods_of_berlin_on_the_day_after_the_clocks_changed(period: str, start: str, end: str) -> None:
    now = datetime(2026, 3, 30, 9, tzinfo=UTC)

    found = period_bounds(period, now=now, zone=ZoneInfo("Europe/Berlin"))

    assert [f"{moment:%Y-%m-%dT%H:%M}" for moment in found] == [start, end]


@settings(max_examples=300)
@given(st.sampled_from(sorted(SCHEDULES)), st.integers(0, 23), st.sampled_from(ZONES), MOMENTS)
def test_what_was_due_is_past_and_has_one_key(schedule: str, hour: int, name: str, now: datetime) -> None:
    zone = ZoneInfo(name)

    due = last_occurrence(schedule, hour, now=now, zone=zone)

    longest = {"daily": 2, "weekly": 8, "monthly": 32}[schedule]
    assert now - timedelta(days=longest, hours=2) < due.moment <= now
    assert last_occurrence(schedule, hour, now=due.moment, zone=zone) == due
    before = last_occurrence(schedule, hour, now=due.moment - timedelta(microseconds=1), zone=zone)
    assert before.key != due.key
    assert before.moment < due.moment


@pytest.mark.parametrize(("day", "hour"), [(29, 2), (25, 2)])
def test_a_day_on_which_the_clocks_change_is_due_once(day: int, hour: int) -> None:
    month = 3 if day == 29 else 10
    start = datetime(2026, month, day, tzinfo=UTC) - timedelta(hours=3)
    zone = ZoneInfo("Europe/Berlin")
    keys = [
        last_occurrence("daily", hour, now=start + timedelta(minutes=minutes), zone=zone)
        for minutes in range(0, 30 * 60, 5)
    ]

    assert len({due.key for due in keys}) == len(set(keys)) == 3
