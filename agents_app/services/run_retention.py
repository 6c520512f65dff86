"""How long runs are kept: GATEWAY_RUN_RETENTION_DAYS; their texts as long as policies for content say."""

from __future__ import annotations

import logging
from datetime import timedelta

from django.conf import settings

from agents_app.models import Run, RunStep
from gateway_project.core.clock import utc_now
from gateway_project.core.ids import first_uuid7

logger = logging.getLogger(__name__)
# A run has up to some hundred steps: writers get their turn between batches.
_BATCH = 200


def purge_content() -> int:
    """Delete the texts of runs that may be kept no longer, in batches; of how many runs."""
    now, emptied = utc_now(), 0
    due = Run.objects.filter(content_until__lt=now).order_by("content_until")
    while ids := list(due.values_list("id", flat=True)[:_BATCH]):
        RunStep.objects.filter(run_id__in=ids, content__isnull=False).update(content=None)
        Run.objects.filter(id__in=ids).update(content_until=None)
        emptied += len(ids)
    if emptied:
        logger.info("run.content_purged", extra={"rows": emptied})
    return emptied


def purge_runs() -> int:
    """Delete runs beyond their retention, with their steps, in batches; how many went."""
    oldest = first_uuid7(utc_now() - timedelta(days=settings.RUN_RETENTION_DAYS))
    deleted = 0
    while ids := list(Run.objects.filter(id__lt=oldest).order_by("id").values_list("id", flat=True)[:_BATCH]):
        RunStep.objects.filter(run_id__in=ids).delete()
        Run.objects.filter(id__in=ids).delete()
        deleted += len(ids)
    if deleted:
        logger.info("run.purged", extra={"rows": deleted})
    return deleted
