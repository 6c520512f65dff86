"""Saved reports, and the files that are made of them."""

from __future__ import annotations

from django.db import models

from gateway_project.core.ids import public_id, uuid7
from usage_app.models.bucket import Bucket


class Report(models.Model):
    """A query that somebody saved, perhaps with a schedule by which its file goes to people or buckets.

    What may stand in the columns is checked by `usage_app.services.reports`.
    """

    class Schedule(models.TextChoices):
        """When a file is made by itself."""

        NEVER = "", "Never"
        DAILY = "daily", "Every day"
        WEEKLY = "weekly", "Every Monday"
        MONTHLY = "monthly", "On the first of each month"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    name = models.CharField(max_length=200, unique=True)
    owner = models.CharField(max_length=200, editable=False, help_text="Who made it.")
    period = models.CharField(max_length=20, default="last_month", help_text="Seen from when a file is made.")
    first_day = models.DateField(null=True, blank=True, help_text="Of the period from … to ….")
    last_day = models.DateField(null=True, blank=True, help_text="Included.")
    time_zone = models.CharField(max_length=64, default="UTC", help_text="Such as Europe/Berlin.")
    group_by = models.JSONField(default=list, blank=True)
    filters = models.JSONField(default=dict, blank=True)
    format = models.CharField(max_length=10, default="csv")
    schedule = models.CharField(max_length=10, blank=True, choices=Schedule.choices, default=Schedule.NEVER)
    hour = models.PositiveSmallIntegerField(default=6, help_text="Of the day in the report’s time zone.")
    recipients = models.JSONField(default=list, blank=True)
    bucket = models.ForeignKey(
        Bucket,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="reports",
        help_text="Gets the files of the schedule, each with its manifest.",
    )
    is_enabled = models.BooleanField("enabled", default=True, help_text="Off: the schedule rests.")
    scheduled_since = models.DateTimeField(
        null=True, editable=False, help_text="What was due before is not made up for."
    )
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ("name",)
        constraints = [
            models.CheckConstraint(condition=models.Q(hour__lt=24), name="report_hour_of_a_day"),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def public_id(self) -> str:
        """The id that the API shows."""
        return public_id("rep", self.pk)


class ReportExport(models.Model):
    """One file: asked for, made by a worker that holds a lease, kept for a while, then only its manifest."""

    class State(models.TextChoices):
        """How far it is."""

        QUEUED = "queued", "Queued"
        RUNNING = "running", "Running"
        DONE = "done", "Done"
        FAILED = "failed", "Failed"
        EXPIRED = "expired", "File deleted"

    class Mail(models.TextChoices):
        """What became of the message to the recipients."""

        NONE = "", "None"
        DUE = "due", "Due"
        SENDING = "sending", "Being sent"
        SENT = "sent", "Sent"
        FAILED = "failed", "Failed"

    class Upload(models.TextChoices):
        """What became of the file on its way to a bucket."""

        NONE = "", "None"
        DUE = "due", "Due"
        STORED = "stored", "Stored"
        FAILED = "failed", "Failed"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    report = models.ForeignKey(Report, null=True, on_delete=models.SET_NULL, related_name="exports")
    title = models.CharField(max_length=200)
    period = models.CharField(max_length=100)
    format = models.CharField(max_length=10)
    query = models.JSONField()
    requested_by = models.CharField(max_length=200)
    # Null is never equal to null: what somebody asked for is no occurrence of anything.
    period_key = models.CharField(  # noqa: DJ001
        max_length=40, null=True, help_text="Which occurrence of the schedule; empty if somebody asked."
    )
    state = models.CharField(max_length=10, choices=State.choices, default=State.QUEUED)
    progress_rows = models.BigIntegerField(default=0)
    total_rows = models.BigIntegerField(null=True)
    file_name = models.CharField(max_length=200, blank=True)
    size_bytes = models.BigIntegerField(null=True)
    sha256 = models.CharField(max_length=64, blank=True)
    manifest = models.JSONField(null=True)
    error = models.CharField(max_length=500, blank=True)
    attempts = models.PositiveSmallIntegerField(default=0)
    lease_until = models.DateTimeField(null=True)
    lease_token = models.UUIDField(null=True)
    recipients = models.JSONField(default=list)
    mail_state = models.CharField(max_length=10, choices=Mail.choices, blank=True, default=Mail.NONE)
    mail_attempts = models.PositiveSmallIntegerField(default=0)
    mail_error = models.CharField(max_length=500, blank=True)
    mailed_at = models.DateTimeField(null=True)
    bucket = models.ForeignKey(Bucket, null=True, on_delete=models.SET_NULL, related_name="+")
    upload_state = models.CharField(
        max_length=10, choices=Upload.choices, blank=True, default=Upload.NONE, db_default=Upload.NONE
    )
    upload_attempts = models.PositiveSmallIntegerField(default=0, db_default=0)
    upload_due_at = models.DateTimeField(null=True, help_text="Not before; meanwhile another may be at it.")
    upload_error = models.CharField(max_length=200, blank=True, default="", db_default="")
    uploaded_as = models.CharField(max_length=600, blank=True, default="", db_default="")
    created_at = models.DateTimeField(auto_now_add=True)
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)

    class Meta:
        verbose_name = "report file"
        ordering = ("-id",)
        constraints = [
            models.UniqueConstraint(fields=["report", "period_key"], name="report_export_once_a_period"),
        ]
        indexes = [
            models.Index(
                fields=["id"],
                name="report_export_to_do",
                condition=models.Q(state__in=["queued", "running"]) | models.Q(mail_state="due"),
            ),
            models.Index(fields=["state", "created_at"], name="report_export_by_state"),
            models.Index(
                fields=["upload_due_at"],
                name="report_export_to_upload",
                condition=models.Q(upload_state="due"),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.title} ({self.format})"

    @property
    def public_id(self) -> str:
        """The id that the API shows."""
        return public_id("exp", self.pk)
