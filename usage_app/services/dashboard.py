"""What was used in a range, from the rollups alone: totals, a course over time, and who used most.

Nothing here reads the ledger, and the database adds up: what a question costs depends on the range and on how
many keys and models were used in it, what it returns does not.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.core.cache import cache
from django.db.models import BigIntegerField, Func, Model, QuerySet, Sum

from gateway_project.core.ids import public_id
from gateway_project.core.money import from_nano
from security_app.models import ApiKey, Team
from usage_app.models import RollupWindow
from usage_app.models.rollup import MASTER_KEY
from usage_app.services.rollup_sql import SUMS
from usage_app.services.rollups import (
    HOUR,
    LATENCIES,
    USAGE,
    WINDOW,
    floor,
    quantile_ms,
    sums_of,
    window_of,
)
from usage_app.services.usage_sums import UsageQuery, UsageRow, usage_sums

TOP = 10
MAX_UNPRICED = 20
# Rollups are new every minute, if there is traffic.
KEPT_S = 300
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
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
        return floor(now - self.span, self.step)

    @property
    def rollups(self) -> tuple[type[Model], type[Model]]:
        """Where its usage and its durations are summed up, by windows no longer than a step."""
        return self._widest(USAGE), self._widest(LATENCIES)

    def _widest(self, held: dict[timedelta, type[Model]]) -> type[Model]:
        return held[max(width for width in held if width <= self.step)]


RANGES = {
    one.name: one
    for one in (
        Range("1h", "1 hour", HOUR, WINDOW),
        Range("6h", "6 hours", 6 * HOUR, WINDOW),
        Range("24h", "24 hours", _DAY, HOUR),
        Range("7d", "7 days", 7 * _DAY, 6 * HOUR),
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
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    cost: Decimal = Decimal(0)

    def add(self, sums: dict[str, Any]) -> None:
        """Add what `sums_of(SUMS)` found."""
        for name in SUMS:
            setattr(self, name, getattr(self, name) + sums[f"sum_{name}"])

    @classmethod
    def of(cls, row: UsageRow) -> Totals:
        """What `usage_sums` found."""
        sums = row._asdict()
        del sums["group"]
        return cls(cost=from_nano(sums.pop("cost_nano")), **sums)

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
    """What one model, key or team used; `key_id` is None but for keys."""

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
    teams: list[Share]
    unpriced: list[Unpriced]
    windows_due: int


def dashboard(chosen: Range, *, now: datetime) -> Dashboard:
    """Everything about a range up to now, in eleven queries; in three as long as no rollup is new."""
    start = chosen.start(now)
    newest = "-".join(str(_newest(model)) for model in chosen.rollups)
    name = f"dashboard-{chosen.name}-{floor(now, chosen.step):%Y%m%d%H%M}-{newest}"
    found: Dashboard | None = cache.get(name)
    if found is None:
        found = _summed_up(chosen, start, now)
        cache.set(name, found, timeout=KEPT_S)
    due = RollupWindow.objects.filter(window_start__gte=start, window_start__lt=window_of(now))
    return replace(found, windows_due=due.count())


def _newest(model: type[Model]) -> int:
    """The last row's number. Rows are replaced, never changed: whatever is new has a higher one."""
    newest: int | None = model._default_manager.order_by("-pk").values_list("pk", flat=True).first()
    return newest or 0


def _summed_up(chosen: Range, start: datetime, now: datetime) -> Dashboard:
    usage, latency = (
        model._default_manager.filter(window_start__gte=start).order_by() for model in chosen.rollups
    )
    steps = _steps(chosen, start, now)
    totals = Totals()
    for sums in _by_step(usage, chosen).annotate(**sums_of(SUMS)):
        totals.add(sums)
        if step := steps.get(_moment(sums, chosen)):
            step.totals.add(sums)
    latencies = _latencies(latency, chosen, steps)
    return Dashboard(
        range=chosen,
        start=start,
        totals=totals,
        p50_ms=quantile_ms(latencies, 0.5),
        p95_ms=quantile_ms(latencies, 0.95),
        steps=list(steps.values()),
        models=[Share(model, None, sums) for model, sums in _top(start, now, "model")[:TOP]],
        keys=_keys(_top(start, now, "key")),
        teams=_teams(_top(start, now, "team")),
        unpriced=_unpriced(usage),
        windows_due=0,
    )


