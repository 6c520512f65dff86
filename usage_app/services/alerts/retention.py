"""How long alerts are kept that have ended."""

from __future__ import annotations

from datetime import timedelta

from django.conf import settings

from gateway_project.core.clock import utc_now
from usage_app.models import Alert

_BATCH = 500


def purge_alerts() -> int:
    """Delete alerts that ended before GATEWAY_ALERT_RETENTION_DAYS, with their messages; how many."""
    cutoff = utc_now() - timedelta(days=settings.ALERT_RETENTION_DAYS)
    deleted = 0
    while ids := list(Alert.objects.filter(closed_at__lt=cutoff).values_list("pk", flat=True)[:_BATCH]):
        Alert.objects.filter(pk__in=ids).delete()
        deleted += len(ids)
    return deleted
