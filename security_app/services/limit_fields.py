"""LiteLLM's fields of limits and budgets, of whoever has them: keys, teams, users, customers.

    apply_limits("team", team.id.hex, limit_values(body))    in the caller's transaction
    limit_rows("team", [team.id.hex])[team.id.hex]           for answers
    remove_limits("team", [team.id.hex])                     when it is deleted

They become rows of Limit and Budget of that subject, which the admin shows as well.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.db.models import Model, QuerySet

from gateway_project.core.errors import Conflict, InvalidRequest
from security_app.models import Budget, ContentPolicy, Limit
from security_app.schemas.limits import LimitFields
from security_app.services.configuration import refresh_after_commit

FIELDS = frozenset(LimitFields.model_fields)
_MINUTE_S = 60
_LIMITS = {"tpm_limit": "tokens", "rpm_limit": "requests", "max_parallel_requests": "concurrency"}
_MODEL_LIMITS = {"model_tpm_limit": "tokens", "model_rpm_limit": "requests"}
_OF_BUDGET = (
    "max_budget",
    "soft_budget",
    "budget_duration",
    "temp_budget_increase",
    "temp_budget_expiry",
)
# LiteLLM resets these with the calendar, whatever their number of days says.
_CALENDAR = {
    "1d": "day",
    "24h": "day",
    "7d": "week",
    "1w": "week",
    "30d": "month",
    "1mo": "month",
    "365d": "year",
    "1y": "year",
}
_SHOWN = {"day": "1d", "week": "7d", "month": "1mo", "year": "1y"}
_PARAMS = {"amount": "max_budget", "soft_amount": "soft_budget", "rolling_days": "budget_duration"}
_PARAMS |= {"temporary_increase": "temp_budget_increase", "temporary_until": "temp_budget_expiry"}


def limit_values(body: LimitFields) -> dict[str, Any]:
    """What a body says of limits and budgets."""
    return body.model_dump(include=set(FIELDS), exclude_unset=True)


def apply_limits(kind: str, subject: str, values: Mapping[str, Any]) -> bool:
    """Make the subject's rows what these fields say; whether there was anything to do.

    Fields that are missing change nothing, null removes. Call it inside of the transaction that writes the
    subject. InvalidRequest names the field.
    """
    wanted = {name: value for name, value in values.items() if name in FIELDS}
    if not wanted:
        return False
    with transaction.atomic():
        for name, metric in _LIMITS.items():
            if name in wanted:
                _set_limits(kind, subject, metric, {} if wanted[name] is None else {"": wanted[name]}, name)
        for name, metric in _MODEL_LIMITS.items():
            if name in wanted:
                _set_limits(kind, subject, metric, wanted[name] or {}, name, of_models=True)
        if any(name in wanted for name in _OF_BUDGET):
            _set_budget(kind, subject, wanted)
        if "budget_limits" in wanted:
            _set_windows(kind, subject, wanted["budget_limits"] or [])
        if "model_max_budget" in wanted:
            _set_model_budgets(kind, subject, wanted["model_max_budget"] or {})
        refresh_after_commit()
    return True


def remove_limits(kind: str, subjects: Collection[str]) -> None:
    """The subjects are gone, and their limits, budgets and content policies with them."""
    for rows in (Limit.objects, Budget.objects, ContentPolicy.objects):
        found = rows.filter(subject_kind=kind, subject_id__in=subjects)
        if found.exists():
            found.delete()
            refresh_after_commit()


def remove_member_limits(
    *, team_ids: Collection[UUID] | None = None, user_ids: Collection[str] | None = None
) -> None:
    """Members of these teams, or these users as members, are gone; with both, these users in these teams."""
    teams = None if team_ids is None else {team_id.hex for team_id in team_ids}
    gone = {
        subject
        for rows in (Limit.objects, Budget.objects)
        for subject in rows.filter(subject_kind="member").values_list("subject_id", flat=True)
        if (teams is None or subject.partition(":")[0] in teams)
        and (user_ids is None or subject.partition(":")[2] in user_ids)
        and subject
    }
    if gone:
        remove_limits("member", gone)


def limit_rows(kind: str, subjects: Iterable[str]) -> dict[str, dict[str, Any]]:
    """LiteLLM's fields of each subject as far as they are in force, in two queries for all of them."""
    found: dict[str, dict[str, Any]] = {subject: {} for subject in subjects}
    by_metric = {metric: name for name, metric in _LIMITS.items()}
    of_models = {metric: name for name, metric in _MODEL_LIMITS.items()}
    in_force = {"subject_kind": kind, "subject_id__in": found, "is_enabled": True}
    for row in Limit.objects.filter(**in_force, window_seconds=_MINUTE_S, condition=""):
        if row.model and row.metric in of_models:
            found[row.subject_id].setdefault(of_models[row.metric], {})[row.model] = row.value
        elif not row.model and row.metric in by_metric:
            found[row.subject_id][by_metric[row.metric]] = row.value
    for budget in Budget.objects.filter(**in_force).order_by("id"):
        _show_budget(found[budget.subject_id], budget)
    return found


