"""Rollups: the ledger summed up by quarter-hour and by hour, for pages that look at days and weeks.

They follow from the ledger and can be computed again at any time (`usage_app.services.rollups`).
"""

from __future__ import annotations

from uuid import UUID

from django.db import models

from gateway_project.core.money import MoneyField

MASTER_KEY = UUID(int=0)
USAGE_DIMENSIONS = ("model", "key_id", "upstream", "upstream_model")


def _once(name: str, *dimensions: str) -> models.UniqueConstraint:
    return models.UniqueConstraint(fields=["window_start", *dimensions], name=name)


class UsageSums(models.Model):
    """What one key used of one model at one upstream in a span of time."""

    window_start = models.DateTimeField(help_text="Start of the span, UTC.")
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
        abstract = True

    def __str__(self) -> str:
        return f"{self.model} {self.window_start:%Y-%m-%d %H:%M}"


class UsageRollup(UsageSums):
    """The usage of a quarter-hour: what every time zone's days can be made of."""

    class Meta:
        constraints = [_once("usage_rollup_once", *USAGE_DIMENSIONS)]


class HourlyUsageRollup(UsageSums):
    """The usage of an hour, the sum of its quarter-hours: a quarter of the rows for long ranges."""

    class Meta:
        constraints = [_once("hourly_usage_rollup_once", *USAGE_DIMENSIONS)]


class LatencyCounts(models.Model):
    """How many answered requests of a span of time took how long, in buckets that grow by a fifth each.

    Bucket n holds durations from 1.2ⁿ up to 1.2ⁿ⁺¹ milliseconds, so that a quantile read from the counts is
    within 10 % of the true one.
    """

    window_start = models.DateTimeField(help_text="Start of the span, UTC.")
    bucket = models.PositiveSmallIntegerField(help_text="From 1.2^n milliseconds up to 1.2^(n + 1).")
    requests = models.BigIntegerField()

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return f"bucket {self.bucket} {self.window_start:%Y-%m-%d %H:%M}"


class LatencyRollup(LatencyCounts):
    """The durations of a quarter-hour."""

    class Meta:
        constraints = [_once("latency_rollup_once", "bucket")]


class HourlyLatencyRollup(LatencyCounts):
    """The durations of an hour."""

    class Meta:
        constraints = [_once("hourly_latency_rollup_once", "bucket")]


class RollupWindow(models.Model):
    """A quarter-hour whose rollups lack records; noted in the transaction that stores them.

    `mark` is another number after each batch: who has computed the window removes the note only if its mark
    is still the one that was there before.
    """

    window_start = models.DateTimeField(primary_key=True, help_text="Start of the quarter-hour, UTC.")
    mark = models.BigIntegerField()

    def __str__(self) -> str:
        return f"{self.window_start:%Y-%m-%d %H:%M}"
