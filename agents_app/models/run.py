"""What agents did: a row for each run and one for each of its steps, written from the journal."""

from __future__ import annotations

from datetime import datetime

from django.db import models

from gateway_project.core.clock import utc_now
from gateway_project.core.ids import public_id, uuid7
from gateway_project.core.money import MoneyField


class Run(models.Model):
    """One run of an agent; written once, never changed, but that its texts go before it does.

    `id` is the request's, a UUIDv7, so that the order of ids is that of time: lists go by it. Tokens and
    cost are the sums of the run's LLM calls, which have records of their own in the ledger.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    started_at = models.DateTimeField()
    agent = models.CharField(max_length=200, help_text="The agent's model id.")
    version = models.CharField(max_length=64, blank=True, help_text="Of the agent's code.")
    key_id = models.UUIDField(null=True, help_text="Empty for the master key.")
    key_name = models.CharField(max_length=200, blank=True)
    end_user = models.CharField(max_length=256, blank=True, help_text="The request's `user` field.")
    parent_id = models.UUIDField(null=True, help_text="The request that this run is a part of.")
    status = models.PositiveSmallIntegerField(help_text="HTTP status that the client got; 499 if it left.")
    error_code = models.CharField(max_length=64, blank=True)
    is_stream = models.BooleanField(default=False)
    duration_ms = models.FloatField(default=0)
    first_token_ms = models.FloatField(null=True, help_text="Arrival to the first piece of a stream.")
    turns = models.PositiveIntegerField(default=0, help_text="Those of agents called as tools included.")
    llm_calls = models.PositiveIntegerField(default=0)
    tool_calls = models.PositiveIntegerField(default=0)
    handoffs = models.PositiveIntegerField(default=0)
    input_tokens = models.BigIntegerField(default=0)
    output_tokens = models.BigIntegerField(default=0)
    cost = MoneyField(null=True, help_text="US dollars; empty if a call's model has no price.")
    content_until = models.DateTimeField(
        null=True, help_text="When its texts are deleted; empty if it has none."
    )
    dropped_steps = models.PositiveIntegerField(default=0, help_text="Steps for which there was no room.")

    class Meta:
        ordering = ("-id",)
        indexes = [
            models.Index(fields=["agent", "-id"], name="run_agent"),
            models.Index(fields=["key_id", "-id"], name="run_key"),
            # Few rows: who looks for what went wrong does not walk through what went well.
            models.Index(fields=["-id", "status"], name="run_failed", condition=models.Q(status__gte=400)),
            models.Index(
                fields=["content_until"],
                name="run_content_until",
                condition=models.Q(content_until__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return self.public_id

    @property
    def public_id(self) -> str:
        """`run_` and the request's id in hex."""
        return public_id("run", self.id)

    def may_show_texts(self, moment: datetime | None = None) -> bool:
        """Whether its texts may still be kept: they are deleted a while after that."""
        return self.content_until is None or (moment or utc_now()) < self.content_until


class RunStep(models.Model):
    """One step of a run; `number` is its place in time, from 1, and `parent` the number of what it is in."""

    class Kind(models.TextChoices):
        """What a step is."""

        AGENT = "agent", "Agent"
        TURN = "turn", "Turn"
        LLM = "llm", "LLM call"
        TOOL = "tool", "Tool"
        AGENT_AS_TOOL = "agent_as_tool", "Agent as tool"
        CLIENT_TOOL = "client_tool", "Client's tool"
        HANDOFF = "handoff", "Hand-off"
        GUARDRAIL = "guardrail", "Guardrail"
        CUSTOM = "custom", "Other"

    class Status(models.TextChoices):
        """How a step ended."""

        OK = "ok", "OK"
        ERROR = "error", "Failed"
        TRIPPED = "tripped", "Tripped"
        CANCELLED = "cancelled", "Cancelled"

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="steps", db_index=False)
    number = models.PositiveIntegerField()
    parent = models.PositiveIntegerField(null=True)
    kind = models.CharField(max_length=16, choices=Kind.choices)
    name = models.CharField(max_length=200, blank=True)
    start_ms = models.FloatField(help_text="After the run began.")
    duration_ms = models.FloatField()
    status = models.CharField(max_length=10, choices=Status.choices)
    error_code = models.CharField(max_length=64, blank=True)
    model = models.CharField(max_length=264, blank=True)
    upstream = models.CharField(max_length=63, blank=True)
    upstream_model = models.CharField(max_length=200, blank=True)
    input_tokens = models.BigIntegerField(default=0)
    output_tokens = models.BigIntegerField(default=0)
    cost = MoneyField(null=True, help_text="US dollars; empty if the model has no price.")
    finish_reason = models.CharField(max_length=32, blank=True)
    request_id = models.UUIDField(null=True, help_text="The call's record in the ledger.")
    content = models.JSONField(null=True, help_text="Texts, where the agent's are kept.")

    class Meta:
        ordering = ("run", "number")
        constraints = [models.UniqueConstraint(fields=["run", "number"], name="run_step_once")]

    def __str__(self) -> str:
        return f"{self.run_id} {self.number} {self.kind}"
