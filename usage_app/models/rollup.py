"""Rollups: the ledger summed up by quarter-hour, hour and day (UTC), for pages that look at days and months.

Who used what of which model is a row of `UsageGroup`, which the sums refer to: they stay narrow, however many
dimensions there are. All of it follows from the ledger and can be computed again at any time
(`usage_app.services.rollups`).
"""

from __future__ import annotations

from uuid import UUID

from django.db import models

from gateway_project.core.money import MoneyField

# As an id: none. A key's: the master key.
NOBODY = UUID(int=0)
MASTER_KEY = NOBODY
# What a group consists of, in the order in which its digest is made.
DIMENSIONS = (
    "organization_id",
    "team_id",
    "key_id",
    "user_id",
    "model",
    "upstream",
    "upstream_model",
    "agent",
    "state",
)


def _once(name: str, *columns: str) -> models.UniqueConstraint:
    return models.UniqueConstraint(fields=["window_start", *columns], name=name)


class UsageGroup(models.Model):
    """One combination of who used which model, where. Never changed; gone with the last sum that has it."""

    digest = models.CharField(max_length=64, help_text="SHA-256 of all that follows.")
    organization_id = models.UUIDField(default=NOBODY, help_text="All zeros for none.")
    team_id = models.UUIDField(default=NOBODY, help_text="All zeros for none.")
    key_id = models.UUIDField(default=MASTER_KEY, help_text="All zeros for the master key.")
    user_id = models.CharField(max_length=200, blank=True, help_text="Owner of the key.")
    model = models.CharField(max_length=264, help_text="As the client asked.")
    upstream = models.CharField(max_length=63, blank=True)
    upstream_model = models.CharField(max_length=200, blank=True)
    agent = models.CharField(max_length=264, blank=True, help_text="Whose run it was a part of.")
    state = models.CharField(max_length=10, help_text="How the numbers came about, as in the ledger.")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["digest"], name="usage_group_once")]

    def __str__(self) -> str:
        return f"{self.model} {self.key_id}"


class UsageSums(models.Model):
    """What one group used in a span of time."""

    window_start = models.DateTimeField(help_text="Start of the span, UTC.")
    # The indexes below begin with what is asked for.
    group = models.ForeignKey(UsageGroup, on_delete=models.PROTECT, db_index=False, related_name="+")
    requests = models.BigIntegerField()
    errors = models.BigIntegerField(help_text="Status 400 and above, without 499: clients that left.")
    unpriced = models.BigIntegerField(help_text="Requests that used tokens of a model without a price.")
    input_tokens = models.BigIntegerField()
    output_tokens = models.BigIntegerField()
    cached_input_tokens = models.BigIntegerField(help_text="Part of the input tokens.")
    cache_write_tokens = models.BigIntegerField(help_text="Part of the input tokens.")
    reasoning_tokens = models.BigIntegerField(help_text="Part of the output tokens.")
    cost = MoneyField(help_text="US dollars; what has no price counts as nothing.")

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return f"{self.group_id} {self.window_start:%Y-%m-%d %H:%M}"


class UsageRollup(UsageSums):
    """The usage of a quarter-hour: what every time zone's days can be made of."""

    class Meta:
        constraints = [_once("usage_rollup_once", "group")]
        indexes = [
            models.Index(fields=["group", "window_start"], name="usage_rollup_group"),
            models.Index(fields=["window_start"], name="usage_rollup_at"),
        ]


class HourlyUsageRollup(UsageSums):
    """The usage of an hour, the sum of its quarter-hours."""

    class Meta:
        constraints = [_once("hourly_usage_rollup_once", "group")]
        indexes = [
            models.Index(fields=["group", "window_start"], name="hourly_usage_rollup_group"),
            # Small beside the constraint's, and in the order of the rows: who asks for some hours of a month
            # is not answered by all of it.
            models.Index(fields=["window_start"], name="hourly_usage_rollup_at"),
        ]


class DailyUsageRollup(UsageSums):
    """The usage of a UTC day, the sum of its hours: for long ranges."""

    class Meta:
        constraints = [_once("daily_usage_rollup_once", "group")]
        indexes = [models.Index(fields=["group", "window_start"], name="daily_usage_rollup_group")]


class DailyEndUserRollup(UsageSums):
    """The usage of one end user on a UTC day. There may be very many: finer spans are not kept."""

    end_user = models.CharField(max_length=256)

    class Meta:
        constraints = [_once("daily_end_user_rollup_once", "end_user", "group")]
        indexes = [
            models.Index(fields=["end_user", "window_start"], name="daily_end_user_rollup_name"),
            models.Index(fields=["group"], name="daily_end_user_rollup_group"),
        ]


class DailyTagRollup(UsageSums):
    """The usage under one tag on a UTC day. A request may have several: never to be summed over tags."""

    tag = models.CharField(max_length=256)

    class Meta:
        constraints = [_once("daily_tag_rollup_once", "tag", "group")]
        indexes = [
            models.Index(fields=["tag", "window_start"], name="daily_tag_rollup_name"),
            models.Index(fields=["group"], name="daily_tag_rollup_group"),
        ]


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


class Reconciliation(models.Model):
    """What the nightly comparison of ledger, rollups and reports found; the newest tells whether all is well.

    What differed has been computed again; `differing_after` is what still differs.
    """

    finished_at = models.DateTimeField()
    range_start = models.DateTimeField()
    range_end = models.DateTimeField()
    differing = models.PositiveIntegerField(help_text="Sums that differed; no more than 100 are counted.")
    differing_after = models.PositiveIntegerField(help_text="Those that differ though computed again.")
    examples = models.JSONField(default=list, help_text="The first of them, as texts.")

    class Meta:
        indexes = [models.Index(fields=["-finished_at"], name="reconciliation_finished")]

    def __str__(self) -> str:
        return f"{self.finished_at:%Y-%m-%d}: {self.differing}"


class RollupDay(models.Model):
    """A UTC day whose sums by end user and by tag lack quarter-hours that are summed up.

    Those sums are made from the whole day's records, so the day that is going on has them made every few
    minutes only: not before `due_at`.
    """

    day_start = models.DateTimeField(primary_key=True, help_text="Start of the day, UTC.")
    due_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.day_start:%Y-%m-%d}"
