"""How far sinks are behind: for pages, metrics, alerts and the nightly audit."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

from django.db.models import OuterRef, QuerySet, Subquery

from gateway_project.core.clock import utc_now
from security_app.models import Finding
from security_app.services.findings import FindingSource, Found, register_finding_source
from usage_app.models import AlertRule, UsageEvent, UsageSink
from usage_app.services.alerts.measures import MAX_SUBJECTS, Figure, Measure, register_measure

# A sink that works is seconds behind. One that rests is meant to be, but not until its events are lost.
LATE = timedelta(hours=1)
_LATE_AT_REST = timedelta(days=2)
_LOSS_IS_TOLD = timedelta(days=7)


class SinkLag(NamedTuple):
    """A sink and for how long its oldest event has waited; zero if it has all."""

    sink: UsageSink
    lag: timedelta


def with_oldest(sinks: QuerySet[UsageSink]) -> QuerySet[UsageSink]:
    """Sinks with `oldest`, when the first event was stored that they have not got; one query for all."""
    waiting = UsageEvent.objects.filter(seq__gt=OuterRef("state__cursor")).order_by("seq")
    return sinks.annotate(oldest=Subquery(waiting.values("stored_at")[:1])).select_related("state")


def lag_of(sink: Any, now: datetime) -> timedelta:
    """The lag of a sink from `with_oldest`."""
    return timedelta() if sink.oldest is None else max(timedelta(), now - sink.oldest)


def sink_lags(*, now: datetime | None = None) -> list[SinkLag]:
    """All sinks, the furthest behind first."""
    moment = now or utc_now()
    rows = [
        SinkLag(sink, lag_of(sink, moment)) for sink in with_oldest(UsageSink.objects.exclude(state=None))
    ]
    return sorted(rows, key=lambda row: row.lag, reverse=True)


def find_late_sinks(now: datetime) -> Iterator[Found]:
    """Sinks whose events wait for too long, or were lost."""
    severity = Finding.Severity
    for sink, lag in sink_lags(now=now):
        subject = ("usage_sink", sink.public_id, sink.name)
        if lag > (LATE if sink.is_enabled else _LATE_AT_REST):
            what = sink.state.error or ("it waits" if sink.is_enabled else "it is off")
            yield Found("sink_late", severity.WARNING, f"It is {_words(lag)} behind: {what}.", *subject)
        if sink.state.lost_at is not None and now - sink.state.lost_at < _LOSS_IS_TOLD:
            detail = f"{sink.state.lost_events:,} events were lost to it in all."
            yield Found("sink_lost_events", severity.CRITICAL, detail, *subject)


def _figures(_rule: AlertRule, now: datetime) -> Iterable[Figure]:
    """Minutes that the furthest sink of those that are on is behind."""
    late = [row for row in sink_lags(now=now) if row.sink.is_enabled and row.lag][:MAX_SUBJECTS]
    if late:
        names = ", ".join(f"{row.sink.name}: {_words(row.lag)}" for row in late)
        yield Figure("", Decimal(int(late[0].lag.total_seconds()) // 60), names)


def _words(lag: timedelta) -> str:
    minutes = int(lag.total_seconds()) // 60
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min"


def register() -> None:
    """Have rules and the nightly audit know of sinks; for `ready()`."""
    measure = Measure("Usage sinks behind", "minutes", (AlertRule.Per.ALL,), _figures)
    register_measure("sink_lag", measure)
    register_finding_source(FindingSource("usage_sinks", find_late_sinks))
