"""The order in which records were stored: written with them, read by the sinks, emptied behind the last one.

Numbers follow the order of commits: who stores takes the lock before the first number and gives it back with
the commit, so whoever sees a number sees all smaller ones that there will ever be. Sequences alone give no
such promise on PostgreSQL; on SQLite there is but one writer.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from datetime import datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.db import connection
from django.db.models import F, Min

from gateway_project.core.clock import utc_now
from usage_app.models import SinkState, UsageEvent, UsageSink

logger = logging.getLogger(__name__)
# Any number will do, as long as only this work takes it.
_ADVISORY_LOCK = 7_361_004_023
_BATCH = 5000
_MAX_BATCHES = 20
_LAST = 2**63 - 1


def note_events(record_ids: Iterable[UUID]) -> None:
    """Number new records, if there is a sink; the last statement of the transaction that stores them."""
    if not UsageSink.objects.exists():
        return
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_ADVISORY_LOCK])
    now = utc_now()
    events = [UsageEvent(record_id=record_id, stored_at=now) for record_id in record_ids]
    UsageEvent.objects.bulk_create(events, batch_size=_BATCH)


def purge_events(*, now: datetime | None = None) -> int:
    """Delete events that every sink is past, and those beyond their retention; how many went.

    What a sink had not got by then is counted as lost there: never silently.
    """
    moment = now or utc_now()
    cutoff = moment - timedelta(days=max(1, settings.USAGE_EVENT_RETENTION_DAYS))
    deleted = 0
    for _ in range(_MAX_BATCHES):
        last = _last_to_go(cutoff)
        if last is None or not _move_sinks_past(last, moment):
            break
        deleted += UsageEvent.objects.filter(seq__lte=last).delete()[0]
    return deleted


def _last_to_go(cutoff: datetime) -> int | None:
    done, last = _done_with(), None
    events = UsageEvent.objects.order_by("seq").values_list("seq", "stored_at")
    for seq, stored_at in events[:_BATCH].iterator(chunk_size=500):
        if seq > done and stored_at >= cutoff:
            break
        last = seq
    return last


def _done_with() -> int:
    """Up to where no sink needs events; without any sink nobody needs them."""
    lowest = SinkState.objects.aggregate(lowest=Min("cursor"))["lowest"]
    return _LAST if lowest is None else int(lowest)


def _move_sinks_past(last: int, now: datetime) -> bool:
    """Count as lost what sinks did not get up to here; False if one of them goes on just now."""
    for state in SinkState.objects.filter(cursor__lt=last).select_related("sink"):
        lost = UsageEvent.objects.filter(seq__gt=state.cursor, seq__lte=last).count()
        is_moved = SinkState.objects.filter(pk=state.pk, cursor=state.cursor).update(
            cursor=last, pending_last=None, lost_events=F("lost_events") + lost, lost_at=now
        )
        if not is_moved:
            return False
        logger.error("sink.events_lost", extra={"sink": state.sink.name, "events": lost})
    return True
