"""The state of an upstream: maintenance, unknown, down, degraded or healthy, in this order of precedence.

It follows from what is stored (docs/guides/observability.md defines it for people), so every process sees the
same. `note_states` remembers it to tell changes.
"""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final, cast

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import Avg, Case, CharField, Count, F, OuterRef, Q, QuerySet, Subquery, Value, When

from gateway_project.core.clock import utc_now
from upstreams_app.models import HealthSample, Upstream, UpstreamState
from upstreams_app.services.overview import with_last_probe
from usage_app.models import UsageRecord

logger = logging.getLogger(__name__)
HEALTHY: Final = "healthy"
DEGRADED: Final = "degraded"
DOWN: Final = "down"
MAINTENANCE: Final = "maintenance"
UNKNOWN: Final = "unknown"
STATES = (HEALTHY, DEGRADED, DOWN, MAINTENANCE, UNKNOWN)
# Those that need a person come first.
_BY_SEVERITY = (DOWN, DEGRADED, MAINTENANCE, UNKNOWN, HEALTHY)

# "Lately" is so many intervals of probes; a state without a probe in that time is not known.
WINDOW_INTERVALS = 5
# A probe may take 5 s to connect and 10 s in all.
_LONGEST_PROBE_S = 15
_TRAFFIC_WINDOW = timedelta(minutes=5)
_TRAFFIC_ROWS = 5000
_MIN_CALLS = 20
BAD_ERROR_SHARE = 0.2
_UPSTREAM_FAULTS = (502, 504)

if TYPE_CHECKING:

    class UpstreamWithState(Upstream):
        """A row of `with_state`, with the columns of its query."""

        last_is_healthy: bool | None
        last_latency_ms: float | None
        last_status_code: int | None
        last_error: str | None
        last_at: datetime | None
        recent_failures: int | None
        recent_latency_ms: float | None
        error_share: float | None
        noted: str | None
        noted_since: datetime | None
        health_state: str

else:
    UpstreamWithState = Upstream


def window() -> timedelta:
    """How long a probe counts."""
    return timedelta(seconds=settings.HEALTH_INTERVAL_S * WINDOW_INTERVALS + _LONGEST_PROBE_S)


def by_severity(state: str) -> int:
    """What to sort by, so that upstreams in trouble come first."""
    return _BY_SEVERITY.index(state)


def with_state(rows: QuerySet[Upstream], *, now: datetime | None = None) -> QuerySet[UpstreamWithState]:
    """Upstreams with their last probe (`last_…`), what led to their state, and `health_state` itself."""
    now = now or utc_now()
    probes = HealthSample.objects.filter(upstream=OuterRef("pk"), at__gte=now - window())
    recent = probes.order_by().values("upstream")
    failures = recent.annotate(failures=Count("pk", filter=Q(is_healthy=False))).values("failures")
    latency = recent.annotate(latency=Avg("latency_ms")).values("latency")
    rows = with_last_probe(rows).annotate(
        recent_failures=Subquery(failures),
        recent_latency_ms=Subquery(latency),
        error_share=F("noted_state__error_share"),
        noted=F("noted_state__state"),
        noted_since=F("noted_state__since"),
    )
    is_resting = Q(is_in_maintenance=True) & (Q(maintenance_until=None) | Q(maintenance_until__gt=now))
    is_degraded = (
        Q(recent_failures__gt=0)
        | Q(recent_latency_ms__gt=settings.HEALTH_SLOW_MS)
        | Q(error_share__gte=BAD_ERROR_SHARE, noted_state__noted_at__gte=now - window())
    )
    stated = rows.annotate(
        health_state=Case(
            When(is_resting, then=Value(MAINTENANCE)),
            When(Q(last_at=None) | Q(last_at__lt=now - window()), then=Value(UNKNOWN)),
            When(last_is_healthy=False, then=Value(DOWN)),
            When(is_degraded, then=Value(DEGRADED)),
            default=Value(HEALTHY),
            output_field=CharField(),
        )
    )
    return cast("QuerySet[UpstreamWithState]", stated)


def state_reason(row: UpstreamWithState) -> str:
    """Why an upstream is in its state, in words; "" for a healthy one."""
    state = row.health_state
    if state == MAINTENANCE:
        until = row.maintenance_until
        return f"in maintenance until {until:%Y-%m-%d %H:%M} UTC" if until else "in maintenance"
    if state == UNKNOWN:
        return "not probed lately" if row.last_at else "not probed yet"
    if state == DOWN:
        return row.last_error or "the last probe failed"
    return _degraded_reason(row) if state == DEGRADED else ""


def _degraded_reason(row: UpstreamWithState) -> str:
    reasons = []
    latency_ms, share = row.recent_latency_ms or 0, row.error_share or 0
    if row.recent_failures:
        reasons.append(f"{row.recent_failures} of the latest probes failed")
    if latency_ms > settings.HEALTH_SLOW_MS:
        reasons.append(f"the latest probes took {latency_ms:.0f} ms")
    if share >= BAD_ERROR_SHARE:
        reasons.append(f"{share:.0%} of the latest calls failed")
    return "; ".join(reasons)


def note_states() -> int:
    """Remember each enabled upstream's state and log what changed; how many did."""
    now = utc_now()
    rows = Upstream.objects.filter(is_enabled=True)
    try:
        _note_error_shares(rows, now)
    except IntegrityError:
        # An upstream was deleted in this moment; the next round measures the others.
        logger.debug("upstream.state_not_noted")
    changed = 0
    for row in with_state(rows, now=now):
        state, noted = row.health_state, row.noted
        if noted is None or noted == state:
            continue
        # Of two processes that see the change, one tells it.
        if UpstreamState.objects.filter(upstream=row.pk, state=noted).update(state=state, since=now):
            changed += 1
            level = logging.WARNING if state in (DOWN, DEGRADED) else logging.INFO
            fields = {"upstream": row.name, "state": state, "previous": noted, "reason": state_reason(row)}
            logger.log(level, "upstream.state_changed", extra=fields)
    return changed


def _note_error_shares(rows: QuerySet[Upstream], now: datetime) -> None:
    shares = _error_shares(now)
    noted = [
        UpstreamState(upstream_id=pk, state=UNKNOWN, since=now, noted_at=now, error_share=shares.get(name))
        for pk, name in rows.values_list("pk", "name")
    ]
    with transaction.atomic():
        UpstreamState.objects.bulk_create(
            noted,
            update_conflicts=True,
            unique_fields=["upstream"],
            update_fields=["noted_at", "error_share"],
        )


def _error_shares(now: datetime) -> dict[str, float]:
    """The part of its newest calls that an upstream failed, for those with enough calls."""
    newest = UsageRecord.objects.filter(at__gte=now - _TRAFFIC_WINDOW).order_by("-at", "-id")
    counts: dict[str, list[int]] = {}
    for upstream, status in newest.values_list("upstream", "status")[:_TRAFFIC_ROWS]:
        calls = counts.setdefault(upstream, [0, 0])
        calls[0] += 1
        calls[1] += status in _UPSTREAM_FAULTS
    return {name: failed / calls for name, (calls, failed) in counts.items() if calls >= _MIN_CALLS}