def window_of(duration: str | None, *, param: str = "budget_duration") -> tuple[str, int | None]:
    """The window of a duration in LiteLLM's form, and its days if it is a rolling one."""
    if duration is None:
        return "lifetime", None
    if duration in _CALENDAR:
        return _CALENDAR[duration], None
    if duration.endswith("d") and duration[:-1].isascii() and duration[:-1].isdigit():
        return "rolling", int(duration[:-1][:9])
    raise InvalidRequest(
        f"'{duration[:20]}' is not a duration of whole days such as 1d, 7d, 30d, 90d or 1mo.", param=param
    )


def duration_of(row: Budget) -> str | None:
    """The inverse of `window_of`."""
    return f"{row.rolling_days}d" if row.window == Budget.Window.ROLLING else _SHOWN.get(row.window)


def saved(row: Budget | Limit, *, params: Mapping[str, str], managed_by: str = "admin") -> None:
    """Check and save a row as its administrators'; or as `managed_by` says.

    InvalidRequest names the field by `params`, Conflict a row that is there.
    """
    row.managed_by = managed_by
    try:
        row.full_clean(validate_unique=False, validate_constraints=False)
        with transaction.atomic():
            row.save()
    except ValidationError as error:
        field, messages = next(iter(error.message_dict.items()))
        raise InvalidRequest(messages[0], param=params.get(field, field)) from error
    except IntegrityError as error:
        raise Conflict("There is such a row already.", param=params.get("id")) from error


def main_budget_id(kind: str, subject: str) -> str:
    """The name of the budget that `max_budget` is about."""
    return f"{kind}:{subject}"


def _set_limits(
    kind: str, subject: str, metric: str, by_model: Mapping[str, int], param: str, *, of_models: bool = False
) -> None:
    rows = Limit.objects.filter(
        subject_kind=kind, subject_id=subject, metric=metric, window_seconds=_MINUTE_S, condition=""
    )
    rows = rows.exclude(model="") if of_models else rows.filter(model="")
    there = {row.model: row for row in rows}
    for model, value in by_model.items():
        if of_models and not model.strip():
            raise InvalidRequest("A model's id is empty.", param=param)
        row = there.pop(model.strip(), None) or Limit(
            subject_kind=kind, subject_id=subject, metric=metric, model=model, window_seconds=_MINUTE_S
        )
        row.value, row.is_enabled = value, True
        saved(row, params={"value": param, "model": param})
    _delete(there.values())


