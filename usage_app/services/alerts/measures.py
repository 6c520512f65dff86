"""What alerts can watch: each measure turns a rule into figures, from rollups or from what an app registers.

A measure says what its figure counts, so that forms and messages can. Apps above register theirs in
`ready()`: the states of upstreams are not known here.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import NamedTuple

from django.db.models import Sum

from gateway_project.core.money import from_nano
from usage_app.models import AlertRule, LatencyRollup
from usage_app.services.rollups import WINDOW, quantile_ms, window_of
from usage_app.services.usage_sums import UsageQuery, UsageRow, usage_sums

# More subjects than that are no list that a person reads; those with the highest figures count.
MAX_SUBJECTS = 50
_ALL = ""
# What is used is kept by these.
_EVERY_SUBJECT = tuple(per for per in AlertRule.Per.values if per != AlertRule.Per.BUDGET)


class Figure(NamedTuple):
    """What was measured of one subject; `subject` is "" for the whole installation."""

    subject: str
    value: Decimal
    detail: str = ""


class Measure(NamedTuple):
    """A kind of figure: what forms call it, what its number counts, of which subjects it can be."""

    title: str
    unit: str
    subjects: tuple[str, ...]
    read: Callable[[AlertRule, datetime], Iterable[Figure]]


def span_start(rule: AlertRule, now: datetime) -> datetime:
    """Where the rule's span begins, at a quarter-hour."""
    return window_of(now - timedelta(minutes=rule.window_minutes))


def _sums(rule: AlertRule, now: datetime) -> Iterator[tuple[str, UsageRow]]:
    """What each subject used in the rule's span."""
    group_by = () if rule.per == AlertRule.Per.ALL else (rule.per,)
    query = UsageQuery(start=span_start(rule, now), end=window_of(now) + WINDOW, group_by=group_by)
    return ((row.group[0] if row.group else _ALL, row) for row in usage_sums(query))


def _highest(figures: Iterable[Figure]) -> list[Figure]:
    return heapq.nlargest(MAX_SUBJECTS, figures, key=lambda figure: figure.value)


def _cost(rule: AlertRule, now: datetime) -> list[Figure]:
    return _highest(Figure(subject, from_nano(row.cost_nano)) for subject, row in _sums(rule, now))


def _tokens(rule: AlertRule, now: datetime) -> list[Figure]:
    return _highest(
        Figure(subject, Decimal(row.input_tokens + row.output_tokens)) for subject, row in _sums(rule, now)
    )


def _unpriced(rule: AlertRule, now: datetime) -> list[Figure]:
    return _highest(Figure(subject, Decimal(row.unpriced)) for subject, row in _sums(rule, now))


def _errors(rule: AlertRule, now: datetime) -> list[Figure]:
    return _highest(
        Figure(
            subject,
            (Decimal(100 * row.errors) / row.requests).quantize(Decimal("0.01")),
            f"{row.errors:,} of {row.requests:,} requests",
        )
        for subject, row in _sums(rule, now)
        if row.requests >= max(1, rule.min_requests)
    )


def _latency(rule: AlertRule, now: datetime) -> list[Figure]:
    rows = LatencyRollup.objects.filter(window_start__gte=span_start(rule, now)).order_by()
    counts = list(rows.values_list("bucket").annotate(Sum("requests")))
    p95 = quantile_ms(counts, 0.95)
    if p95 is None or sum(requests for _, requests in counts) < rule.min_requests:
        return []
    return [Figure(_ALL, Decimal(round(p95)))]


def _off_hours(rule: AlertRule, now: datetime) -> list[Figure]:
    start, end = span_start(rule, now), window_of(now) + WINDOW
    hours = UsageQuery(start=start, end=end, time_zone=rule.time_zone, group_by=("hour",))
    spent = sum(
        row.cost_nano
        for row in usage_sums(hours)
        if not _is_working_time(rule, datetime.fromisoformat(row.group[0]))
    )
    return [Figure(_ALL, from_nano(spent))]


def _is_working_time(rule: AlertRule, moment: datetime) -> bool:
    is_weekday = moment.weekday() < 5
    return is_weekday and rule.work_from_hour <= moment.hour < rule.work_to_hour


_measures: dict[str, Measure] = {
    "cost": Measure("Spend", "US dollars", _EVERY_SUBJECT, _cost),
    "tokens": Measure("Token volume", "tokens", _EVERY_SUBJECT, _tokens),
    "errors": Measure("Errors", "% of requests", _EVERY_SUBJECT, _errors),
    "unpriced": Measure("Calls without a price", "calls", _EVERY_SUBJECT, _unpriced),
    "latency": Measure("Latency (p95)", "ms", (AlertRule.Per.ALL,), _latency),
    "off_hours": Measure("Spend outside working hours", "US dollars", (AlertRule.Per.ALL,), _off_hours),
}


def register_measure(kind: str, measure: Measure) -> None:
    """Add a kind that only an app above can measure; for its `ready()`."""
    _measures[kind] = measure


def measures() -> Mapping[str, Measure]:
    """All kinds, by name."""
    return _measures
