"""Budgets by name: making, changing and ending them, and what they have used."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from django.db import transaction

from gateway_project.core.errors import Conflict, InvalidRequest, NotFound
from gateway_project.core.ids import public_id, uuid7
from gateway_project.core.money import from_nano
from security_app.calendar_windows import CALENDAR, window_at
from security_app.models import Budget
from security_app.services.configuration import refresh_after_commit
from security_app.services.limit_fields import saved, set_budget_values
from security_app.services.spend import UseQuestion, used_since

_DAY_MS = 86_400_000
# Columns that have the same name in bodies. Null says nothing there.
_PLAIN = ("time_zone", "allows_unpriced", "stops_streams", "when_unavailable", "is_enabled")
_PARAMS = {"amount": "max_budget", "soft_amount": "soft_budget", "rolling_days": "budget_duration"}
_PARAMS |= {"temporary_increase": "temp_budget_increase", "temporary_until": "temp_budget_expiry"}


def create_budget(values: Mapping[str, Any]) -> Budget:
    """Make a budget; `values` are LiteLLM's fields and the subject. InvalidRequest or Conflict."""
    name = values.get("budget_id") or public_id("budget", uuid7())
    row = Budget(
        budget_id=name,
        subject_kind=values["subject_kind"],
        subject_id=values.get("subject_id", ""),
        model=values.get("model", ""),
        window=Budget.Window.LIFETIME,
    )
    if Budget.objects.filter(budget_id=name).exists():
        raise Conflict(f"There is a budget '{name}' already.", param="budget_id")
    return _written(row, values)


def change_budget(name: str, values: Mapping[str, Any]) -> Budget:
    """Change what `values` has; NotFound."""
    if values.get("max_budget", 1) is None:
        raise InvalidRequest("A budget has an amount; delete it instead.", param="max_budget")
    with transaction.atomic():
        return _written(find_budgets([name])[0], values)


def delete_budget(name: str) -> None:
    """End a budget; NotFound."""
    with transaction.atomic():
        find_budgets([name], param="id")[0].delete()
        refresh_after_commit()


def find_budgets(names: Sequence[str], *, param: str = "budget_id") -> list[Budget]:
    """Budgets in the order of their names; NotFound says which one there is not."""
    found = {row.budget_id: row for row in Budget.objects.filter(budget_id__in=names)}
    for name in names:
        if name not in found:
            raise NotFound(f"There is no budget '{name}'.", param=param)
    return [found[name] for name in names]


def reset_of(row: Budget) -> datetime | None:
    """The end of the present window; None where there is none that all calls share."""
    if row.window not in CALENDAR:
        return None
    _, end_ms = window_at(row.window, row.time_zone, int(time.time() * 1000))
    return datetime.fromtimestamp(end_ms / 1000, UTC)


def used_of(rows: Sequence[Budget]) -> list[Decimal | None]:
    """What each has used by the ledger; None for one that each subject has for itself."""
    asked = [row for row in rows if row.subject_id]
    used = iter(used_since([question_of(row) for row in asked]))
    return [from_nano(next(used)) if row.subject_id else None for row in rows]


def question_of(row: Budget) -> UseQuestion:
    """What to ask of the ledger for the present window of a budget of one subject."""
    start_ms: int | None = None
    end_ms: int | None = None
    if row.window in CALENDAR:
        start_ms, end_ms = window_at(row.window, row.time_zone, int(time.time() * 1000))
    elif row.rolling_days:
        start_ms = -row.rolling_days * _DAY_MS
    return UseQuestion(row.subject_kind, row.subject_id, row.model, "cost", start_ms, end_ms)


def _written(row: Budget, values: Mapping[str, Any]) -> Budget:
    set_budget_values(row, values)
    for name in _PLAIN:
        if values.get(name) is not None:
            setattr(row, name, values[name])
    with transaction.atomic():
        saved(row, params=_PARAMS)
        refresh_after_commit()
    return row
