"""Spans of time that people name (last month, yesterday), and when a schedule is due, in any time zone.

Days begin at midnight of the zone's own clock. Where a clock change skips midnight the day begins at the
change, and where it comes twice at the first: so days follow each other without gap or overlap.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

_DAY = timedelta(days=1)
_WEEK = timedelta(days=7)
FIXED = "fixed"


class Occurrence(NamedTuple):
    """A moment at which a schedule is due; the key is the same however often it is asked for."""

    key: str
    moment: datetime


def _month_start(day: date, months: int = 0) -> date:
    number = day.year * 12 + day.month - 1 + months
    return date(number // 12, number % 12 + 1, 1)


def _monday(day: date) -> date:
    return day - timedelta(days=day.weekday())


def _yesterday(today: date) -> tuple[date, date]:
    return today - _DAY, today


def _today(today: date) -> tuple[date, date]:
    return today, today + _DAY


def _last_7_days(today: date) -> tuple[date, date]:
    return today - _WEEK, today


def _last_week(today: date) -> tuple[date, date]:
    return _monday(today) - _WEEK, _monday(today)


def _week_to_date(today: date) -> tuple[date, date]:
    return _monday(today), today + _DAY


def _last_30_days(today: date) -> tuple[date, date]:
    return today - timedelta(days=30), today


def _last_month(today: date) -> tuple[date, date]:
    return _month_start(today, -1), _month_start(today)


def _month_to_date(today: date) -> tuple[date, date]:
    return _month_start(today), today + _DAY


def _last_quarter(today: date) -> tuple[date, date]:
    this = date(today.year, (today.month - 1) // 3 * 3 + 1, 1)
    return _month_start(this, -3), this


def _last_year(today: date) -> tuple[date, date]:
    return date(today.year - 1, 1, 1), date(today.year, 1, 1)


def _year_to_date(today: date) -> tuple[date, date]:
    return date(today.year, 1, 1), today + _DAY


# From the first day up to, not including, the last.
PERIODS: dict[str, tuple[str, Callable[[date], tuple[date, date]]]] = {
    "today": ("Today", _today),
    "yesterday": ("Yesterday", _yesterday),
    "last_7_days": ("The last 7 days", _last_7_days),
    "last_week": ("Last week, Monday to Sunday", _last_week),
    "week_to_date": ("This week so far", _week_to_date),
    "last_30_days": ("The last 30 days", _last_30_days),
    "last_month": ("Last month", _last_month),
    "month_to_date": ("This month so far", _month_to_date),
    "last_quarter": ("Last quarter", _last_quarter),
    "last_year": ("Last year", _last_year),
    "year_to_date": ("This year so far", _year_to_date),
}


def day_start(day: date, zone: ZoneInfo) -> datetime:
    """The moment, in UTC, at which a day begins."""
    return datetime.combine(day, time(), zone).astimezone(UTC)


def period_bounds(period: str, *, now: datetime, zone: ZoneInfo) -> tuple[datetime, datetime]:
    """Start and end, in UTC, of a period of PERIODS as seen from `now`."""
    first, last = PERIODS[period][1](now.astimezone(zone).date())
    return day_start(first, zone), day_start(last, zone)


def fixed_bounds(first: date, last: date, zone: ZoneInfo) -> tuple[datetime, datetime]:
    """Start and end, in UTC, of the days from `first` to `last`, both included."""
    return day_start(first, zone), day_start(last + _DAY, zone)


def _daily(today: date, back: int) -> tuple[str, date]:
    day = today - back * _DAY
    return f"daily:{day.isoformat()}", day


def _weekly(today: date, back: int) -> tuple[str, date]:
    day = _monday(today) - back * _WEEK
    year, week, _ = day.isocalendar()
    return f"weekly:{year}-W{week:02d}", day


def _monthly(today: date, back: int) -> tuple[str, date]:
    day = _month_start(today, -back)
    return f"monthly:{day:%Y-%m}", day


SCHEDULES: dict[str, tuple[str, Callable[[date, int], tuple[str, date]]]] = {
    "daily": ("Every day", _daily),
    "weekly": ("Every Monday", _weekly),
    "monthly": ("On the first of each month", _monthly),
}


def last_occurrence(schedule: str, hour: int, *, now: datetime, zone: ZoneInfo) -> Occurrence:
    """The latest moment, `now` included, at which a schedule of SCHEDULES was due.

    An hour that a clock change skips is the moment of the change; of one that comes twice it is the first.
    """
    today = now.astimezone(zone).date()
    for back in (0, 1):
        key, day = SCHEDULES[schedule][1](today, back)
        moment = datetime.combine(day, time(hour), zone).astimezone(UTC)
        if moment <= now:
            return Occurrence(key, moment)
    raise AssertionError("the occurrence before this one is in the past")
