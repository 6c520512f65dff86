"""How long events of the audit are kept: GATEWAY_AUDIT_RETENTION_DAYS; 0, the default, is for ever.

What goes leaves a checkpoint, from which the rest of the chain still verifies, and an event that says so.
"""

from __future__ import annotations

import logging
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction

from gateway_project.core.clock import utc_now
from security_app.models import AuditCheckpoint, AuditEvent, ConfigVersion
from security_app.models.chain import Draft, append, checkpoint_text, current_key, mac
from security_app.services.audit_anchors import write_anchor

logger = logging.getLogger(__name__)
# Writers get their turn between batches.
_BATCH = 2000


def prune_audit() -> int:
    """Delete the oldest events beyond their retention, in batches; how many went."""
    if not settings.AUDIT_RETENTION_DAYS:
        return 0
    # What goes is anchored first: a later doubt about it can be settled with a backup.
    write_anchor()
    oldest = utc_now() - timedelta(days=settings.AUDIT_RETENTION_DAYS)
    deleted = 0
    while count := _prune_batch(oldest):
        deleted += count
    if deleted:
        logger.info("audit.pruned", extra={"rows": deleted})
    return deleted


def _prune_batch(oldest: datetime) -> int:
    with transaction.atomic():
        ConfigVersion.lock()
        checkpoint = AuditCheckpoint.objects.first()
        start = checkpoint.seq if checkpoint is not None else 0
        # Only from the beginning on: an older moment further on, after a clock was set back, has to wait.
        batch = AuditEvent.objects.filter(seq__gt=start).order_by("seq")[:_BATCH]
        last: AuditEvent | None = None
        for event in batch.only("seq", "at", "hash"):
            if event.at >= oldest:
                break
            last = event
        if last is None:
            return 0
        AuditCheckpoint.objects.all().delete()
        key_id, key = current_key()
        AuditCheckpoint.objects.create(
            seq=last.seq,
            hash=last.hash,
            at=utc_now(),
            deleted=last.seq,
            key_id=key_id,
            mac=mac(key, checkpoint_text(last.seq, last.hash, last.seq)),
        )
        # The triggers let go what the checkpoint covers.
        count, _ = AuditEvent._base_manager.filter(seq__lte=last.seq).delete()
        detail = {"through": last.seq, "hash": last.hash, "rows": count}
        append([Draft("pruned", "audit", str(last.seq), detail=detail)])
        return count
