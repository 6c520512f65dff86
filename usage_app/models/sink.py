"""Usage events: what stored records are told to, in which order, and how far each receiver is.

A record's id says when its request began, not when it was stored, so no place in the ledger divides what was
sent from what was not: late records come behind it. `UsageEvent` numbers records in the order of the commits
that stored them; a sink's cursor is such a number, and nothing ever appears below it.
"""

from __future__ import annotations

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models, transaction
from django.db.models import Q

from gateway_project.core.clock import utc_now
from gateway_project.core.ids import public_id, uuid7
from security_app.models import ConfigModel, Team
from security_app.models.secret import seal, sealed_column, unseal
from usage_app.models.bucket import Bucket

MAX_BATCH = 1000
_URL = "sink.url"
_SECRET = "sink.secret"  # noqa: S105  (the label of a column)


class UsageEvent(models.Model):
    """A record that was stored while there was a sink; gone once every sink is past it."""

    seq = models.BigAutoField(primary_key=True)
    record_id = models.UUIDField()
    stored_at = models.DateTimeField(default=utc_now)

    def __str__(self) -> str:
        return f"{self.seq} {self.record_id}"


class UsageSink(ConfigModel):
    """A receiver of usage events. Its URL and its secret are never shown: who has them can pose as us."""

    class Kind(models.TextChoices):
        """How events are sent."""

        WEBHOOK = "webhook", "Webhook"
        S3 = "s3", "S3 bucket"
        OTLP = "otlp", "OTLP logs"

    config_section = "sinks"
    # No image has its URL.
    can_be_recreated = False

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    name = models.CharField(max_length=100, unique=True)
    kind = models.CharField(max_length=10, choices=Kind.choices)
    url_sealed = sealed_column()
    secret_sealed = sealed_column()
    bucket = models.ForeignKey(
        Bucket, null=True, blank=True, on_delete=models.PROTECT, related_name="sinks", help_text="For S3."
    )
    team = models.ForeignKey(
        Team,
        null=True,
        blank=True,
        on_delete=models.CASCADE,
        related_name="+",
        help_text="Only what this team’s keys used; empty for everything. The sink goes with its team.",
    )
    model_pattern = models.CharField(
        "models",
        max_length=264,
        blank=True,
        help_text="Only calls of models that fit, such as openai/*; empty for everything.",
    )
    batch_size = models.PositiveIntegerField(
        default=500,
        validators=[MinValueValidator(1), MaxValueValidator(MAX_BATCH)],
        help_text="At most so many events are sent at once.",
    )
    is_enabled = models.BooleanField(
        "enabled", default=True, help_text="Off: the sink rests, and goes on where it was."
    )

    class Meta:
        ordering = ("name",)
        constraints = [
            models.CheckConstraint(
                condition=Q(batch_size__gte=1, batch_size__lte=MAX_BATCH), name="sink_batch_in_bounds"
            ),
        ]

    def __str__(self) -> str:
        return self.name

    def save(self, *args: object, **kwargs: object) -> None:
        """Save; a new sink gets what is stored from now on."""
        with transaction.atomic():
            super().save(*args, **kwargs)
            SinkState.of(self)

    @property
    def public_id(self) -> str:
        """`sink_` and the row's UUID in hex."""
        return public_id("sink", self.id)

    def check_restored(self, before: UsageSink) -> None:
        """What is secret was given for the kind of now."""
        if self.kind != before.kind:
            raise ValidationError({"kind": "It was of another kind then; change it in the form."})

    def set_url(self, url: str) -> None:
        """Store the URL, encrypted for this row."""
        self.url_sealed = seal(url, label=_URL, row_id=self.id)

    def get_url(self) -> str:
        """The URL; raises `core.crypto.DecryptionError` under a wrong key ring."""
        return unseal(self.url_sealed, label=_URL, row_id=self.id)

    def set_secret(self, secret: str) -> None:
        """Store what a webhook's batches are signed with, or the headers that OTLP takes."""
        self.secret_sealed = seal(secret, label=_SECRET, row_id=self.id)

    def get_secret(self) -> str:
        """The secret, "" for none; raises `core.crypto.DecryptionError`."""
        return unseal(self.secret_sealed, label=_SECRET, row_id=self.id)


class SinkState(models.Model):
    """How far a sink is. Written for each batch: run-time facts are no configuration.

    A batch is `cursor + 1` up to `pending_last`, which is written before it is sent: sent again after a crash
    it is the same batch, with the same id.
    """

    sink = models.OneToOneField(UsageSink, primary_key=True, on_delete=models.CASCADE, related_name="state")
    cursor = models.BigIntegerField(help_text="All events up to this one are done with.")
    pending_last = models.BigIntegerField(null=True, help_text="Where the batch ends that is being sent.")
    attempts = models.PositiveIntegerField(default=0, help_text="Of the pending batch, in vain.")
    due_at = models.DateTimeField(default=utc_now, help_text="Not before.")
    lease_until = models.DateTimeField(null=True)
    lease_token = models.UUIDField(null=True)
    sent_events = models.BigIntegerField(default=0)
    sent_batches = models.BigIntegerField(default=0)
    lost_events = models.BigIntegerField(default=0, help_text="Beyond their retention before they were sent.")
    lost_at = models.DateTimeField(null=True)
    sent_at = models.DateTimeField(null=True)
    error = models.CharField(max_length=200, blank=True)

    def __str__(self) -> str:
        return f"{self.sink_id} {self.cursor}"

    @classmethod
    def of(cls, sink: UsageSink) -> SinkState:
        """The sink's state; a new one begins behind the newest event."""
        newest = UsageEvent.objects.order_by("-seq").values_list("seq", flat=True).first()
        state, _ = cls.objects.get_or_create(sink=sink, defaults={"cursor": newest or 0})
        return state