def _set_budget(kind: str, subject: str, wanted: Mapping[str, Any]) -> None:
    name = main_budget_id(kind, subject)
    row = _budgets_of(kind, subject).filter(budget_id=name).first()
    if wanted.get("max_budget", "stays") is None:
        _delete([row] if row is not None else [])
        if any(wanted.get(field) is not None for field in _OF_BUDGET):
            raise InvalidRequest("Without 'max_budget' there is no budget.", param="max_budget")
        return
    if row is None:
        if all(wanted[field] is None for field in _OF_BUDGET if field in wanted):
            return
        if "max_budget" not in wanted:
            raise InvalidRequest("There is no budget yet: give 'max_budget'.", param="max_budget")
        row = Budget(budget_id=name, subject_kind=kind, subject_id=subject, window="lifetime")
    set_budget_values(row, wanted)
    # As for limits: who gives an amount wants it in force.
    row.is_enabled = row.is_enabled or "max_budget" in wanted
    saved(row, params=_PARAMS)


def set_budget_values(row: Budget, wanted: Mapping[str, Any]) -> None:
    """LiteLLM's fields of one budget onto its row."""
    if "max_budget" in wanted:
        row.amount = wanted["max_budget"]
    if "soft_budget" in wanted:
        row.soft_amount = wanted["soft_budget"]
    if "budget_duration" in wanted:
        row.window, row.rolling_days = window_of(wanted["budget_duration"])
    if "temp_budget_increase" in wanted:
        row.temporary_increase = wanted["temp_budget_increase"]
    if "temp_budget_expiry" in wanted:
        row.temporary_until = wanted["temp_budget_expiry"]


def _budgets_of(kind: str, subject: str) -> QuerySet[Budget]:
    """A name alone does not tell whose it is: users choose their ids, and SQLite takes a for A."""
    rows: QuerySet[Budget] = Budget.objects.filter(subject_kind=kind, subject_id=subject)
    return rows


def _set_windows(kind: str, subject: str, windows: Iterable[Mapping[str, Any]]) -> None:
    prefix = main_budget_id(kind, subject) + ":every:"
    there = {row.budget_id: row for row in _budgets_of(kind, subject).filter(budget_id__startswith=prefix)}
    for item in windows:
        name = prefix + str(item["budget_duration"])[:20]
        row = there.pop(name, None) or Budget(budget_id=name, subject_kind=kind, subject_id=subject)
        row.window, row.rolling_days = window_of(item["budget_duration"], param="budget_limits")
        row.amount = item["max_budget"]
        row.is_enabled = True
        saved(row, params=dict.fromkeys(("amount", "rolling_days"), "budget_limits"))
    _delete(there.values())


def _set_model_budgets(kind: str, subject: str, by_model: Mapping[str, Mapping[str, Any]]) -> None:
    prefix = main_budget_id(kind, subject) + ":model:"
    there = {row.model: row for row in _budgets_of(kind, subject).filter(budget_id__startswith=prefix)}
    for model, item in by_model.items():
        if not model.strip():
            raise InvalidRequest("A model's id is empty.", param="model_max_budget")
        row = there.pop(model, None) or Budget(
            budget_id=(prefix + model)[:200], subject_kind=kind, subject_id=subject, model=model
        )
        row.window, row.rolling_days = window_of(item.get("time_period", "30d"), param="model_max_budget")
        row.amount = item["budget_limit"]
        row.is_enabled = True
        saved(row, params=dict.fromkeys(("amount", "model", "rolling_days"), "model_max_budget"))
    _delete(there.values())


def _show_budget(fields: dict[str, Any], row: Budget) -> None:
    base = main_budget_id(row.subject_kind, row.subject_id)
    if row.budget_id == base:
        fields |= {
            "max_budget": row.amount,
            "soft_budget": row.soft_amount,
            "budget_duration": duration_of(row),
            "temp_budget_increase": row.temporary_increase,
            "temp_budget_expiry": row.temporary_until,
        }
    elif row.budget_id.startswith(base + ":every:"):
        item = {"budget_duration": duration_of(row), "max_budget": row.amount}
        fields.setdefault("budget_limits", []).append(item)
    elif row.budget_id.startswith(base + ":model:"):
        item = {"budget_limit": row.amount, "time_period": duration_of(row)}
        fields.setdefault("model_max_budget", {})[row.model] = item


def _delete(rows: Iterable[Model]) -> None:
    for row in rows:
        row.delete()
