"""Soft amounts of budgets: who wants to know is told once when what was used has reached one."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import NamedTuple

from gateway_project.core.money import usd_text
from security_app.limits import Take, Window
from security_app.registry.counters import BudgetRule, Meter

logger = logging.getLogger(__name__)
_MAX_TOLD = 10_000


class SoftAmountReached(NamedTuple):
    """Which budget, whose, and how much of it is used; in nano-dollars. Only one process may know of it."""

    budget_row: str
    budget_id: str
    kind: str
    subject: str
    window: Window
    used_nano: int
    soft_nano: int
    amount_nano: int


# Called on the request path: it notes, and does its work elsewhere. It must not raise.
Listener = Callable[[SoftAmountReached], None]
_listeners: list[Listener] = []
_told: dict[tuple[str, str, Window, int], None] = {}


def listen(listener: Listener) -> None:
    """Be told of soft amounts that were reached; each process tells what its own requests meet."""
    _listeners.append(listener)


def watch(meters: Sequence[Meter], takes: Sequence[Take], remaining: Sequence[int], cost_nano: int) -> None:
    """After a call: whether what its budgets had used by then, and its own cost, reach a soft amount."""
    for meter, take, left in zip(meters, takes, remaining, strict=True):
        rule = meter.rule
        if not isinstance(rule, BudgetRule) or not rule.soft:
            continue
        used = take.counter.limit - left - take.amount + cost_nano
        if used >= rule.soft:
            _tell(rule, meter.subject, take, used)


def _tell(rule: BudgetRule, subject: str, take: Take, used: int) -> None:
    key = (rule.id, subject, take.counter.window, rule.soft)
    if key in _told:
        return
    if len(_told) >= _MAX_TOLD:
        del _told[next(iter(_told))]
    _told[key] = None
    logger.warning(
        "budget.soft_amount_reached",
        extra={
            "budget": rule.name,
            "subject_kind": rule.kind,
            "subject": subject,
            "used_usd": usd_text(max(used, 0)),
            "soft_usd": usd_text(rule.soft),
            "amount_usd": usd_text(take.counter.limit),
        },
    )
    fact = SoftAmountReached(
        rule.id, rule.name, rule.kind, subject, take.counter.window, used, rule.soft, take.counter.limit
    )
    for listener in _listeners:
        listener(fact)
