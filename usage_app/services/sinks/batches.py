"""What a sink has to get next: a span of events, and which of their records it wants.

The end of a span is written down before the span is sent. Sent again, after a failure or a crash, it has the
same events and the same id, so that a receiver that knows the id can leave it.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from django.db.models import F, Q, QuerySet

from gateway_project.core.ids import uuid7_time
from usage_app.models import SinkState, UsageEvent, UsageRecord, UsageSink
from usage_app.services.record_store import COLUMNS

# Longer than any one batch can take to be sent.
LEASE = timedelta(minutes=5)
# How many events are looked at for one batch of a sink that wants few of them.
_LOOK_AT = 5000


class LeaseLost(Exception):
    """Somebody else pushes to this sink now."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Records in the order in which they were stored, as columns; the span may hold others, too."""

    id: str
    first: int
    last: int
    stored_at: datetime
    records: Sequence[dict[str, Any]]


def claim(sink: UsageSink, now: datetime) -> SinkState | None:
    """The sink's state with a lease for the caller; None if it rests or another has it."""
    token = uuid4()
    SinkState.of(sink)
    free = Q(lease_until=None) | Q(lease_until__lt=now)
    mine = SinkState.objects.filter(free, sink=sink, due_at__lte=now)
    if not mine.update(lease_until=now + LEASE, lease_token=token):
        return None
    return SinkState.objects.filter(sink=sink, lease_token=token).first()


def release(state: SinkState) -> None:
    """Let others have the sink."""
    mine = SinkState.objects.filter(pk=state.pk, lease_token=state.lease_token)
    mine.update(lease_until=None, lease_token=None)


def next_batch(sink: UsageSink, state: SinkState, now: datetime) -> Batch | None:
    """What comes next, its end written down; None if there is nothing. LeaseLost.

    A span without a record that the sink wants has none; `finish` it like any other.
    """
    events = list(_span(sink, state))
    if not events:
        return None
    records = _records(sink, [event.record_id for event in events])
    last = events[-1].seq
    if state.pending_last is None and len(records) > sink.batch_size:
        records = records[: sink.batch_size]
        last_id = records[-1]["id"]
        last = next(event.seq for event in events if event.record_id == last_id)
    _set(state, pending_last=last, lease_until=now + LEASE)
    first = state.cursor + 1
    return Batch(f"{sink.public_id}-{first}-{last}", first, last, events[0].stored_at, records)


def finish(state: SinkState, batch: Batch, now: datetime, *, rejected: int = 0) -> None:
    """The batch was taken, but for `rejected`: the sink is behind it. LeaseLost: it will be sent again."""
    values: dict[str, Any] = {"cursor": batch.last, "pending_last": None, "attempts": 0, "error": ""}
    if batch.records:
        values |= {"sent_batches": F("sent_batches") + 1, "sent_at": now}
        values["sent_events"] = F("sent_events") + len(batch.records) - rejected
    if rejected:
        values |= {"lost_events": F("lost_events") + rejected, "lost_at": now}
    _set(state, **values)


def put_off(state: SinkState, error: str, *, due_at: datetime) -> None:
    """The batch was not taken: it is sent again, not before then."""
    _set(state, attempts=F("attempts") + 1, error=error[:200], due_at=due_at)


def _span(sink: UsageSink, state: SinkState) -> QuerySet[UsageEvent]:
    events = UsageEvent.objects.filter(seq__gt=state.cursor).order_by("seq")
    if state.pending_last is not None:
        return events.filter(seq__lte=state.pending_last)
    takes_all = sink.team_id is None and not sink.model_pattern
    return events[: sink.batch_size if takes_all else _LOOK_AT]


def _records(sink: UsageSink, ids: Sequence[UUID]) -> list[dict[str, Any]]:
    """The records that the sink wants, in the order of their ids given; retention may have taken some."""
    # Their moments follow from their ids, and lead PostgreSQL to the partitions.
    moments = [uuid7_time(record_id) for record_id in ids]
    records = UsageRecord.objects.filter(id__in=ids, at__gte=min(moments), at__lte=max(moments)).order_by()
    if sink.team_id is not None:
        records = records.filter(team_id=sink.team_id)
    found = {row["id"]: row for row in records.values(*COLUMNS)}
    if sink.model_pattern:
        fits = re.compile(fnmatch.translate(sink.model_pattern)).match
        found = {record_id: row for record_id, row in found.items() if fits(row["model"])}
    return [found[record_id] for record_id in ids if record_id in found]


def _mine(state: SinkState) -> Any:
    return SinkState.objects.filter(pk=state.pk, lease_token=state.lease_token, cursor=state.cursor)


def _set(state: SinkState, **values: Any) -> None:
    if not _mine(state).update(**values):
        raise LeaseLost
    state.refresh_from_db()
