"""Background work of the ledger; each task may be run twice or not at all without harm.

The ignored type errors are Celery's: it ships no types.
"""

from __future__ import annotations

from celery import shared_task
from django.conf import settings

from usage_app.services.flusher import Flusher
from usage_app.services.partitions import ensure_partitions
from usage_app.services.reconciliation import reconcile_nightly
from usage_app.services.retention import purge_usage
from usage_app.services.rollups import roll_up, sum_up_days


@shared_task(name="usage.sweep_journal", soft_time_limit=240, time_limit=270)  # type: ignore[untyped-decorator]
def sweep_journal() -> int:
    """Adopt the segments of dead processes, in case no server lives that would."""
    return Flusher(settings.JOURNAL_DIR).adopt()


@shared_task(name="usage.purge_usage_records", soft_time_limit=1500, time_limit=1800)  # type: ignore[untyped-decorator]
def purge_usage_records() -> int:
    """Delete what is beyond its retention."""
    return purge_usage()


@shared_task(name="usage.ensure_usage_partitions", soft_time_limit=60, time_limit=90)  # type: ignore[untyped-decorator]
def ensure_usage_partitions() -> list[str]:
    """Make the partitions of the coming months."""
    return ensure_partitions()


@shared_task(name="usage.roll_up", soft_time_limit=240, time_limit=270)  # type: ignore[untyped-decorator]
def roll_up_usage() -> int:
    """Sum up the quarter-hours that got records, and days by end user and by tag."""
    done = roll_up()
    sum_up_days()
    return done


@shared_task(name="usage.reconcile", soft_time_limit=3300, time_limit=3400)  # type: ignore[untyped-decorator]
def reconcile_usage() -> int:
    """Compare ledger, rollups and reports of the last days; how many sums differed."""
    return reconcile_nightly().differing
