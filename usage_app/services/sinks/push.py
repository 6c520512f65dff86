"""Pushing usage events: each sink by one worker at a time, batch after batch, for a bounded time.

Celery's messages are hints: the sinks' states are the truth, and `push_due` may run anywhere and at any time.
"""

from __future__ import annotations

import logging
import time
from datetime import datetime, timedelta

from gateway_project.core.clock import utc_now
from usage_app.models import SinkState, UsageSink
from usage_app.services.sinks.batches import Batch, LeaseLost, claim, finish, next_batch, put_off, release
from usage_app.services.sinks.event_log import purge_events
from usage_app.services.sinks.sending import NotSent, send_batch

logger = logging.getLogger(__name__)
# Of all sinks together, then of one: none keeps the others waiting for long.
_BUDGET_S = 45.0
_SINK_BUDGET_S = 15.0
_FIRST_PAUSE = timedelta(seconds=15)
_LONGEST_PAUSE = timedelta(minutes=30)


def push_due(*, budget_s: float = _BUDGET_S) -> int:
    """Send what waits to all sinks that are due; how many batches were taken."""
    until = time.monotonic() + budget_s
    sent = 0
    # Who has waited longest comes first.
    due = UsageSink.objects.filter(is_enabled=True).select_related("bucket").order_by("state__due_at", "pk")
    for sink in list(due):
        left = until - time.monotonic()
        if left <= 0:
            break
        sent += push(sink, budget_s=min(left, _SINK_BUDGET_S))
    purge_events()
    return sent


def push(sink: UsageSink, *, budget_s: float = _SINK_BUDGET_S, now: datetime | None = None) -> int:
    """Send batches to one sink until it has all, one fails, or the time is up; how many were taken."""
    state = claim(sink, now or utc_now())
    if state is None:
        return 0
    until = time.monotonic() + budget_s
    sent = 0
    try:
        while time.monotonic() < until and (batch := next_batch(sink, state, utc_now())) is not None:
            if not _push_batch(sink, state, batch, now or utc_now()):
                break
            sent += bool(batch.records)
        else:
            # Who was served waits for the others.
            SinkState.objects.filter(pk=state.pk, lease_token=state.lease_token).update(
                due_at=now or utc_now()
            )
    except LeaseLost:
        logger.warning("sink.lease_lost", extra={"sink": sink.name})
    finally:
        release(state)
    return sent


def _push_batch(sink: UsageSink, state: SinkState, batch: Batch, now: datetime) -> bool:
    started = time.monotonic()
    try:
        rejected = send_batch(sink, batch) if batch.records else 0
    except NotSent as error:
        _rest(sink, state, batch, reason=str(error), now=now)
        return False
    except Exception as error:  # noqa: BLE001  (one sink must not hold up the others, nor what deletes events)
        _rest(sink, state, batch, reason=type(error).__name__, now=now)
        return False
    finish(state, batch, utc_now(), rejected=rejected)
    if rejected:
        logger.error("sink.events_lost", extra={"sink": sink.name, "events": rejected})
    if batch.records:
        logger.info(
            "sink.sent",
            extra={
                "sink": sink.name,
                "batch": batch.id,
                "events": len(batch.records),
                "duration_ms": round((time.monotonic() - started) * 1000),
            },
        )
    return True


def _rest(sink: UsageSink, state: SinkState, batch: Batch, *, reason: str, now: datetime) -> None:
    pause = min(_FIRST_PAUSE * 2 ** min(state.attempts, 10), _LONGEST_PAUSE)
    put_off(state, reason, due_at=now + pause)
    logger.warning(
        "sink.not_sent",
        extra={"sink": sink.name, "batch": batch.id, "reason": reason, "attempt": state.attempts},
    )
