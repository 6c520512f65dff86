"""How long usage is kept: records, daily counters and rollups, by GATEWAY_USAGE_RETENTION_DAYS."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta

from django.conf import settings
from django.db import IntegrityError, connection, models, transaction
from django.db.models import Exists, OuterRef

from gateway_project.core.clock import utc_now
from usage_app.models import Reconciliation, SpendCounter, UsageGroup, UsageRecord
from usage_app.services.partitions import DEFAULT_PARTITION, drop_partitions_before
from usage_app.services.refusals import purge_refusals
from usage_app.services.rollups import ALL_ROLLUPS, ALL_USAGE, DAY, floor

logger = logging.getLogger(__name__)

_BATCH = 1000


def purge_usage() -> int:
    """Delete records, counters and rollups beyond their retention; how many rows were deleted one by one.

    On PostgreSQL whole months go at once, so up to a month more is kept; only the default partition is
    emptied row by row. Elsewhere deletes come in batches, that writers get their turn between.
    """
    # Whole UTC days: sums of a day and of its hours must go together.
    cutoff = floor(utc_now() - timedelta(days=settings.USAGE_RETENTION_DAYS), DAY)
    partitions = drop_partitions_before(cutoff)
    deleted = _delete_records(cutoff)
    rolled: tuple[type[models.Model], ...] = (SpendCounter, *ALL_ROLLUPS)
    deleted += sum(_delete_in_batches(model, "window_start", cutoff) for model in rolled)
    deleted += _delete_unused_groups() + _delete_in_batches(Reconciliation, "finished_at", cutoff)
    deleted += purge_refusals()
    if partitions or deleted:
        logger.info("usage.purged", extra={"partitions": partitions, "rows": deleted})
    return deleted


def _delete_records(cutoff: datetime) -> int:
    if connection.vendor != "postgresql":
        return _delete_in_batches(UsageRecord, "at", cutoff)
    deleted = 0
    while True:
        with connection.cursor() as cursor:
            cursor.execute(
                f"DELETE FROM {DEFAULT_PARTITION} WHERE ctid = ANY(ARRAY("  # noqa: S608  (a name of ours)
                f"SELECT ctid FROM {DEFAULT_PARTITION} WHERE at < %s LIMIT {_BATCH}))",
                [cutoff],
            )
            count = int(cursor.rowcount)
        deleted += count
        if count < _BATCH:
            return deleted


def _delete_unused_groups() -> int:
    """Groups that no sum has any more; tomorrow, if a rollup comes to need one just now."""
    unused = UsageGroup.objects.all()
    for model in ALL_USAGE:
        unused = unused.filter(~Exists(model._default_manager.filter(group=OuterRef("pk"))))
    try:
        with transaction.atomic():
            return int(unused.delete()[0])
    except IntegrityError:
        return 0


def _delete_in_batches(model: type[models.Model], column: str, cutoff: datetime) -> int:
    deleted = 0
    while True:
        old = model._default_manager.filter(**{f"{column}__lt": cutoff}).order_by(column)
        keys = list(old.values_list("pk", flat=True)[:_BATCH])
        if not keys:
            return deleted
        deleted += model._default_manager.filter(pk__in=keys).delete()[0]
