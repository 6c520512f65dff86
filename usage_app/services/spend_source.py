"""What security_app may ask the ledger: the use of keys, and what counts against limits and budgets."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from decimal import Decimal
from uuid import UUID

from security_app.services.spend import KeyUsage, UseQuestion
from usage_app.models import KeyUse
from usage_app.services.window_use import used_since


class LedgerSource:
    """The ledger as a SpendSource."""

    def key_usage(self, key_ids: Collection[UUID]) -> Mapping[UUID, KeyUsage]:
        """As the flusher counts it."""
        rows = KeyUse.objects.filter(key_id__in=key_ids).values_list(
            "key_id", "cost", "requests", "last_used_at"
        )
        return {
            key_id: KeyUsage(Decimal(cost), requests, last_used_at)
            for key_id, cost, requests, last_used_at in rows
        }

    def used_since(self, questions: Sequence[UseQuestion]) -> Sequence[int]:
        """From the records, after all that waits in journals here was stored."""
        return used_since(questions)
