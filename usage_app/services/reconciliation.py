"""Whether log, rollups and reports say the same, to the last nano-dollar, and who they differ about.

Reads the whole ledger of the range, a day at a time. What still has a note may rightly differ.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection, models
from django.db.models import Sum
from django.db.models.functions import Coalesce

from gateway_project.core.clock import utc_now
from usage_app.models import (
    DailyEndUserRollup,
    DailyTagRollup,
    Reconciliation,
    RollupDay,
    RollupWindow,
    UsageRecord,
)
from usage_app.models.rollup import DIMENSIONS as GROUP_COLUMNS
from usage_app.services import rollup_sql as sql
from usage_app.services.periods import periods, time_zone
from usage_app.services.rollups import (
    DAY,
    HOUR,
    LATENCIES,
    USAGE,
    WINDOW,
    floor,
    note_range,
    roll_up,
    sum_up_days,
    within,
)
from usage_app.services.usage_sums import UsageQuery, usage_sums

logger = logging.getLogger(__name__)

MAX_DIFFERENCES = 100
NIGHTLY_SPAN = 7 * DAY
_EXAMPLES = 20
_WIDTH_NAMES = {WINDOW: "quarter-hours", HOUR: "hours", DAY: "days"}
# A report's dimensions in the order of a group's columns.
_REPORT_DIMENSIONS = tuple(name.removesuffix("_id") for name in GROUP_COLUMNS)
_NO_ID = "0" * 32
_Sums = dict[tuple[str, ...], tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class Difference:
    """A sum that is not the same in the ledger and in `place`; `who` names the group, "" for all together."""

    place: str
    start: datetime
    name: str
    who: str
    in_ledger: int
    in_rollups: int

    def __str__(self) -> str:
        of = f" of {self.who}" if self.who else ""
        return (
            f"{self.start:%Y-%m-%dT%H:%MZ} {self.name}{of}: {self.in_ledger} in the ledger, "
            f"{self.in_rollups} in the {self.place}"
        )


def differences(start: datetime, end: datetime, *, zone_name: str = "UTC") -> list[Difference]:
    """Where they disagree from `start` up to `end`, both at an hour; the first hundred, [] if nowhere.

    Tables of rollups are compared group by group for each UTC day; reports for each day of the zone.
    """
    found: list[Difference] = []
    for one in _all_differences(start, end, zone_name):
        found.append(one)
        if len(found) == MAX_DIFFERENCES:
            break
    return found


def windows_due(start: datetime, end: datetime) -> int:
    """How many quarter-hours and whole days of the range are still to be summed up."""
    days = RollupDay.objects.filter(day_start__gte=start, day_start__lte=end - DAY)
    return within(RollupWindow, start, end).count() + days.count()


def compute_again(start: datetime, end: datetime) -> int:
    """Make the rollups of the range anew from the ledger; of how many quarter-hours."""
    count = note_range(start, end)
    while roll_up():
        pass
    sum_up_days(at_once=True)
    return count


def reconcile_nightly() -> Reconciliation:
    """Compare the last days up to this one, compute again the days that differ, and keep what was found."""
    end = floor(utc_now(), DAY)
    start = end - NIGHTLY_SPAN
    _finish(start, end)
    found = differences(start, end)
    for day in sorted({floor(one.start, DAY) for one in found}):
        compute_again(day, day + DAY)
    after = differences(start, end) if found else []
    outcome = Reconciliation.objects.create(
        finished_at=utc_now(),
        range_start=start,
        range_end=end,
        differing=len(found),
        differing_after=len(after),
        examples=[str(one) for one in (after or found)[:_EXAMPLES]],
    )
    extra = {"differing": len(found), "differing_after": len(after)}
    logger.log(logging.ERROR if found else logging.INFO, "usage.reconciled", extra=extra)
    return outcome


def _finish(start: datetime, end: datetime) -> None:
    """Sum up what is still due of the range, however much else there is."""
    while windows_due(start, end) and roll_up():
        pass
    sum_up_days(at_once=True)


def _all_differences(start: datetime, end: datetime, zone_name: str) -> Iterator[Difference]:
    for _, first, last in periods(start, end, time_zone("UTC"), "day"):
        ledger = _fetched(sql.grouped_records(), first, last)
        is_day = last - first == DAY
        for width in (WINDOW, HOUR, *([DAY] if is_day else [])):
            yield from _compared(_WIDTH_NAMES[width], first, ledger, _rolled(USAGE[width], first, last))
        yield from _latency_differences(first, last)
        if is_day:
            for model, name, grouped in (
                (DailyEndUserRollup, "end_user", sql.grouped_end_users()),
                (DailyTagRollup, "tag", sql.grouped_tags()),
            ):
                place = f"days by {name.replace('_', ' ')}"
                rolled = _rolled(model, first, last, name=name)
                yield from _compared(place, first, _fetched(grouped, first, last), rolled)
    for _, first, last in periods(start, end, time_zone(zone_name), "day"):
        ledger = _fetched(sql.grouped_records(), first, last)
        yield from _compared(f"reports in {zone_name}", first, ledger, _reported(first, last, zone_name))


def _rolled(model: type[models.Model], start: datetime, end: datetime, *, name: str = "") -> _Sums:
    table = model._meta.db_table
    columns = (f"{table}.{name}, " if name else "") + sql.dimensions(f"{sql.GROUPS}.")
    return _fetched(
        f"SELECT {columns}, {sql.totals(f'{table}.')} FROM {table} "  # noqa: S608  (names of ours)
        f"JOIN {sql.GROUPS} ON {sql.GROUPS}.id = {table}.group_id "
        f"WHERE window_start >= %s AND window_start < %s GROUP BY {columns}",
        start,
        end,
    )


def _fetched(statement: str, start: datetime, end: datetime) -> _Sums:
    """Sums by group, ids as hex digits."""
    with connection.cursor() as cursor:
        cursor.execute(statement, [sql.moment(start), sql.moment(end)])
        split = -len(sql.SUMS)
        return {
            tuple(_plain(value) for value in row[:split]): tuple(int(value) for value in row[split:])
            for row in cursor.fetchall()
        }


def _reported(start: datetime, end: datetime, zone_name: str) -> _Sums:
    query = UsageQuery(start, end, zone_name, ("day", *_REPORT_DIMENSIONS))
    names = ["cost_nano" if name == "cost" else name for name in sql.SUMS]
    return {_group(row.group[1:]): tuple(getattr(row, name) for name in names) for row in usage_sums(query)}


def _group(values: tuple[str, ...]) -> tuple[str, ...]:
    """A report's group as the database has it: no id is one of zeros."""
    named = zip(GROUP_COLUMNS, values, strict=True)
    return tuple(value or _NO_ID if column in sql.ID_COLUMNS else value for column, value in named)


