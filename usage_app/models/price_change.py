"""What a catalogue says of a price that we don't: a proposal, which somebody takes or dismisses."""

from __future__ import annotations

from django.db import models

from gateway_project.core.ids import public_id, uuid7


class PriceChange(models.Model):
    """A row that the catalogue would have in our prices. Nothing costs otherwise until it is approved.

    `rates` and `before` are columns of `Price` as JSON; `rates` is empty where the catalogue has the model no
    more, `before` where it is new.
    """

    class Kind(models.TextChoices):
        """What is different."""

        NEW = "new", "New"
        CHANGED = "changed", "Changed"
        REMOVED = "removed", "Removed"

    class State(models.TextChoices):
        """What became of it."""

        OPEN = "open", "To decide"
        APPROVED = "approved", "Approved"
        DISMISSED = "dismissed", "Dismissed"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    model = models.CharField(max_length=264, help_text="Model id, as upstream/model.")
    kind = models.CharField(max_length=8, choices=Kind.choices)
    state = models.CharField(max_length=9, choices=State.choices, default=State.OPEN)
    valid_from = models.DateTimeField(null=True, help_text="Empty: from its approval on.")
    rates = models.JSONField(default=dict)
    before = models.JSONField(default=dict)
    largest_change = models.DecimalField(
        max_digits=12, decimal_places=1, null=True, help_text="Of all rates, in percent."
    )
    listed_as = models.CharField(max_length=300, help_text="What the catalogue calls it.")
    catalogue = models.CharField(max_length=100, help_text="Which data it is from.")
    found_at = models.DateTimeField()
    decided_at = models.DateTimeField(null=True)
    decided_by = models.CharField(max_length=200, blank=True)

    class Meta:
        ordering = ("model", "valid_from", "-id")
        indexes = [
            models.Index(fields=["state", "model"], name="price_change_state"),
            models.Index(fields=["decided_at"], name="price_change_decided"),
        ]

    def __str__(self) -> str:
        return f"{self.model}: {self.get_kind_display().lower()}"

    @property
    def public_id(self) -> str:
        """The id that the API shows."""
        return public_id("price_change", self.pk)
