"""How far budgets are used up, for pages and alerts; the counters that refuse requests are elsewhere."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import NamedTuple
from uuid import UUID

from django.core.cache import cache

from gateway_project.core.clock import utc_now
from gateway_project.core.money import from_nano
from security_app.models import Budget
from security_app.services.budgets import question_of, reset_of, used_of
from security_app.services.subject_names import subject_names
from usage_app.services.rollups import WINDOW, window_of
from usage_app.services.usage_sums import UsageQuery, usage_sums
from usage_app.services.window_use import model_matcher

MAX_BUDGETS = 200
_MAX_OTHERS = 10
# What rollups of every width know.
_ROLLED_UP = ("key", "team", "organization", "user", "model", "agent")
# A budget for ever: rollups go back so far, and one question too.
_LONGEST = timedelta(days=1000)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
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
    """Budgets of named subjects, those that are used up most first; as the rollups know it.

    A budget that each subject has for itself has no one figure. At most `MAX_BUDGETS`, the oldest.
    """
    found: list[Burn] | None = cache.get(_CACHED)
    if found is None:
        found = sorted(_burns(), key=lambda burn: burn.percent, reverse=True)
        cache.set(_CACHED, found, timeout=_KEPT_S)
    return found


def _burns() -> list[Burn]:
    budgets = Budget.objects.filter(is_enabled=True).exclude(subject_id="").order_by("pk")
    rolled_up = list(budgets.filter(subject_kind__in=_ROLLED_UP)[:MAX_BUDGETS])
    # Each of these reads records.
    others = list(budgets.exclude(subject_kind__in=_ROLLED_UP)[:_MAX_OTHERS])
    used = {row.pk: amount or Decimal(0) for row, amount in zip(others, used_of(others), strict=True)}
    used |= _used_by_rollups(rolled_up)
    names = subject_names((row.subject_kind, row.subject_id) for row in (*rolled_up, *others))
    return [
        Burn(
            row.pk,
            row.budget_id,
            row.subject_text(names[row.subject_kind, row.subject_id]),
            used[row.pk],
            row.amount_at(),
            row.soft_amount,
            reset_of(row),
        )
        for row in (*rolled_up, *others)
    ]


def _used_by_rollups(rows: Sequence[Budget]) -> dict[UUID, Decimal]:
    """What each has used: one question for all budgets of a kind that have the same window."""
    windows: dict[tuple[str, datetime], list[Budget]] = defaultdict(list)
    for row in rows:
        windows[row.subject_kind, _window_start(row)].append(row)
    found: dict[UUID, Decimal] = {}
    for (kind, start), members in windows.items():
        group_by = ("model", "agent") if kind in ("model", "agent") else (kind, "model", "agent")
        subjects = tuple({row.subject_id for row in members})
        query = UsageQuery(start, window_of(utc_now()) + WINDOW, group_by=group_by, filters={kind: subjects})
        sums = list(usage_sums(query))
        for row in members:
            matches, place = model_matcher(row.model), group_by.index(kind)
            nano = sum(
                one.cost_nano
                for one in sums
                if one.group[place] == row.subject_id and matches(*one.group[-2:])
            )
            found[row.pk] = from_nano(nano)
    return found


def _window_start(row: Budget) -> datetime:
    start_ms = question_of(row).start_ms
    now = utc_now()
    if start_ms is None:
        return window_of(now - _LONGEST)
    moment = (
        now + timedelta(milliseconds=start_ms) if start_ms < 0 else _EPOCH + timedelta(milliseconds=start_ms)
    )
    return window_of(moment)
