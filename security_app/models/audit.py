"""The audit: events that are only ever added, each bound to the one before, and where their chain stands.

How events are made and chained is in `security_app.models.chain`.
"""

from __future__ import annotations

from typing import Any, ClassVar, NoReturn

from django.db import models

from gateway_project.core.ids import uuid7

GENESIS = "0" * 64


def _refuse(*_: Any, **__: Any) -> NoReturn:
    raise TypeError("Events of the audit are never changed, and deleted by retention only.")


class AuditQuerySet(models.QuerySet["AuditEvent"]):
    """A query set that reads."""

    update = delete = bulk_create = bulk_update = create = get_or_create = update_or_create = _refuse


AuditManager = models.Manager.from_queryset(AuditQuerySet)


class AuditEvent(models.Model):
    """One thing that was done, or that was refused.

    `before`, `after` and `detail` are JSON as it was hashed: databases would rewrite numbers and order.
    `hash` is SHA-256 of all of it with `prev_hash`, the hash of the event before; `mac` is an HMAC of
    `hash` with a key that is not in the database (`key_id` tells which).
    """

    seq = models.BigIntegerField(primary_key=True, editable=False)
    event_id = models.UUIDField(default=uuid7, unique=True, editable=False)
    at = models.DateTimeField("time")
    actor = models.CharField(max_length=200)
    actor_kind = models.CharField("kind of actor", max_length=12)
    action = models.CharField(max_length=40)
    object_type = models.CharField(max_length=80, blank=True)
    object_id = models.CharField("object's id", max_length=200, blank=True)
    object_name = models.CharField("object", max_length=300, blank=True)
    before = models.TextField(null=True)  # noqa: DJ001  (no image is not an empty one)
    after = models.TextField(null=True)  # noqa: DJ001
    detail = models.TextField(blank=True)
    request_id = models.CharField(max_length=64, blank=True)
    ip = models.CharField("address", max_length=64, blank=True)
    prev_hash = models.CharField(max_length=64)
    hash = models.CharField(max_length=64)
    key_id = models.CharField(max_length=32)
    mac = models.CharField(max_length=64)

    objects: ClassVar[models.Manager[AuditEvent]] = AuditManager()

    class Meta:
        verbose_name = "audit event"
        ordering = ("-seq",)
        indexes = [
            models.Index(fields=["at", "seq"], name="audit_at"),
            models.Index(fields=["actor", "seq"], name="audit_actor"),
            models.Index(fields=["action", "seq"], name="audit_action"),
            models.Index(fields=["object_type", "object_id", "seq"], name="audit_object"),
        ]

    def __str__(self) -> str:
        return f"{self.seq}: {self.actor} {self.action} {self.object_name or self.object_id}".rstrip()

    save = delete = _refuse


class AuditHead(models.Model):
    """The one row (id 1) that tells the chain's last event; writers lock it.

    `mac` binds it to the key ring, so that going back to an earlier event needs an old copy of this row.
    """

    id = models.PositiveSmallIntegerField(primary_key=True, default=1, editable=False)
    seq = models.BigIntegerField(default=0)
    hash = models.CharField(max_length=64, default=GENESIS)
    key_id = models.CharField(max_length=32, blank=True)
    mac = models.CharField(max_length=64, blank=True)

    class Meta:
        verbose_name = "head of the audit"
        constraints = [models.CheckConstraint(condition=models.Q(id=1), name="audit_head_once")]

    def __str__(self) -> str:
        return f"event {self.seq}"


class AuditCheckpoint(models.Model):
    """Where the chain begins since retention deleted what came before: the last event that is gone.

    Triggers let nobody delete an event beyond the last checkpoint.
    """

    seq = models.BigIntegerField(primary_key=True)
    hash = models.CharField(max_length=64)
    at = models.DateTimeField(help_text="When the events were deleted.")
    deleted = models.BigIntegerField(help_text="How many events went.")
    key_id = models.CharField(max_length=32)
    mac = models.CharField(max_length=64)

    class Meta:
        verbose_name = "checkpoint of the audit"
        ordering = ("-seq",)

    def __str__(self) -> str:
        return f"up to event {self.seq}"
