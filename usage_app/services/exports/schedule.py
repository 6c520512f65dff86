"""Which scheduled reports are due: each occurrence once, and after a standstill the last one only."""

from __future__ import annotations

import logging

from django.db import IntegrityError, transaction

from gateway_project.core.clock import utc_now
from gateway_project.core.errors import GatewayError
from usage_app.models import Report, ReportExport
from usage_app.services.exports.periods import last_occurrence
from usage_app.services.exports.query import zone
from usage_app.services.reports import queue_export

logger = logging.getLogger(__name__)


def queue_due_reports() -> int:
    """Ask for the files of all schedules that are due and were not asked for; how many that were."""
    rows = Report.objects.filter(is_enabled=True, scheduled_since__isnull=False).exclude(schedule="")
    return sum(_queue_if_due(row) for row in rows.iterator(chunk_size=500))


def _queue_if_due(row: Report) -> bool:
    due = last_occurrence(row.schedule, row.hour, now=utc_now(), zone=zone(row.time_zone))
    if row.scheduled_since is None or due.moment <= row.scheduled_since:
        return False
    if ReportExport.objects.filter(report=row, period_key=due.key).exists():
        return False
    try:
        # The constraint decides if two workers get here.
        with transaction.atomic():
            queue_export(row, requested_by=f"schedule of {row.owner}", now=due.moment, period_key=due.key)
    except IntegrityError:
        return False
    except GatewayError as error:
        logger.warning("report.not_queued", extra={"report": row.name, "reason": error.message})
        return False
    return True
