"""Keeps the rollups: quarter-hours that got records are computed again as a whole, from the ledger, and then
their hours from the quarter-hours.

Storing a batch notes its quarter-hours in the batch's transaction (`record_store`); `roll_up` works the notes
off. However often and in whatever order that happens, the rollups of a window without a note are the sums of
its records. `differences` checks just that.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
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
    HourlyLatencyRollup,
    HourlyUsageRollup,
    LatencyRollup,
    RollupWindow,
    UsageRecord,
    UsageRollup,
)
from usage_app.models.rollup import MASTER_KEY
from usage_app.models.rollup import USAGE_DIMENSIONS as DIMENSIONS

WINDOW = timedelta(minutes=15)
HOUR = timedelta(hours=1)
BUCKET_GROWTH = 1.2
# 1.2^80 ms are 36 minutes; what took longer is counted there.
LAST_BUCKET = 80
MAX_WINDOWS_PER_RUN = 500
SUMS = (
    "requests",
    "errors",
    "unpriced",
    "input_tokens",
    "output_tokens",
    "cached_input_tokens",
    "reasoning_tokens",
    "cost",
)
# The calls of a run count with their tokens and costs; the request is the run's.
IS_REQUEST = Q(parent_id=None)
IS_ERROR = IS_REQUEST & Q(status__gte=400) & ~Q(status=499)
IS_UNPRICED = Q(cost=None) & (Q(state="unpriced") | Q(input_tokens__gt=0) | Q(output_tokens__gt=0))
# What holds the sums, by the width of its windows.
ROLLUPS = {WINDOW: (UsageRollup, LatencyRollup), HOUR: (HourlyUsageRollup, HourlyLatencyRollup)}
_IS_ANSWERED = IS_REQUEST & Q(status__lt=400)
_LN_GROWTH = math.log(BUCKET_GROWTH)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LOCK_CLASS = 7_361_003


@dataclass(frozen=True, slots=True)
class Difference:
    """A sum that is not the same in the ledger and in the rollups of one width."""

    width: timedelta
    name: str
    in_ledger: int | Decimal
    in_rollups: int | Decimal


def window_of(moment: datetime) -> datetime:
    """The quarter-hour that a moment is in."""
    return floor(moment, WINDOW)


def roll_up(limit: int = MAX_WINDOWS_PER_RUN) -> int:
    """Compute the windows that are noted, the newest first, `limit` at most; how many were computed."""
    starts = RollupWindow.objects.order_by("-window_start").values_list("window_start", flat=True)
    done = 0
    for start in list(starts[:limit]):
        done += _roll_up_window(start)
    return done


def floor(moment: datetime, width: timedelta) -> datetime:
    """Where the span of a width begins that a moment is in, counted from 1970."""
    return _EPOCH + (moment - _EPOCH) // width * width


def note_range(start: datetime, end: datetime) -> int:
    """Note every window from `start` up to `end` for computing; how many there are."""
    window, notes = window_of(start), []
    while window < end:
        notes.append(RollupWindow(window_start=window, mark=0))
        window += WINDOW
    RollupWindow.objects.bulk_create(notes, batch_size=500, ignore_conflicts=True)
    return len(notes)


def differences(start: datetime, end: datetime) -> list[Difference]:
    """Where ledger and rollups disagree from `start` up to `end`, both at an hour; [] if nowhere.

    Reads the ledger of the range. Windows that have a note may rightly differ.
    """
    records = UsageRecord.objects.filter(at__gte=start, at__lt=end)
    ledger = _columns(records.aggregate(**_record_sums(), timed=Count("pk", filter=_IS_ANSWERED)))
    found = []
    for width, (usage, latency) in ROLLUPS.items():
        rolled = _columns(_within(usage, start, end).aggregate(**sums_of(SUMS)))
        rolled["timed"] = _within(latency, start, end).aggregate(all=Coalesce(Sum("requests"), 0))["all"]
        found += [
            Difference(width, name, ledger[name], rolled[name])
            for name in rolled
            if ledger[name] != rolled[name]
        ]
    return found


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


def _within(model: type[models.Model], start: datetime, end: datetime) -> QuerySet[Any]:
    return model._default_manager.filter(window_start__gte=start, window_start__lt=end).order_by()


def _roll_up_window(start: datetime) -> int:
    with transaction.atomic():
        _lock(start)
        note = RollupWindow.objects.filter(window_start=start).values_list("mark", flat=True).first()
        if note is None:
            return 0
        if start >= utc_now() - timedelta(days=settings.USAGE_RETENTION_DAYS):
            _compute(start)
            _sum_up_hour(floor(start, HOUR))
        # Last: a batch that is being stored holds its note until it is committed, and leaves another mark.
        RollupWindow.objects.filter(window_start=start, mark=note).delete()
    return 1


def _lock(start: datetime) -> None:
    """Let one process at a time compute windows of an hour; on SQLite there is but one writer anyway."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            number = (start - _EPOCH) // HOUR
            cursor.execute("SELECT pg_advisory_xact_lock(%s, %s)", [_LOCK_CLASS, number])


