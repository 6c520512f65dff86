"""Budgets by name: making, changing and ending them, and what they have used."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet

from gateway_project.core.errors import Conflict, InvalidRequest, NotFound, PermissionDenied
from gateway_project.core.ids import public_id, uuid7
from gateway_project.core.money import from_nano
from security_app.calendar_windows import CALENDAR, window_at
from security_app.models import Budget, ConfigVersion
from security_app.services.configuration import refresh_after_commit
from security_app.services.limit_fields import saved, set_budget_values
from security_app.services.spend import UseQuestion, used_since
from security_app.services.team_rights import (
    Bounded,
    Reach,
    bounds_made_by_teams,
    bounds_of_teams,
    find_bounded,
    require_room,
)

# What a team admin says of a budget, beside whose it is.
_OF_TEAM = frozenset(
    {
        "max_budget",
        "budget_duration",
        "temp_budget_increase",
        "temp_budget_expiry",
        "time_zone",
        "allows_unpriced",
        "stops_streams",
        "is_enabled",
    }
)
_DAY_MS = 86_400_000
# Columns that have the same name in bodies. Null says nothing there.
_PLAIN = ("time_zone", "allows_unpriced", "stops_streams", "when_unavailable", "is_enabled")
_PARAMS = {"amount": "max_budget", "soft_amount": "soft_budget", "rolling_days": "budget_duration"}
_PARAMS |= {"temporary_increase": "temp_budget_increase", "temporary_until": "temp_budget_expiry"}


def create_budget(values: Mapping[str, Any], *, reach: Reach = None) -> Budget:
    """Make a budget; `values` are LiteLLM's fields and the subject. InvalidRequest or Conflict.

    Within a reach of teams only one of a key or a member of theirs, or PermissionDenied.
    """
    managed_by, subject_id = "admin", values.get("subject_id", "")
    if reach is not None:
        bounded = _bounded(values, reach)
        managed_by, subject_id = bounded.mark, bounded.subject
    name = values.get("budget_id") or public_id("budget", uuid7())
    row = Budget(
        budget_id=name,
        subject_kind=values["subject_kind"],
        subject_id=subject_id,
        model=values.get("model", ""),
        window=Budget.Window.LIFETIME,
    )
    if Budget.objects.filter(budget_id=name).exists():
        raise Conflict(f"There is a budget '{name}' already.", param="budget_id")
    return _written(row, values, managed_by=managed_by)


def change_budget(name: str, values: Mapping[str, Any], *, reach: Reach = None) -> Budget:
    """Change what `values` has; NotFound, within a reach of teams PermissionDenied."""
    if reach is not None:
        _require_of_team(values, _OF_TEAM)
    if values.get("max_budget", 1) is None:
        raise InvalidRequest("A budget has an amount; delete it instead.", param="max_budget")
    with transaction.atomic():
        # Two changes of a row come one after the other, and one that goes meanwhile does not come back.
        ConfigVersion.lock()
        (row,) = find_budgets([name], reach=reach, changes=True)
        return _written(row, values, managed_by="admin" if reach is None else row.managed_by)


def delete_budget(name: str, *, reach: Reach = None) -> None:
    """End a budget; NotFound, within a reach of teams PermissionDenied."""
    with transaction.atomic():
        ConfigVersion.lock()
        find_budgets([name], param="id", reach=reach, changes=True)[0].delete()
        refresh_after_commit()


def budgets_within(reach: Reach, *, changes: bool = False) -> QuerySet[Budget]:
    """All budgets, or those that a team admin may see, or change."""
    rows: QuerySet[Budget] = Budget.objects.all()
    if reach is None:
        return rows
    return rows.filter(bounds_made_by_teams(reach) if changes else bounds_of_teams(reach))


def find_budgets(
    names: Sequence[str], *, param: str = "budget_id", reach: Reach = None, changes: bool = False
) -> list[Budget]:
    """Budgets in the order of their names; NotFound says which one there is not.

    Within a reach of teams PermissionDenied for all that may not be seen, or changed, or is not there.
    """
    rows = budgets_within(reach, changes=changes).filter(budget_id__in=names)
    found = {row.budget_id: row for row in rows}
    for name in names:
        if name not in found and reach is not None:
            raise PermissionDenied("This is no budget that this key may use so.", param=param)
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


def _bounded(values: Mapping[str, Any], reach: Collection[UUID]) -> Bounded:
    """Whom the new row is of; PermissionDenied unless it is of a key or a member of these teams."""
    _require_of_team(values, _OF_TEAM | {"subject_kind", "subject_id", "model"})
    bounded = find_bounded(
        str(values.get("subject_kind")), str(values.get("subject_id", "")), reach, param="subject_id"
    )
    require_room(Budget, bounded)
    return bounded


def _require_of_team(values: Mapping[str, Any], known: Collection[str]) -> None:
    for name in values:
        # Names are everybody's, and alerts the administrators'.
        if name not in known:
            raise PermissionDenied("An administrator sets this.", param=name)


def _written(row: Budget, values: Mapping[str, Any], *, managed_by: str) -> Budget:
    set_budget_values(row, values)
    for name in _PLAIN:
        if values.get(name) is not None:
            setattr(row, name, values[name])
    with transaction.atomic():
        saved(row, params=_PARAMS, managed_by=managed_by)
        refresh_after_commit()
    return row
