"""What the probes found, per upstream: the state of now, and the strip of the last day."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import NamedTuple, TypedDict
from uuid import UUID

from django.db.models import Avg, Count, Q
from django.db.models.functions import ExtractMinute, Floor, TruncHour

from gateway_project.core.clock import utc_now
from upstreams_app.models import HealthSample, Upstream
from upstreams_app.services.states import (
    DEGRADED,
    DOWN,
    HEALTHY,
    UNKNOWN,
    UpstreamWithState,
    state_reason,
    with_state,
)

BLOCK = timedelta(minutes=15)
BLOCKS = 96
_QUARTER = Floor(ExtractMinute("at", tzinfo=UTC) / 15.0)


class UpstreamHealth(TypedDict):
    """The state of one upstream (services/states.py), why, since when, and its last probe.

    `since` is None until the state has been noted, which a round of probes does. `error_share` is the part
    of its latest calls that it failed, None for too few.
    """

    id: str
    name: str
    state: str
    reason: str
    since: str | None
    latency_ms: float | None
    status_code: int | None
    error: str
    checked_at: str | None
    is_probed: bool
    error_share: float | None


class Block(NamedTuple):
    """A quarter of an hour of probes: healthy if all answered, down if none did, degraded between.

    `latency_ms` is the mean of those that were answered; None where none was.
    """

    start: datetime
    state: str
    probes: int
    failures: int
    latency_ms: float | None = None


def health_by_upstream() -> list[UpstreamHealth]:
    """Every enabled upstream with its state and its last probe, in one query."""
    return [_health(row) for row in with_state(Upstream.objects.filter(is_enabled=True)).order_by("name")]


def history(upstreams: Iterable[UUID], *, now: datetime | None = None) -> dict[UUID, list[Block]]:
    """The last 24 hours of these upstreams in quarter-hours, the oldest first; in one query."""
    now = now or utc_now()
    last = _quarter(now)
    starts = [last - BLOCK * back for back in reversed(range(BLOCKS))]
    keys = list(upstreams)
    counted = (
        HealthSample.objects.filter(upstream__in=keys, at__gte=starts[0])
        .order_by()
        .values("upstream_id", hour=TruncHour("at", tzinfo=UTC), quarter=_QUARTER)
        .annotate(
            probes=Count("pk"),
            failures=Count("pk", filter=Q(is_healthy=False)),
            latency_ms=Avg("latency_ms", filter=Q(is_healthy=True)),
        )
    )
    found = {
        (item["upstream_id"], item["hour"] + BLOCK * int(item["quarter"])): (
            item["probes"],
            item["failures"],
            item["latency_ms"],
        )
        for item in counted
    }
    return {key: [_block(start, *found.get((key, start), (0, 0, None))) for start in starts] for key in keys}


def _block(start: datetime, probes: int, failures: int, latency_ms: float | None) -> Block:
    if not probes:
        state = UNKNOWN
    elif not failures:
        state = HEALTHY
    else:
        state = DOWN if failures == probes else DEGRADED
    return Block(start, state, probes, failures, latency_ms)


def _quarter(moment: datetime) -> datetime:
    return moment.replace(minute=moment.minute // 15 * 15, second=0, microsecond=0)


def _health(row: UpstreamWithState) -> UpstreamHealth:
    return {
        "id": row.public_id,
        "name": row.name,
        "state": row.health_state,
        "reason": state_reason(row),
        "since": _text(row.noted_since if row.noted == row.health_state else None),
        "latency_ms": row.last_latency_ms,
        "status_code": row.last_status_code,
        "error": row.last_error or "",
        "checked_at": _text(row.last_at),
        "is_probed": row.may_be_probed,
        "error_share": row.error_share,
    }


def _text(moment: datetime | None) -> str | None:
    return moment.isoformat().replace("+00:00", "Z") if moment else None
