"""Background work of the ledger; each task may be run twice or not at all without harm.

The ignored type errors are Celery's: it ships no types.
"""

from __future__ import annotations

from celery import shared_task
from django.conf import settings

from gateway_project.core.acting import acting_as
from usage_app.services.alerts.delivery import send_due
from usage_app.services.alerts.evaluation import evaluate_rules
from usage_app.services.alerts.retention import purge_alerts
from usage_app.services.exports.jobs import make_files
from usage_app.services.exports.mail import send_due_mails
from usage_app.services.exports.schedule import queue_due_reports
from usage_app.services.exports.storage import purge_exports, show_pulse
from usage_app.services.exports.uploads import upload_due_files
from usage_app.services.flusher import Flusher
from usage_app.services.partitions import ensure_partitions
from usage_app.services.reconciliation import reconcile_nightly
from usage_app.services.retention import purge_usage
from usage_app.services.rollups import roll_up, sum_up_days
from usage_app.services.sinks.push import push_due


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


@shared_task(name="usage.make_reports", soft_time_limit=1500, time_limit=1800)  # type: ignore[untyped-decorator]
def make_reports() -> int:
    """Ask for the reports that are due, make the files that wait, and send them where they go."""
    with acting_as("system:reports"):
        show_pulse()
        queue_due_reports()
        made = make_files()
        send_due_mails()
        upload_due_files()
    return made


@shared_task(name="usage.purge_reports", soft_time_limit=240, time_limit=270)  # type: ignore[untyped-decorator]
def purge_reports() -> int:
    """Delete files of reports beyond their retention."""
    return purge_exports()


@shared_task(name="usage.alert", soft_time_limit=240, time_limit=270)  # type: ignore[untyped-decorator]
def alert() -> int:
    """Look at what is watched, and tell who wants to know; how many alerts began or ended."""
    changes = evaluate_rules()
    send_due()
    return changes


@shared_task(name="usage.purge_alerts", soft_time_limit=240, time_limit=270)  # type: ignore[untyped-decorator]
def purge_old_alerts() -> int:
    """Delete alerts beyond their retention."""
    return purge_alerts()


@shared_task(name="usage.push_events", soft_time_limit=120, time_limit=150)  # type: ignore[untyped-decorator]
def push_events() -> int:
    """Send usage events to the sinks that are due; how many batches were taken."""
    return push_due()
