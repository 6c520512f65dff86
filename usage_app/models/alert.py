"""Alerts: which figures are watched, what was found, and who has been told."""

from __future__ import annotations

from typing import Any
from zoneinfo import available_timezones

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator, validate_email
from django.db import models
from django.db.models import Q

from gateway_project.core.clock import utc_now
from gateway_project.core.ids import public_id, uuid7
from gateway_project.core.money import MoneyField
from security_app.models import ConfigModel
from security_app.models.secret import seal, sealed_column, unseal

MAX_RECIPIENTS = 20
# A rollup's window is a quarter-hour, so no span is shorter.
MIN_WINDOW_MINUTES = 15
MAX_WINDOW_MINUTES = 45 * 1440
_URL = "alert.url"
_SECRET = "alert.secret"  # noqa: S105  (the label of a column)
_UNUSABLE = "unusable"


def validate_recipients(value: Any) -> None:
    """Recipients are a list of at most 20 mail addresses."""
    if not isinstance(value, list) or any(not isinstance(item, str) for item in value):
        raise ValidationError("Give a list of mail addresses.", code=_UNUSABLE)
    if len(value) > MAX_RECIPIENTS:
        raise ValidationError(f"At most {MAX_RECIPIENTS} addresses.", code=_UNUSABLE)
    for item in value:
        try:
            validate_email(item)
        except ValidationError as error:
            raise ValidationError(f"'{item[:100]}' is no mail address.", code=_UNUSABLE) from error


def validate_time_zone(value: str) -> None:
    """A name of the IANA database, such as Europe/Berlin."""
    if value not in available_timezones():
        raise ValidationError("Give the name of a time zone, such as Europe/Berlin.", code=_UNUSABLE)


class AlertChannel(ConfigModel):
    """Where alerts are told. The URL of a webhook is a secret: who has it can write there."""

    class Kind(models.TextChoices):
        """How a message is sent."""

        MAIL = "mail", "Mail"
        SLACK = "slack", "Slack"
        WEBHOOK = "webhook", "Webhook"

    config_section = "alerts"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    name = models.CharField(max_length=100, unique=True)
    kind = models.CharField(max_length=10, choices=Kind.choices)
    recipients = models.JSONField(default=list, blank=True, validators=[validate_recipients])
    url_sealed = sealed_column()
    secret_sealed = sealed_column()
    is_enabled = models.BooleanField("enabled", default=True)

    class Meta:
        ordering = ("name",)

    def __str__(self) -> str:
        return self.name

    @property
    def public_id(self) -> str:
        """`alert_channel_` and the row's UUID in hex."""
        return public_id("alert_channel", self.id)

    def set_url(self, url: str) -> None:
        """Store the webhook's URL, encrypted for this row."""
        self.url_sealed = seal(url, label=_URL, row_id=self.id)

    def get_url(self) -> str:
        """The webhook's URL; raises `core.crypto.DecryptionError` under a wrong key ring."""
        return unseal(self.url_sealed, label=_URL, row_id=self.id)

    def set_secret(self, secret: str) -> None:
        """Store what a webhook's messages are signed with."""
        self.secret_sealed = seal(secret, label=_SECRET, row_id=self.id)

    def get_secret(self) -> str:
        """What messages are signed with, "" for none; raises `core.crypto.DecryptionError`."""
        return unseal(self.secret_sealed, label=_SECRET, row_id=self.id)


