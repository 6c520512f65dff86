"""Rollups: the ledger summed up by quarter-hour, for pages that look at days and weeks.

They follow from the ledger and can be computed again at any time (`usage_app.services.rollups`).
"""

from __future__ import annotations

from uuid import UUID

from django.db import models

from gateway_project.core.money import MoneyField

MASTER_KEY = UUID(int=0)


class UsageRollup(models.Model):
    """What one key used of one model at one upstream in one quarter-hour."""

    window_start = models.DateTimeField(help_text="Start of the quarter-hour, UTC.")
    model = models.CharField(max_length=264, help_text="As the client asked.")
    key_id = models.UUIDField(help_text="All zeros for the master key.")
    upstream = models.CharField(max_length=63, blank=True)
    upstream_model = models.CharField(max_length=200, blank=True)
    requests = models.BigIntegerField()
    errors = models.BigIntegerField(help_text="Status 400 and above, without 499: clients that left.")
    unpriced = models.BigIntegerField(help_text="Requests that used tokens of a model without a price.")
    input_tokens = models.BigIntegerField()
    output_tokens = models.BigIntegerField()
    cached_input_tokens = models.BigIntegerField(help_text="Part of the input tokens.")
    reasoning_tokens = models.BigIntegerField(help_text="Part of the output tokens.")
    cost = MoneyField(help_text="US dollars; what has no price counts as nothing.")

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["window_start", "model", "key_id", "upstream", "upstream_model"],
                name="usage_rollup_once",
            )
        ]

    def __str__(self) -> str:
        return f"{self.model} {self.window_start:%Y-%m-%d %H:%M}"


class LatencyRollup(models.Model):
    """How many answered requests of a quarter-hour took how long, in buckets that grow by a fifth each.

    Bucket n holds durations from 1.2ⁿ up to 1.2ⁿ⁺¹ milliseconds, so that a quantile read from the counts is
    within 10 % of the true one.
    """

    window_start = models.DateTimeField(help_text="Start of the quarter-hour, UTC.")
    bucket = models.PositiveSmallIntegerField(help_text="From 1.2^n milliseconds up to 1.2^(n + 1).")
    requests = models.BigIntegerField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["window_start", "bucket"], name="latency_rollup_once")]

    def __str__(self) -> str:
        return f"bucket {self.bucket} {self.window_start:%Y-%m-%d %H:%M}"


class RollupWindow(models.Model):
    """A quarter-hour whose rollups lack records; noted in the transaction that stores them.

    `mark` is another number after each batch: who has computed the window removes the note only if its mark
    is still the one that was there before.
    """

    window_start = models.DateTimeField(primary_key=True, help_text="Start of the quarter-hour, UTC.")
    mark = models.BigIntegerField()

    def __str__(self) -> str:
        return f"{self.window_start:%Y-%m-%d %H:%M}"
