"""How far budgets are used up, for pages and alerts; the counters that refuse requests are elsewhere."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import NamedTuple
from uuid import UUID

from django.core.cache import cache

from security_app.models import Budget
from security_app.services.budgets import reset_of, used_of

MAX_BUDGETS = 200
_KEPT_S = 60
_CACHED = "budget-burn"


class Burn(NamedTuple):
    """A budget of one subject in its present window; money in US dollars, `percent` of the amount."""

    id: UUID
    name: str
    subject: str
    used: Decimal
    amount: Decimal
    soft_amount: Decimal | None
    reset: datetime | None

    @property
    def percent(self) -> Decimal:
        """How much of the amount is used; beyond 100 if calls cost more than was reserved for them."""
        return percent_of(self.used, self.amount)


def percent_of(used: Decimal, amount: Decimal) -> Decimal:
    """To a hundredth, rounded down: 100 means that all of it is used."""
    return Decimal(int(used * 10_000 / amount)) / 100 if amount else Decimal(0)


def budget_burns() -> list[Burn]:
    """Budgets of named subjects, those that are used up most first; as of the last minute.

    A budget that each subject has for itself has no one figure. At most `MAX_BUDGETS`, the oldest.
    """
    found: list[Burn] | None = cache.get(_CACHED)
    if found is None:
        found = sorted(_burns(), key=lambda burn: burn.percent, reverse=True)
        cache.set(_CACHED, found, timeout=_KEPT_S)
    return found


def _burns() -> list[Burn]:
    rows = list(Budget.objects.filter(is_enabled=True).exclude(subject_id="").order_by("pk")[:MAX_BUDGETS])
    return [
        Burn(row.pk, row.budget_id, row.subject_text(), used, row.amount_at(), row.soft_amount, reset_of(row))
        for row, used in zip(rows, used_of(rows), strict=True)
        if used is not None
    ]