class AlertRule(ConfigModel):
    """A figure that is watched, over a span up to now, and the threshold from which it is an alert.

    `kind` names a measure (`usage_app.services.alerts.measures`), which says what the threshold counts.
    """

    class Per(models.TextChoices):
        """What has a figure of its own."""

        ALL = "all", "The whole installation"
        TEAM = "team", "Each team"
        KEY = "key", "Each key"
        USER = "user", "Each user"
        MODEL = "model", "Each model"
        UPSTREAM = "upstream", "Each upstream"
        AGENT = "agent", "Each agent"
        BUDGET = "budget", "Each budget"

    config_section = "alerts"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    name = models.CharField(max_length=100, unique=True)
    kind = models.CharField("what", max_length=32)
    per = models.CharField(max_length=10, choices=Per.choices, default=Per.ALL)
    threshold = MoneyField(
        validators=[MinValueValidator(0)],
        help_text="From this figure on: dollars, percent, milliseconds or tokens, as what is watched.",
    )
    window_minutes = models.PositiveIntegerField(
        "span (minutes)",
        default=60,
        validators=[MinValueValidator(MIN_WINDOW_MINUTES), MaxValueValidator(MAX_WINDOW_MINUTES)],
        help_text="Up to now, in whole quarter-hours.",
    )
    min_requests = models.PositiveIntegerField(
        "at least so many requests",
        default=1,
        help_text="Fewer in the span say nothing about a share or a latency.",
    )
    time_zone = models.CharField(
        max_length=64,
        default="UTC",
        validators=[validate_time_zone],
        help_text="Of the working hours, for spend outside of them.",
    )
    work_from_hour = models.PositiveSmallIntegerField(
        "working hours from", default=7, validators=[MaxValueValidator(23)]
    )
    work_to_hour = models.PositiveSmallIntegerField(
        "working hours until", default=19, validators=[MaxValueValidator(24)]
    )
    repeat_minutes = models.PositiveIntegerField(
        "tell again after (minutes)",
        default=0,
        validators=[MaxValueValidator(MAX_WINDOW_MINUTES)],
        help_text="While the alert lasts; 0 tells only its beginning and its end.",
    )
    channels = models.ManyToManyField(AlertChannel, blank=True, related_name="rules")
    is_enabled = models.BooleanField("enabled", default=True)

    class Meta:
        ordering = ("name",)
        constraints = [
            models.CheckConstraint(
                condition=Q(window_minutes__gte=MIN_WINDOW_MINUTES, window_minutes__lte=MAX_WINDOW_MINUTES),
                name="alert_window_in_bounds",
            ),
            models.CheckConstraint(condition=Q(threshold__gte=0), name="alert_threshold_not_negative"),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def public_id(self) -> str:
        """`alert_rule_` and the row's UUID in hex."""
        return public_id("alert_rule", self.id)


class Alert(models.Model):
    """One time that a rule's figure was at its threshold or beyond, for one subject."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    rule = models.ForeignKey(AlertRule, null=True, on_delete=models.SET_NULL, related_name="alerts")
    rule_name = models.CharField(max_length=100)
    kind = models.CharField(max_length=32)
    subject = models.CharField(max_length=264, blank=True, help_text="Empty: the whole installation.")
    subject_name = models.CharField(max_length=264, blank=True)
    value = MoneyField(help_text="The highest figure while it lasted.")
    threshold = MoneyField()
    detail = models.CharField(max_length=300, blank=True)
    opened_at = models.DateTimeField(default=utc_now)
    told_at = models.DateTimeField(default=utc_now)
    closed_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ("-opened_at", "-id")
        constraints = [
            models.UniqueConstraint(
                fields=["rule", "subject"], condition=Q(closed_at=None), name="alert_open_once"
            )
        ]
        indexes = [models.Index(fields=["-opened_at", "-id"], name="alert_opened")]

    def __str__(self) -> str:
        return f"{self.rule_name} {self.subject_name}".strip()

    @property
    def public_id(self) -> str:
        """`alert_` and the row's UUID in hex."""
        return public_id("alert", self.id)


class AlertMessage(models.Model):
    """One message that a channel has to get, until it has got it or it is given up."""

    class Event(models.TextChoices):
        """What is told."""

        OPENED = "opened", "Began"
        REPEATED = "repeated", "Lasts"
        CLOSED = "closed", "Ended"

    alert = models.ForeignKey(Alert, on_delete=models.CASCADE, related_name="messages")
    channel = models.ForeignKey(AlertChannel, on_delete=models.CASCADE, related_name="messages")
    event = models.CharField(max_length=10, choices=Event.choices)
    created_at = models.DateTimeField(default=utc_now)
    attempts = models.PositiveSmallIntegerField(default=0)
    due_at = models.DateTimeField(default=utc_now, help_text="Not before; while it is sent, not by another.")
    sent_at = models.DateTimeField(null=True)
    given_up_at = models.DateTimeField(null=True)
    error = models.CharField(max_length=200, blank=True)

    class Meta:
        indexes = [
            models.Index(
                fields=["due_at"],
                name="alert_message_due",
                condition=Q(sent_at=None, given_up_at=None),
            )
        ]

    def __str__(self) -> str:
        return f"{self.event} {self.alert_id}"
