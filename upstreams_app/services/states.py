"""The state of an upstream: maintenance, or what `verdicts.judge` says of it as long as that counts.

`note_states` judges and stores; every process reads the same. docs/guides/upstream-health.md explains states
to people.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, cast
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import Case, CharField, F, Q, QuerySet, Value, When

from gateway_project.core.clock import utc_now
from upstreams_app.models import StateChange, Upstream, UpstreamState
from upstreams_app.services.evidence import gather, why_no_probes
from upstreams_app.services.overview import with_last_probe
from upstreams_app.services.verdicts import (
    DEGRADED,
    DOWN,
    HEALTHY,
    MAINTENANCE,
    STATES,
    UNKNOWN,
    Verdict,
    judge,
)

__all__ = [
    "DEGRADED",
    "DOWN",
    "HEALTHY",
    "MAINTENANCE",
    "STATES",
    "UNKNOWN",
    "UpstreamWithState",
    "by_severity",
    "look_anew",
    "note_states",
    "note_states_again",
    "state_reason",
    "with_state",
]

logger = logging.getLogger(__name__)
# Those that need a person come first.
_BY_SEVERITY = (DOWN, DEGRADED, MAINTENANCE, UNKNOWN, HEALTHY)
_MAX_REASON = 300
# Calls and maintenances change states without a probe.
_NOTE_EVERY = timedelta(seconds=15)

if TYPE_CHECKING:

    class UpstreamWithState(Upstream):
        """A row of `with_state`, with the columns of its query."""

        last_is_healthy: bool | None
        last_latency_ms: float | None
        last_status_code: int | None
        last_error: str | None
        last_at: datetime | None
        error_share: float | None
        verdict_reason: str | None
        noted: str | None
        noted_since: datetime | None
        health_state: str

else:
    UpstreamWithState = Upstream


def by_severity(state: str) -> int:
    """What to sort by, so that upstreams in trouble come first."""
    return _BY_SEVERITY.index(state)


def with_state(rows: QuerySet[Upstream], *, now: datetime | None = None) -> QuerySet[UpstreamWithState]:
    """Upstreams with their last probe (`last_…`), why they are in their state, and `health_state` itself."""
    now = now or utc_now()
    rows = with_last_probe(rows).annotate(
        error_share=F("noted_state__error_share"),
        verdict_reason=F("noted_state__reason"),
        noted=F("noted_state__state"),
        noted_since=F("noted_state__since"),
    )
    is_resting = Q(is_in_maintenance=True) & (Q(maintenance_until=None) | Q(maintenance_until__gt=now))
    stated = rows.annotate(
        health_state=Case(
            When(is_resting, then=Value(MAINTENANCE)),
            When(noted_state__fresh_until__gte=now, then=F("noted_state__verdict")),
            default=Value(UNKNOWN),
            output_field=CharField(),
        )
    )
    return cast("QuerySet[UpstreamWithState]", stated)


def state_reason(row: UpstreamWithState) -> str:
    """Why an upstream is in its state, in words; "" where there is nothing to say."""
    state = row.health_state
    if state == MAINTENANCE:
        until = row.maintenance_until
        return f"in maintenance until {until:%Y-%m-%d %H:%M} UTC" if until else "in maintenance"
    if state != UNKNOWN:
        return row.verdict_reason or ""
    return why_no_probes(row, was_probed=row.last_at is not None)


def note_states(keys: Collection[UUID] | None = None) -> set[UUID]:
    """Judge these upstreams, or all enabled ones, and log what changed; which to probe again soon."""
    now = utc_now()
    rows = Upstream.objects.filter(is_enabled=True) if keys is None else Upstream.objects.filter(pk__in=keys)
    verdicts = _judge(list(rows), now)
    for row in with_state(rows, now=now):
        _tell_change(row, now)
    return {key for key, verdict in verdicts.items() if not verdict.is_settled}


def look_anew(row: Upstream) -> None:
    """It was changed: what was found of it before is old, so have it judged and probed soon."""
    UpstreamState.objects.filter(upstream=row).update(next_probe_at=None)
    note_states([row.pk])


def note_states_again() -> None:
    """As `note_states`, of those that were not judged just now."""
    is_old = Q(noted_state=None) | Q(noted_state__noted_at__lt=utc_now() - _NOTE_EVERY)
    keys = list(Upstream.objects.filter(is_old, is_enabled=True).values_list("pk", flat=True))
    if keys:
        note_states(keys)


def _judge(rows: list[Upstream], now: datetime) -> Mapping[UUID, Verdict]:
    verdicts: dict[UUID, Verdict] = {}
    noted = []
    for key, known in gather(rows, now=now).items():
        verdict = verdicts[key] = judge(known.evidence, known.previous)
        noted.append(
            UpstreamState(
                upstream_id=key,
                state=UNKNOWN,
                since=now,
                noted_at=now,
                error_share=known.evidence.traffic.error_share,
                verdict=verdict.state,
                reason=verdict.reason[:_MAX_REASON],
                fresh_until=known.fresh_until,
            )
        )
    try:
        with transaction.atomic():
            UpstreamState.objects.bulk_create(
                noted,
                update_conflicts=True,
                unique_fields=["upstream"],
                update_fields=["noted_at", "error_share", "verdict", "reason", "fresh_until"],
            )
    except IntegrityError:
        # An upstream was deleted in this moment; the next round judges the others.
        logger.debug("upstream.state_not_noted")
    return verdicts


def _tell_change(row: UpstreamWithState, now: datetime) -> None:
    """Log and keep that a state is another one than was told last."""
    state, noted = row.health_state, row.noted
    if noted is None or noted == state:
        return
    reason = state_reason(row)
    change = StateChange(upstream_id=row.pk, at=now, previous=noted, state=state, reason=reason[:_MAX_REASON])
    try:
        with transaction.atomic():
            # Of two processes that see the change, one tells it.
            told = UpstreamState.objects.filter(upstream=row.pk, state=noted)
            if not told.update(state=state, since=now):
                return
            change.save(force_insert=True)
    except IntegrityError:
        logger.debug("upstream.state_not_noted")
        return
    level = logging.WARNING if state in (DOWN, DEGRADED) else logging.INFO
    fields = {"upstream": row.name, "state": state, "previous": noted, "reason": reason}
    logger.log(level, "upstream.state_changed", extra=fields)