def _compared(place: str, start: datetime, ledger: _Sums, rolled: _Sums) -> Iterator[Difference]:
    nothing = (0,) * len(sql.SUMS)
    for group in sorted(ledger.keys() | rolled.keys()):
        for name, wanted, is_there in zip(
            sql.SUMS, ledger.get(group, nothing), rolled.get(group, nothing), strict=True
        ):
            if wanted != is_there:
                yield Difference(place, start, name, _who(group), wanted, is_there)


def _latency_differences(start: datetime, end: datetime) -> Iterator[Difference]:
    answered = UsageRecord.objects.filter(at__gte=start, at__lt=end, parent_id=None, status__lt=400).count()
    for width, model in LATENCIES.items():
        rolled = within(model, start, end).aggregate(all=Coalesce(Sum("requests"), 0))["all"]
        if rolled != answered:
            yield Difference(_WIDTH_NAMES[width], start, "timed", "", answered, rolled)


def _plain(value: Any) -> str:
    return str(getattr(value, "hex", value))


def _who(group: tuple[str, ...]) -> str:
    names = ("", *GROUP_COLUMNS)[-len(group) :]
    parts = [
        f"{name} {value}".strip()
        for name, value in zip(names, group, strict=True)
        if value and value != _NO_ID
    ]
    return ", ".join(parts)
