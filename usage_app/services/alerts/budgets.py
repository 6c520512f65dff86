"""Budgets as figures that alerts can watch: how much of the amount is used, and of the soft amount."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from usage_app.models import AlertRule
from usage_app.services.alerts.measures import Figure, Measure, register_measure
from usage_app.services.budget_burn import budget_burns, percent_of

_PER = (AlertRule.Per.BUDGET,)


def _used(_rule: AlertRule, _now: datetime) -> Iterable[Figure]:
    for burn in budget_burns():
        detail = f"${burn.used:.2f} of ${burn.amount:.2f} of {burn.subject}"
        yield Figure(burn.name, burn.percent, _with_reset(detail, burn.reset))


def _soft(_rule: AlertRule, _now: datetime) -> Iterable[Figure]:
    for burn in budget_burns():
        if burn.soft_amount is not None:
            detail = f"${burn.used:.2f} of the soft ${burn.soft_amount:.2f} of {burn.subject}"
            yield Figure(burn.name, percent_of(burn.used, burn.soft_amount), _with_reset(detail, burn.reset))


def _with_reset(detail: str, reset: datetime | None) -> str:
    return detail if reset is None else f"{detail}; it begins anew at {reset:%Y-%m-%d %H:%M} UTC"


def register() -> None:
    """Have rules know of budgets; for `ready()`."""
    register_measure("budget", Measure("Budget used", "% of the amount", _PER, _used))
    register_measure("soft_budget", Measure("Soft budget used", "% of the soft amount", _PER, _soft))
