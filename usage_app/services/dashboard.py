"""What was used in a range, from the rollups alone: totals, a course over time, and who used most.

Nothing here reads the ledger, so the cost of a question depends on the range, not on the traffic.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db.models import F, QuerySet, Sum
from django.db.models.functions import TruncDay, TruncHour

from security_app.models import ApiKey
from usage_app.models import LatencyRollup, RollupWindow, UsageRollup
from usage_app.models.rollup import MASTER_KEY
from usage_app.services.rollups import SUMS, WINDOW, quantile_ms, sums_of, window_of

TOP = 10
MAX_UNPRICED = 20
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_HOUR = timedelta(hours=1)
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Range:
    """A span up to now, and the width of the steps that its course is shown in."""

    name: str
    title: str
    span: timedelta
    step: timedelta

    def start(self, now: datetime) -> datetime:
        """Where it begins: `span` ago, back to the beginning of a step."""
        return _floor(now - self.span, self.step)


RANGES = {
    one.name: one
    for one in (
        Range("1h", "1 hour", _HOUR, WINDOW),
        Range("6h", "6 hours", 6 * _HOUR, WINDOW),
        Range("24h", "24 hours", _DAY, _HOUR),
        Range("7d", "7 days", 7 * _DAY, 6 * _HOUR),
        Range("30d", "30 days", 30 * _DAY, _DAY),
    )
}
DEFAULT_RANGE = "24h"


@dataclass(slots=True)
class Totals:
    """Sums of rollups; `cost` in US dollars."""

    requests: int = 0
    errors: int = 0
    unpriced: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cached_input_tokens: int = 0
    reasoning_tokens: int = 0
    cost: Decimal = Decimal(0)

    def add(self, sums: dict[str, Any]) -> None:
        """Add what `sums_of(SUMS)` found."""
        for name in SUMS:
            setattr(self, name, getattr(self, name) + sums[f"sum_{name}"])

    @property
    def error_share(self) -> float:
        """Errors per request, 0 to 1."""
        return self.errors / self.requests if self.requests else 0.0


@dataclass(slots=True)
class Step:
    """One step of the course; quantiles are None where nothing was answered."""

    start: datetime
    totals: Totals = field(default_factory=Totals)
    p50_ms: float | None = None
    p95_ms: float | None = None


@dataclass(frozen=True, slots=True)
class Share:
    """What one model or one key used; `key_id` is None but for keys."""

    name: str
    key_id: UUID | None
    totals: Totals


@dataclass(frozen=True, slots=True)
class Unpriced:
    """An upstream model that was used without a price; `model` is the id that a price needs."""

    model: str
    requests: int
    tokens: int


@dataclass(frozen=True, slots=True)
class Dashboard:
    """A range's usage. `windows_due` counts its quarter-hours that have records not summed up yet."""

    range: Range
    start: datetime
    totals: Totals
    p50_ms: float | None
    p95_ms: float | None
    steps: list[Step]
    models: list[Share]
    keys: list[Share]
    unpriced: list[Unpriced]
    windows_due: int


def dashboard(chosen: Range, *, now: datetime) -> Dashboard:
    """Everything about a range up to now, in seven queries."""
    start = chosen.start(now)
    rollups = UsageRollup.objects.filter(window_start__gte=start).order_by()
    steps = _empty_steps(chosen, start, now)
    totals = Totals()
    for sums in _by_moment(rollups, chosen).annotate(**sums_of(SUMS)):
        totals.add(sums)
        if step := steps.get(_floor(sums["moment"], chosen.step)):
            step.totals.add(sums)
    latencies = _latencies(chosen, start, steps)
    return Dashboard(
        range=chosen,
        start=start,
        totals=totals,
        p50_ms=quantile_ms(latencies, 0.5),
        p95_ms=quantile_ms(latencies, 0.95),
        steps=list(steps.values()),
        models=[Share(row["model"], None, _totals(row)) for row in _top(rollups, "model")],
        keys=_keys(rollups),
        unpriced=_unpriced(rollups),
        windows_due=RollupWindow.objects.filter(
            window_start__gte=start, window_start__lt=window_of(now)
        ).count(),
    )


def _empty_steps(chosen: Range, start: datetime, now: datetime) -> dict[datetime, Step]:
    count = (now - start) // chosen.step + 1
    moments = (start + number * chosen.step for number in range(count))
    return {moment: Step(moment) for moment in moments}


def _by_moment(rows: QuerySet[Any], chosen: Range) -> QuerySet[Any, dict[str, Any]]:
    """The rows grouped by a moment that is no coarser than the range's steps."""
    moment: Any = F("window_start")
    if chosen.step >= _DAY:
        moment = TruncDay("window_start", tzinfo=UTC)
    elif chosen.step >= _HOUR:
        moment = TruncHour("window_start", tzinfo=UTC)
    return rows.annotate(moment=moment).values("moment")


def _latencies(chosen: Range, start: datetime, steps: dict[datetime, Step]) -> list[tuple[int, int]]:
    """The range's counts by bucket; the quantiles of its steps are filled in."""
    rows = LatencyRollup.objects.filter(window_start__gte=start).order_by()
    counts: dict[datetime, list[tuple[int, int]]] = defaultdict(list)
    for row in _by_moment(rows, chosen).values("moment", "bucket").annotate(sum=Sum("requests")):
        counts[_floor(row["moment"], chosen.step)].append((row["bucket"], row["sum"]))
    for moment, found in counts.items():
        if step := steps.get(moment):
            step.p50_ms, step.p95_ms = quantile_ms(found, 0.5), quantile_ms(found, 0.95)
    return [count for found in counts.values() for count in found]


def _top(rollups: QuerySet[UsageRollup], dimension: str) -> Iterable[dict[str, Any]]:
    sums = rollups.values(dimension).annotate(**sums_of(SUMS))
    return sums.order_by("-sum_cost", "-sum_requests", dimension)[:TOP]


def _keys(rollups: QuerySet[UsageRollup]) -> list[Share]:
    rows = list(_top(rollups, "key_id"))
    known = ApiKey.objects.filter(pk__in=[row["key_id"] for row in rows])
    names = {MASTER_KEY: "Master key", **dict(known.values_list("pk", "name"))}
    return [Share(names.get(row["key_id"], ""), row["key_id"], _totals(row)) for row in rows]


def _unpriced(rollups: QuerySet[UsageRollup]) -> list[Unpriced]:
    rows = rollups.filter(unpriced__gt=0).values("upstream", "upstream_model")
    sums = rows.annotate(requests_sum=Sum("unpriced"), tokens=Sum(F("input_tokens") + F("output_tokens")))
    return [
        Unpriced(f"{row['upstream']}/{row['upstream_model']}", row["requests_sum"], row["tokens"])
        for row in sums.order_by("-requests_sum", "upstream", "upstream_model")[:MAX_UNPRICED]
    ]


def _totals(sums: dict[str, Any]) -> Totals:
    totals = Totals()
    totals.add(sums)
    return totals


def _floor(moment: datetime, step: timedelta) -> datetime:
    return _EPOCH + (moment - _EPOCH) // step * step
