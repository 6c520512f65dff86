"""Findings of the nightly audit: what is not as it should be, from when on, and until when.

They are no configuration: the audit opens and closes them, and nobody else writes here.
"""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from gateway_project.core.clock import utc_now
from gateway_project.core.ids import public_id, uuid7


class Finding(models.Model):
    """One thing that a source of the audit found wrong with one object; open as long as it is found."""

    class Severity(models.TextChoices):
        """How much it matters."""

        INFO = "info", "Info"
        WARNING = "warning", "Warning"
        CRITICAL = "critical", "Critical"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    source = models.CharField(max_length=40, help_text="Who found it, and so who can say that it is over.")
    kind = models.CharField(max_length=40)
    object_type = models.CharField("kind of object", max_length=80, blank=True)
    object_id = models.CharField("object's id", max_length=264, blank=True)
    object_name = models.CharField("object", max_length=300, blank=True)
    severity = models.CharField(max_length=8, choices=Severity.choices)
    detail = models.CharField(max_length=500, blank=True)
    opened_at = models.DateTimeField("opened", default=utc_now)
    seen_at = models.DateTimeField("last seen", default=utc_now)
    closed_at = models.DateTimeField("closed", null=True)

    class Meta:
        ordering = ("-id",)
        constraints = [
            models.UniqueConstraint(
                fields=["kind", "object_type", "object_id"],
                condition=Q(closed_at=None),
                name="finding_open_once",
            ),
            models.CheckConstraint(
                condition=Q(severity__in=["info", "warning", "critical"]), name="finding_severity_known"
            ),
        ]
        indexes = [models.Index(fields=["closed_at", "-id"], name="finding_closed")]

    def __str__(self) -> str:
        return f"{self.kind} {self.object_name or self.object_id}".rstrip()

    @property
    def public_id(self) -> str:
        """`finding_` and the row's UUID in hex."""
        return public_id("finding", self.id)
