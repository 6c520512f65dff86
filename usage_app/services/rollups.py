"""Keeps the rollups: quarter-hours that got records are computed again as a whole, from the ledger, then
their hours from the quarter-hours, and their days from the hours.

Storing a batch notes its quarter-hours in the batch's transaction (`record_store`); `roll_up` works the notes
off. However often and in whatever order that happens, the rollups of a window without a note are the sums of
its records (`reconciliation` checks just that). Sums by end user and by tag are made from a whole day's
records, by `sum_up_days`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import connection, models, transaction
from django.db.models import (
    BigIntegerField,
    Case,
    Count,
    F,
    Field,
    IntegerField,
    Q,
    QuerySet,
    Sum,
    Value,
    When,
)
from django.db.models.functions import Cast, Coalesce, Floor, Ln

from gateway_project.core.clock import utc_now
from gateway_project.core.money import MoneyField
from usage_app.models import (
    DailyEndUserRollup,
    DailyTagRollup,
    DailyUsageRollup,
    HourlyLatencyRollup,
    HourlyUsageRollup,
    LatencyRollup,
    RollupDay,
    RollupWindow,
    UsageRecord,
    UsageRollup,
)
from usage_app.services import rollup_sql as sql

WINDOW = timedelta(minutes=15)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
BUCKET_GROWTH = 1.2
# 1.2^80 ms are 36 minutes; what took longer is counted there.
LAST_BUCKET = 80
MAX_WINDOWS_PER_RUN = 500
# Hours that are computed in one transaction, with their day after them: on SQLite others wait for its end.
PART = timedelta(hours=6)
# What sorting and hashing a day's records may take of PostgreSQL's memory; its default writes files for it.
_WORK_MEM = "64MB"
# How old the sums by end user and by tag of the day that is going on may be.
DAY_REFRESH = timedelta(minutes=10)
# What holds the sums, and the durations, by the width of its windows.
USAGE: dict[timedelta, type[models.Model]] = {
    WINDOW: UsageRollup,
    HOUR: HourlyUsageRollup,
    DAY: DailyUsageRollup,
}
LATENCIES: dict[timedelta, type[models.Model]] = {WINDOW: LatencyRollup, HOUR: HourlyLatencyRollup}
ALL_USAGE: tuple[type[models.Model], ...] = (*USAGE.values(), DailyEndUserRollup, DailyTagRollup)
ALL_ROLLUPS: tuple[type[models.Model], ...] = (*ALL_USAGE, *LATENCIES.values())
_LN_GROWTH = math.log(BUCKET_GROWTH)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LOCK_CLASS = 7_361_003


def window_of(moment: datetime) -> datetime:
    """The quarter-hour that a moment is in."""
    return floor(moment, WINDOW)


def floor(moment: datetime, width: timedelta) -> datetime:
    """Where the span of a width begins that a moment is in, counted from 1970."""
    return _EPOCH + (moment - _EPOCH) // width * width


def roll_up(limit: int = MAX_WINDOWS_PER_RUN) -> int:
    """Compute the windows that are noted, the newest first, `limit` at most; how many were computed."""
    starts = RollupWindow.objects.order_by("-window_start").values_list("window_start", flat=True)
    parts: dict[datetime, list[datetime]] = {}
    for start in list(starts[:limit]):
        parts.setdefault(floor(start, PART), []).append(start)
    return sum(_roll_up_part(floor(part, DAY), windows) for part, windows in parts.items())


def sum_up_days(*, at_once: bool = False) -> int:
    """Compute the sums by end user and by tag of the days that are due, or of all noted ones; how many."""
    noted = RollupDay.objects.order_by("-day_start")
    if not at_once:
        noted = noted.filter(due_at__lte=utc_now())
    return sum(_sum_up_names(day) for day in list(noted.values_list("day_start", flat=True)))


def note_range(start: datetime, end: datetime) -> int:
    """Note every window from `start` up to `end` for computing; how many there are."""
    window, notes = window_of(start), []
    while window < end:
        notes.append(RollupWindow(window_start=window, mark=0))
        window += WINDOW
    RollupWindow.objects.bulk_create(notes, batch_size=500, ignore_conflicts=True)
    return len(notes)


def bucket_middle_ms(bucket: int) -> float:
    """The duration that stands for a bucket: the geometric middle of its bounds."""
    return float(BUCKET_GROWTH ** (bucket + 0.5))


def quantile_ms(counts: Iterable[tuple[int, int]], share: float) -> float | None:
    """The duration below which `share` of the requests are, from (bucket, requests); None without any."""
    ordered = sorted(counts)
    wanted = share * sum(requests for _, requests in ordered)
    seen = 0
    for bucket, requests in ordered:
        seen += requests
        if requests and seen >= wanted:
            return bucket_middle_ms(bucket)
    return None


def within(model: type[models.Model], start: datetime, end: datetime) -> QuerySet[Any]:
    """The rollups from `start` up to `end`."""
    return model._default_manager.filter(window_start__gte=start, window_start__lt=end).order_by()


def _roll_up_part(day: datetime, windows: list[datetime]) -> int:
    """Compute windows of a day that are noted, their hours and the day, and note the day."""
    kept_from = utc_now() - timedelta(days=settings.USAGE_RETENTION_DAYS)
    with transaction.atomic():
        _lock(day)
        notes = dict(
            RollupWindow.objects.filter(window_start__in=windows).values_list("window_start", "mark")
        )
        hours: dict[datetime, list[datetime]] = {}
        for start in sorted(notes):
            if (hour := floor(start, HOUR)) >= kept_from:
                hours.setdefault(hour, []).append(start)
        for hour, starts in hours.items():
            _roll_up_hour(hour, starts)
        if hours:
            _sum_up(DAY, HOUR, day)
            _note_day(day)
        for start, mark in notes.items():
            # Last: a batch that is being stored holds its note until its commit, and leaves another mark.
            RollupWindow.objects.filter(window_start=start, mark=mark).delete()
    return len(notes)


def _roll_up_hour(hour: datetime, windows: list[datetime]) -> None:
    """Compute windows of an hour, and the hour."""
    _execute(sql.add_groups(), hour, hour + HOUR)
    for start in windows:
        _compute(start)
    _sum_up(HOUR, WINDOW, hour)
    _sum_up_latencies(hour)


def _lock(day: datetime) -> None:
    """Let one process at a time compute sums of a day, and give it the memory that this takes.

    On SQLite there is but one writer anyway.
    """
    if connection.vendor == "postgresql":
        _execute("SELECT pg_advisory_xact_lock(%s, %s)", _LOCK_CLASS, (day - _EPOCH) // DAY)
        _execute(f"SET LOCAL work_mem = '{_WORK_MEM}'")


def _compute(start: datetime) -> None:
    end = start + WINDOW
    UsageRollup.objects.filter(window_start=start).delete()
    _execute(sql.sum_up_records(UsageRollup._meta.db_table), start, start, end)
    LatencyRollup.objects.filter(window_start=start).delete()
    records = UsageRecord.objects.filter(at__gte=start, at__lt=end).order_by()
    LatencyRollup.objects.bulk_create(
        [
            LatencyRollup(window_start=start, bucket=bucket, requests=requests)
            for bucket, requests in _buckets(records)
        ]
    )


def _sum_up(width: timedelta, from_width: timedelta, start: datetime) -> None:
    target, source = USAGE[width], USAGE[from_width]
    within(target, start, start + width).delete()
    statement = sql.sum_up_rollups(target._meta.db_table, source._meta.db_table)
    _execute(statement, start, start, start + width)


def _sum_up_latencies(start: datetime) -> None:
    end = start + HOUR
    within(HourlyLatencyRollup, start, end).delete()
    counts = within(LatencyRollup, start, end).values("bucket").annotate(requests=Sum("requests"))
    HourlyLatencyRollup.objects.bulk_create(
        [HourlyLatencyRollup(window_start=start, **count) for count in counts]
    )


def _note_day(day: datetime) -> None:
    now = utc_now()
    is_over = day + DAY <= now
    RollupDay.objects.bulk_create(
        [RollupDay(day_start=day, due_at=now if is_over else now + DAY_REFRESH)], ignore_conflicts=True
    )


def _sum_up_names(day: datetime) -> int:
    with transaction.atomic():
        # Whoever notes a day holds the same lock: no note comes between.
        _lock(day)
        if not RollupDay.objects.filter(day_start=day).delete()[0]:
            return 0
        span = (day, day + DAY)
        # What is summed up has its groups. What is not has a note, and the day gets another for it.
        for model, name, grouped in (
            (DailyEndUserRollup, "end_user", sql.grouped_end_users()),
            (DailyTagRollup, "tag", sql.grouped_tags()),
        ):
            within(model, *span).delete()
            _execute(sql.sum_up_names(model._meta.db_table, name, grouped), day, *span)
    return 1


def _execute(statement: str, *parameters: datetime | int) -> None:
    values = [sql.moment(value) if isinstance(value, datetime) else value for value in parameters]
    with connection.cursor() as cursor:
        cursor.execute(statement, values)


def _buckets(records: QuerySet[UsageRecord]) -> QuerySet[UsageRecord, tuple[int, int]]:
    steps = Floor(Ln(F("total_ms")) / Value(_LN_GROWTH))
    bucket = Case(
        When(total_ms__lt=BUCKET_GROWTH, then=0),
        When(total_ms__gte=BUCKET_GROWTH**LAST_BUCKET, then=LAST_BUCKET),
        default=Cast(steps, IntegerField()),
        output_field=IntegerField(),
    )
    answered = records.filter(Q(parent_id=None, status__lt=400)).annotate(bucket=bucket)
    return answered.values("bucket").annotate(count=Count("pk")).values_list("bucket", "count")


def sums_of(names: Iterable[str]) -> dict[str, Any]:
    """Columns of rollups summed up, each named `sum_<column>`; 0 where there is nothing."""
    return {f"sum_{name}": Coalesce(Sum(name), 0, output_field=_field(name)) for name in names}


def _field(name: str) -> Field[Any, Any]:
    return MoneyField() if name == "cost" else BigIntegerField()
