"""The span of time that a budget is for, computed from the clock: nothing is ever reset by a job."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

CALENDAR = ("day", "week", "month", "year")


@lru_cache(maxsize=4096)
def calendar_window(window: str, zone_name: str, day: date) -> tuple[int, int]:
    """Start and end, in milliseconds since 1970, of the day, week, month or year that a local day is in.

    A day begins at its first moment, also where clocks are changed at midnight and it has no 00:00.
    """
    if window == "day":
        first, following = day, day + timedelta(days=1)
    elif window == "week":
        first = day - timedelta(days=day.weekday())
        following = first + timedelta(days=7)
    elif window == "month":
        first = day.replace(day=1)
        following = (first + timedelta(days=31)).replace(day=1)
    else:
        first, following = date(day.year, 1, 1), date(day.year + 1, 1, 1)
    return _start_ms(first, zone_name), _start_ms(following, zone_name)


def window_at(window: str, zone_name: str, moment_ms: int) -> tuple[int, int]:
    """The calendar window that a moment is in: it holds `moment_ms`, and not its own end."""
    local = datetime.fromtimestamp(moment_ms / 1000, ZoneInfo(zone_name))
    return calendar_window(window, zone_name, local.date())


def _start_ms(day: date, zone_name: str) -> int:
    # In a gap the earlier offset counts (PEP 495), and so the moment at which the gap begins.
    local = datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(zone_name))
    return round(local.timestamp() * 1000)