class _StepNumber(Func):
    """How many steps there are from 1970 to a moment; grouping by it is cheaper than by a truncated date."""

    output_field = BigIntegerField()

    def as_postgresql(self, compiler: Any, connection: Any, **extra: Any) -> tuple[str, Any]:
        """Whole seconds since 1970, divided."""
        template = "FLOOR(EXTRACT(EPOCH FROM %(expressions)s) / %(step_s)s)::bigint"
        return super().as_sql(compiler, connection, template=template, **extra)

    def as_sqlite(self, compiler: Any, connection: Any, **extra: Any) -> tuple[str, Any]:
        """The same; the `%` of its format is none of Django's."""
        template = "(CAST(STRFTIME('%%%%s', %(expressions)s) AS INTEGER) / %(step_s)s)"
        return super().as_sql(compiler, connection, template=template, **extra)


def _by_step(rows: QuerySet[Any], chosen: Range) -> QuerySet[Any, dict[str, Any]]:
    """The rows grouped by the range's steps."""
    step = _StepNumber("window_start", step_s=int(chosen.step.total_seconds()))
    grouped: QuerySet[Any, dict[str, Any]] = rows.annotate(step=step).values("step")
    return grouped


def _moment(row: dict[str, Any], chosen: Range) -> datetime:
    moment: datetime = _EPOCH + row["step"] * chosen.step
    return moment


def _steps(chosen: Range, start: datetime, now: datetime) -> dict[datetime, Step]:
    """The range's steps with nothing in them yet."""
    count = (now - start) // chosen.step + 1
    moments = (start + number * chosen.step for number in range(count))
    return {moment: Step(moment) for moment in moments}


def _latencies(rows: QuerySet[Any], chosen: Range, steps: dict[datetime, Step]) -> list[tuple[int, int]]:
    """The range's counts by bucket; the quantiles of its steps are filled in."""
    counts: dict[datetime, list[tuple[int, int]]] = defaultdict(list)
    for row in _by_step(rows, chosen).values("step", "bucket").annotate(sum=Sum("requests")):
        counts[_moment(row, chosen)].append((row["bucket"], row["sum"]))
    for moment, found in counts.items():
        if step := steps.get(moment):
            step.p50_ms, step.p95_ms = quantile_ms(found, 0.5), quantile_ms(found, 0.95)
    totals: dict[int, int] = defaultdict(int)
    for bucket, requests in (count for found in counts.values() for count in found):
        totals[bucket] += requests
    return list(totals.items())


def _top(start: datetime, now: datetime, dimension: str) -> list[tuple[str, Totals]]:
    """Those who cost most, then those with most requests; one more than are listed."""
    query = UsageQuery(start, window_of(now) + WINDOW, group_by=(dimension,), limit=TOP + 1)
    return [(row.group[0], Totals.of(row)) for row in usage_sums(query)]


def _keys(top: list[tuple[str, Totals]]) -> list[Share]:
    ids = [(UUID(value) if value else MASTER_KEY, totals) for value, totals in top[:TOP]]
    known = ApiKey.objects.filter(pk__in=[key_id for key_id, _ in ids])
    names = {MASTER_KEY: "Master key", **dict(known.values_list("pk", "name"))}
    return [Share(names.get(key_id, ""), key_id, totals) for key_id, totals in ids]


def _teams(top: list[tuple[str, Totals]]) -> list[Share]:
    ids = [(UUID(value), totals) for value, totals in top if value][:TOP]
    names = dict(Team.objects.filter(pk__in=[team_id for team_id, _ in ids]).values_list("pk", "name"))
    return [Share(names.get(team_id) or public_id("team", team_id), None, totals) for team_id, totals in ids]


def _unpriced(usage: QuerySet[Any]) -> list[Unpriced]:
    names = ("group__upstream", "group__upstream_model")
    sums = sums_of(("unpriced", "input_tokens", "output_tokens"))
    grouped = usage.filter(unpriced__gt=0).values(*names).annotate(**sums).order_by("-sum_unpriced", *names)
    return [
        Unpriced(
            f"{found['group__upstream']}/{found['group__upstream_model']}",
            found["sum_unpriced"],
            found["sum_input_tokens"] + found["sum_output_tokens"],
        )
        for found in grouped[:MAX_UNPRICED]
    ]
