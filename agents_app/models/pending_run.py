"""Runs that wait for their client's tools: what they need to go on, encrypted, for a while."""

from __future__ import annotations

from django.db import models

from security_app.models.secret import seal, unseal

_LABEL = "agents_app.pending_run"


class PendingRun(models.Model):
    """One run that ended in calls of the client's tools. `id` stands for the request that goes on with it.

    It is a fact of runs, no configuration; a key has no row to refer to if it is the master key.
    """

    id = models.CharField(max_length=64, primary_key=True, editable=False)
    key_id = models.UUIDField(null=True, editable=False)
    agent = models.CharField(max_length=200, editable=False)
    state = models.TextField(editable=False)
    # The row that this run went on from, "" if from none.
    previous_id = models.CharField(max_length=64, blank=True, editable=False)
    created_at = models.DateTimeField(editable=False)
    expires_at = models.DateTimeField(editable=False)

    class Meta:
        indexes = [
            models.Index(fields=["key_id", "created_at"], name="pending_run_by_key"),
            models.Index(fields=["expires_at"], name="pending_run_by_expiry"),
        ]

    def __str__(self) -> str:
        return self.id

    @staticmethod
    def sealed(state: str, *, row_id: str) -> str:
        """A state as the column holds it: encrypted, and bound to its row."""
        return seal(state, label=_LABEL, row_id=row_id)

    def opened_state(self) -> str:
        """The state; DecryptionError if the ring or the row is another."""
        return unseal(self.state, label=_LABEL, row_id=self.id)
