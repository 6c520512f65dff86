"""Days, hours and months of a time zone as spans of UTC, and which rollups a span is made of.

All offsets from UTC in use are whole quarter-hours; a span that begins between two is refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from gateway_project.core.errors import InvalidRequest
from usage_app.services.rollups import DAY, HOUR, WINDOW, floor

UNITS = ("hour", "day", "month")
# Three years of days; 45 days of hours.
MAX_PERIODS = 1100
_WIDTHS = (DAY, HOUR, WINDOW)


class Period(NamedTuple):
    """A part of a range that is summed up by itself: `2026-01-31`, from its first moment up to the next's."""

    label: str
    start: datetime
    end: datetime


class Span(NamedTuple):
    """Windows of one width, from the first up to the one that is none of them any more.

    `sign` is 1 if they are added, -1 if they are taken away from what wider ones have.
    """

    width: timedelta
    start: datetime
    end: datetime
    sign: int

    def windows(self) -> list[datetime]:
        """Where each of them begins."""
        return [self.start + number * self.width for number in range((self.end - self.start) // self.width)]


@dataclass(frozen=True, slots=True)
class DayRange:
    """Days of a time zone, the last one included."""

    first: date
    last: date
    zone_name: str = "UTC"

    @property
    def start(self) -> datetime:
        """Where the first day begins, UTC."""
        return day_start(self.first, time_zone(self.zone_name))

    @property
    def end(self) -> datetime:
        """Where the day after the last one begins, UTC."""
        return day_start(self.last + timedelta(days=1), time_zone(self.zone_name))

    def days(self) -> list[date]:
        """Every day."""
        return [self.first + timedelta(days=number) for number in range((self.last - self.first).days + 1)]


def time_zone(name: str) -> ZoneInfo:
    """A zone by its IANA name; InvalidRequest if there is none."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        message = (
            f"'time_zone' must be the name of a time zone such as UTC or Europe/Berlin, not '{name[:64]}'."
        )
        raise InvalidRequest(message, param="time_zone") from error


def day_start(day: date, zone: ZoneInfo) -> datetime:
    """The first moment of a zone's day, in UTC: not always midnight, where clocks change then."""
    return datetime.combine(day, time(), zone).astimezone(UTC)


def periods(start: datetime, end: datetime, zone: ZoneInfo, unit: str) -> list[Period]:
    """The units that the range touches, as far as they are in it; without a unit the range itself.

    A day has 23, 24 or 25 hours. Hours are told apart by their offset when clocks are set back.
    """
    if any(moment != floor(moment, WINDOW) for moment in (start, end)):
        raise InvalidRequest("A range must begin and end at a quarter-hour.", param="start_date")
    if end - start > MAX_PERIODS * DAY:
        raise InvalidRequest(f"A range must not be longer than {MAX_PERIODS} days.", param="end_date")
    if start >= end:
        return []
    if not unit:
        return [Period("", start, end)]
    found: list[Period] = []
    for period in _hours(start, end, zone) if unit == "hour" else _dates(start, end, zone, unit):
        if len(found) == MAX_PERIODS:
            raise InvalidRequest(f"The range has more than {MAX_PERIODS} {unit}s.", param="end_date")
        found.append(period)
    return found


def spans(start: datetime, end: datetime) -> Iterator[Span]:
    """The fewest windows that make up the range: whole days, and at its ends hours and quarter-hours that are
    added, or taken away from a day that reaches beyond.
    """
    yield from _cover(start, end, 1, _WIDTHS)


def _cover(start: datetime, end: datetime, sign: int, widths: tuple[timedelta, ...]) -> Iterator[Span]:
    width, narrower = widths[0], widths[1:]
    first, last = _nearest(start, width), _nearest(end, width)
    if first >= last:
        if start < end:
            yield from _cover(start, end, sign, narrower)
        return
    yield Span(width, first, last, sign)
    for outer, inner, more in ((start, first, sign), (last, end, sign)):
        if outer < inner:
            yield from _cover(outer, inner, more, narrower)
        elif inner < outer:
            yield from _cover(inner, outer, -more, narrower)


def _nearest(moment: datetime, width: timedelta) -> datetime:
    return floor(moment + width / 2, width)


def _dates(start: datetime, end: datetime, zone: ZoneInfo, unit: str) -> Iterator[Period]:
    day = start.astimezone(zone).date()
    if unit == "month":
        day = day.replace(day=1)
    while (first := day_start(day, zone)) < end:
        following = day + timedelta(days=1) if unit == "day" else _next_month(day)
        last = day_start(following, zone)
        if last > first:  # No day that a zone skipped to cross the date line.
            label = day.isoformat() if unit == "day" else f"{day:%Y-%m}"
            yield Period(label, max(first, start), min(last, end))
        day = following


def _hours(start: datetime, end: datetime, zone: ZoneInfo) -> Iterator[Period]:
    """Quarter-hours of the same hour on the clock, put together."""
    label, first, moment = _hour(start, zone), start, start
    while (moment := moment + WINDOW) < end:
        if (name := _hour(moment, zone)) != label:
            yield Period(label, first, moment)
            label, first = name, moment
    yield Period(label, first, end)


def _hour(moment: datetime, zone: ZoneInfo) -> str:
    return moment.astimezone(zone).replace(minute=0).isoformat(timespec="minutes")


def _next_month(day: date) -> date:
    return date(day.year + day.month // 12, day.month % 12 + 1, 1)
