"""The ledger's table and the counters that the flusher keeps in the same transaction."""

from __future__ import annotations

from django.db import models

from gateway_project.core.ids import public_id, uuid7
from gateway_project.core.money import MoneyField


class State(models.TextChoices):
    """How a record's numbers came about."""

    REPORTED = "reported", "Reported by the upstream"
    ESTIMATED = "estimated", "Estimated, the upstream reported nothing"
    ABORTED = "aborted", "Ended before it was complete"
    UNPRICED = "unpriced", "Reported, but the model has no price"


class UsageRecord(models.Model):
    """One settled request; written once by the flusher, never changed.

    `id` is the request id that the client got as `x-request-id`, a UUIDv7; `at` is its millisecond.
    On PostgreSQL the table is partitioned by month of `at`, with primary key (id, at).
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    at = models.DateTimeField()
    parent_id = models.UUIDField(null=True)
    kind = models.CharField(max_length=16, default="llm", help_text="llm, agent, tool, mcp, a2a or batch.")
    operation = models.CharField(max_length=32, help_text="chat, completions, embeddings, …")
    key_id = models.UUIDField(null=True, help_text="Empty for the master key.")
    key_name = models.CharField(max_length=200, blank=True)
    user_id = models.CharField(max_length=200, blank=True)
    team_id = models.UUIDField(null=True, help_text="The key's team when the request was made.")
    organization_id = models.UUIDField(null=True, help_text="That team's organisation.")
    end_user = models.CharField(max_length=256, blank=True, help_text="The request's `user` field.")
    agent = models.CharField(max_length=264, blank=True, help_text="The agent that made the call.")
    tags = models.JSONField(default=list, blank=True, help_text="The client's own words for the request.")
    model = models.CharField(max_length=264, help_text="As the client asked.")
    route = models.CharField(max_length=200, blank=True)
    upstream = models.CharField(max_length=63, blank=True)
    upstream_model = models.CharField(max_length=200, blank=True)
    status = models.PositiveSmallIntegerField(help_text="HTTP status that the client got; 499 if it left.")
    error_code = models.CharField(max_length=64, blank=True)
    state = models.CharField(max_length=10, choices=State.choices)
    is_stream = models.BooleanField(default=False)
    input_tokens = models.BigIntegerField(default=0)
    output_tokens = models.BigIntegerField(default=0)
    cached_input_tokens = models.BigIntegerField(default=0, help_text="Part of the input tokens.")
    cache_write_tokens = models.BigIntegerField(default=0, help_text="Part of the input tokens.")
    reasoning_tokens = models.BigIntegerField(default=0, help_text="Part of the output tokens.")
    input_audio_tokens = models.BigIntegerField(default=0, help_text="Part of the input tokens.")
    output_audio_tokens = models.BigIntegerField(default=0, help_text="Part of the output tokens.")
    cost = MoneyField(null=True, help_text="US dollars; empty if the model has no price.")
    price_id = models.UUIDField(null=True, help_text="The price row that made the cost.")
    queue_ms = models.FloatField(default=0, help_text="Arrival to upstream call.")
    first_token_ms = models.FloatField(null=True, help_text="Arrival to first byte from the upstream.")
    total_ms = models.FloatField(default=0)
    attempts = models.PositiveSmallIntegerField(default=0)
    is_cached = models.BooleanField(default=False, help_text="Answered from our own cache.")
    decision = models.JSONField(
        null=True,
        blank=True,
        help_text="Why this upstream, and what was tried; empty where nothing was chosen.",
    )
    units = models.JSONField(
        null=True,
        blank=True,
        help_text="What was used beside the counts above: images, characters, …; empty for most calls.",
    )
    service_tier = models.CharField(
        max_length=16,
        blank=True,
        default="",
        db_default="",
        help_text="batch, flex, …; empty for the usual one.",
    )
    correlation_id = models.CharField(max_length=128, blank=True, help_text="The client's own request id.")

    class Meta:
        ordering = ("-at", "-id")
        indexes = [
            # The calls of a run; most records are no part of one.
            models.Index(
                fields=["parent_id", "id"], name="usage_parent", condition=models.Q(parent_id__isnull=False)
            ),
            models.Index(fields=["-at", "-id"], name="usage_at_id"),
            models.Index(fields=["key_id", "-at"], name="usage_key_at"),
            models.Index(fields=["model", "-at"], name="usage_model_at"),
            # Most records of many installations have none of these: they cost nothing here.
            models.Index(
                fields=["team_id", "-at"], name="usage_team_at", condition=models.Q(team_id__isnull=False)
            ),
            models.Index(fields=["user_id", "-at"], name="usage_user_at", condition=models.Q(user_id__gt="")),
            models.Index(
                fields=["end_user", "-at"], name="usage_end_user_at", condition=models.Q(end_user__gt="")
            ),
            models.Index(fields=["agent", "-at"], name="usage_agent_at", condition=models.Q(agent__gt="")),
            # Few records each: who looks for what went wrong does not walk through what went well.
            models.Index(
                fields=["-at", "-id", "status"], name="usage_failed", condition=models.Q(status__gte=400)
            ),
            models.Index(
                fields=["-at", "-id", "state"],
                name="usage_not_reported",
                condition=models.Q(state__in=["estimated", "aborted", "unpriced"]),
            ),
        ]

    def __str__(self) -> str:
        return self.request_id

    @property
    def request_id(self) -> str:
        """As the client saw it: `req_<hex>`."""
        return public_id("req", self.id)


class SpendCounter(models.Model):
    """Running totals of one scope and window; limits and budgets are seeded from here."""

    scope = models.CharField(max_length=16, help_text="key, model, …")
    scope_id = models.CharField(max_length=264)
    window_start = models.DateTimeField(help_text="Start of the UTC day.")
    requests = models.BigIntegerField(default=0)
    input_tokens = models.BigIntegerField(default=0)
    output_tokens = models.BigIntegerField(default=0)
    cost = MoneyField(default=0)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["scope", "scope_id", "window_start"], name="spend_counter_once")
        ]

    def __str__(self) -> str:
        return f"{self.scope} {self.scope_id} {self.window_start:%Y-%m-%d}"


class KeyUse(models.Model):
    """When a key was last used, and what it spent in its life; apart from the key's own row."""

    key_id = models.UUIDField(primary_key=True)
    last_used_at = models.DateTimeField()
    requests = models.BigIntegerField(default=0)
    cost = MoneyField(default=0)

    class Meta:
        verbose_name = "key use"

    def __str__(self) -> str:
        return f"{self.key_id} {self.last_used_at:%Y-%m-%d}"
