"""`/budget/*`: budgets by name, in LiteLLM's shapes; ours say themselves whose calls they are for."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from ninja import Query, Router

from security_app.api.auth import reach_of, team_key
from security_app.api.queries import refuse_unknown_parameters
from security_app.models import Budget
from security_app.schemas.base import ListQuery
from security_app.schemas.limits import (
    BudgetDelete,
    BudgetFields,
    BudgetNew,
    BudgetQuery,
    BudgetReferences,
    BudgetRow,
    BudgetSetting,
    BudgetUpdate,
    UsedBudgetRow,
)
from security_app.services import budgets
from security_app.services.limit_fields import duration_of

router = Router(tags=["Budgets"], auth=team_key)


@router.post("/budget/new", response=BudgetRow, operation_id="new_budget", summary="Make a budget")
def new_budget(request: HttpRequest, body: BudgetNew) -> BudgetRow:
    """It acts in all processes within two seconds."""
    return BudgetRow(
        **_row(budgets.create_budget(body.model_dump(exclude_unset=True), reach=reach_of(request)))
    )


@router.post("/budget/update", response=BudgetRow, operation_id="update_budget", summary="Change a budget")
def update_budget(request: HttpRequest, body: BudgetUpdate) -> BudgetRow:
    """What is left out stays, and so does what was spent."""
    values = body.model_dump(exclude_unset=True)
    return BudgetRow(**_row(budgets.change_budget(values.pop("budget_id"), values, reach=reach_of(request))))


@router.post("/budget/info", response=list[UsedBudgetRow], operation_id="budget_info", summary="Show budgets")
def budget_info(request: HttpRequest, body: BudgetReferences) -> list[UsedBudgetRow]:
    """With what their windows have used so far, by the ledger."""
    return _used(budgets.find_budgets(body.budgets, param="budgets", reach=reach_of(request)))


@router.post("/budget/delete", operation_id="delete_budget", summary="Delete a budget")
def delete_budget(request: HttpRequest, body: BudgetDelete) -> dict[str, str]:
    """Calls are no longer bound by it."""
    budgets.delete_budget(body.id, reach=reach_of(request))
    return {"deleted_budget": body.id}


@router.get("/budget/list", response=list[BudgetRow], operation_id="list_budgets", summary="List budgets")
def list_budgets(request: HttpRequest, query: Query[ListQuery]) -> list[BudgetRow]:
    """By name."""
    refuse_unknown_parameters(request, ListQuery)
    first = (query.page - 1) * query.page_size
    rows = budgets.budgets_within(reach_of(request)).order_by("budget_id")[first : first + query.page_size]
    return [BudgetRow(**_row(row)) for row in rows]


@router.get(
    "/budget/settings",
    response=list[BudgetSetting],
    operation_id="budget_settings",
    summary="Describe the fields of a budget",
)
def budget_settings(request: HttpRequest, query: Query[BudgetQuery]) -> list[BudgetSetting]:
    """What can be changed, and what it is now."""
    refuse_unknown_parameters(request, BudgetQuery)
    shown = _row(budgets.find_budgets([query.budget_id], reach=reach_of(request))[0])
    properties = BudgetFields.model_json_schema()["properties"]
    return [
        BudgetSetting(
            field_name=name,
            field_type=_type(properties[name]),
            field_value=shown[name],
            field_description=field.description or "",
            stored_in_db=shown[name] is not None,
        )
        for name, field in BudgetFields.model_fields.items()
    ]


def _type(schema: dict[str, Any]) -> str:
    """LiteLLM's words, which are Python's."""
    first: dict[str, Any] = next(
        (one for one in schema.get("anyOf", [schema]) if one.get("type") != "null"), {}
    )
    inner = next(iter(first.get("anyOf", [first])), first)
    return {"number": "Float", "boolean": "Boolean"}.get(str(inner.get("type")), "String")


def _used(rows: list[Budget]) -> list[UsedBudgetRow]:
    pairs = zip(rows, budgets.used_of(rows), strict=True)
    return [UsedBudgetRow(**_row(row), spend=used) for row, used in pairs]


def _row(row: Budget) -> dict[str, Any]:
    return {
        "budget_id": row.budget_id,
        "subject_kind": row.subject_kind,
        "subject_id": row.subject_id,
        "model": row.model,
        "max_budget": row.amount,
        "soft_budget": row.soft_amount,
        "budget_duration": duration_of(row),
        "time_zone": row.time_zone,
        "budget_reset_at": budgets.reset_of(row),
        "temp_budget_increase": row.temporary_increase,
        "temp_budget_expiry": row.temporary_until,
        "allows_unpriced": row.allows_unpriced,
        "stops_streams": row.stops_streams,
        "when_unavailable": row.when_unavailable,
        "is_enabled": row.is_enabled,
        "created_at": row.created_at,
        "updated_at": row.updated_at,
    }
