"""Whether the first-run wizard was shown, once for the whole installation."""

from __future__ import annotations

from typing import Self

from django.db import models


class FirstRun(models.Model):
    """The one row (id 1): when an administrator was first led to the wizard."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1, editable=False)
    led_at = models.DateTimeField(null=True, blank=True)
    # Nothing writes or reads it.
    left_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name = "first run"
        constraints = [models.CheckConstraint(condition=models.Q(id=1), name="first_run_once")]

    def __str__(self) -> str:
        return "first run"

    @classmethod
    def load(cls) -> Self:
        """The row; it is made if it is missing."""
        return cls.objects.get_or_create(pk=1)[0]
