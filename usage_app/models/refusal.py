"""Calls that limits and budgets refused: they cost nothing and are no records, but alerts watch them."""

from __future__ import annotations

from django.db import models

from usage_app.models.rollup import MASTER_KEY


class RefusedCalls(models.Model):
    """How many calls of one key a process refused in a minute, for one reason; the id is its line's."""

    id = models.UUIDField(primary_key=True, editable=False)
    at = models.DateTimeField(help_text="The first of them.")
    reason = models.CharField(max_length=64, help_text="limit or budget.")
    key_id = models.UUIDField(
        default=MASTER_KEY, help_text="All zeros for the master key, and for many together."
    )
    calls = models.BigIntegerField()

    class Meta:
        verbose_name_plural = "refused calls"
        indexes = [models.Index(fields=["reason", "at"], name="refused_calls_reason_at")]

    def __str__(self) -> str:
        return f"{self.calls} by {self.reason}"