def _compute(start: datetime) -> None:
    records = UsageRecord.objects.filter(at__gte=start, at__lt=start + WINDOW).order_by()
    UsageRollup.objects.filter(window_start=start).delete()
    groups = records.values(*DIMENSIONS).annotate(**_record_sums())
    UsageRollup.objects.bulk_create(
        [UsageRollup(window_start=start, **_columns(_with_key(group))) for group in groups], batch_size=500
    )
    LatencyRollup.objects.filter(window_start=start).delete()
    LatencyRollup.objects.bulk_create(
        [
            LatencyRollup(window_start=start, bucket=bucket, requests=requests)
            for bucket, requests in _buckets(records)
        ]
    )


def _sum_up_hour(start: datetime) -> None:
    end = start + HOUR
    _within(HourlyUsageRollup, start, end).delete()
    groups = _within(UsageRollup, start, end).values(*DIMENSIONS).annotate(**sums_of(SUMS))
    HourlyUsageRollup.objects.bulk_create(
        [HourlyUsageRollup(window_start=start, **_columns(group)) for group in groups], batch_size=500
    )
    _within(HourlyLatencyRollup, start, end).delete()
    counts = _within(LatencyRollup, start, end).values("bucket").annotate(requests=Sum("requests"))
    HourlyLatencyRollup.objects.bulk_create(
        [HourlyLatencyRollup(window_start=start, **count) for count in counts]
    )


def _with_key(group: dict[str, Any]) -> dict[str, Any]:
    return {**group, "key_id": group["key_id"] or MASTER_KEY}


def _buckets(records: QuerySet[UsageRecord]) -> QuerySet[UsageRecord, tuple[int, int]]:
    steps = Floor(Ln(F("total_ms")) / Value(_LN_GROWTH))
    bucket = Case(
        When(total_ms__lt=BUCKET_GROWTH, then=0),
        When(total_ms__gte=BUCKET_GROWTH**LAST_BUCKET, then=LAST_BUCKET),
        default=Cast(steps, IntegerField()),
        output_field=IntegerField(),
    )
    answered = records.filter(_IS_ANSWERED).annotate(bucket=bucket)
    return answered.values("bucket").annotate(count=Count("pk")).values_list("bucket", "count")


def _record_sums() -> dict[str, Any]:
    """The columns of a rollup as aggregates over records, each named `sum_<column>`."""
    counts = {
        "sum_requests": Count("pk", filter=IS_REQUEST),
        "sum_errors": Count("pk", filter=IS_ERROR),
        "sum_unpriced": Count("pk", filter=IS_UNPRICED),
    }
    return {**counts, **sums_of(name for name in SUMS if f"sum_{name}" not in counts)}


def sums_of(names: Iterable[str]) -> dict[str, Any]:
    """Columns of records or rollups summed up, each named `sum_<column>`; 0 where there is nothing."""
    return {f"sum_{name}": Coalesce(Sum(name), 0, output_field=_field(name)) for name in names}


def _field(name: str) -> Field[Any, Any]:
    return MoneyField() if name == "cost" else BigIntegerField()


def _columns(sums: dict[str, Any]) -> dict[str, Any]:
    return {name.removeprefix("sum_"): value for name, value in sums.items()}
