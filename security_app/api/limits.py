"""`/limits`: how often and how much at once, as rows of whomever and whatever they are."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from ninja import Query, Router, Status

from security_app.api.auth import reach_of, team_key
from security_app.api.queries import page_count, refuse_unknown_parameters
from security_app.models import Limit
from security_app.schemas.limit_rows import (
    DeletedLimit,
    LimitList,
    LimitPatch,
    LimitQuery,
    LimitRowFields,
    LimitSubject,
    NewLimit,
    ShownLimit,
)
from security_app.services import limits

router = Router(tags=["Limits"], auth=team_key)


@router.get("/limits", response=LimitList, operation_id="list_limits", summary="List limits")
def list_limits(request: HttpRequest, query: Query[LimitQuery]) -> LimitList:
    """Also those that fields such as `rpm_limit` made, the newest first."""
    refuse_unknown_parameters(request, LimitQuery)
    rows = limits.limits_of(query.subject_kind, query.subject_id, reach=reach_of(request))
    first = (query.page - 1) * query.size
    total = rows.count()
    return LimitList(
        data=[_shown(row) for row in rows[first : first + query.size]],
        total_count=total,
        current_page=query.page,
        total_pages=page_count(total, query.size),
    )


@router.post("/limits", response={201: ShownLimit}, operation_id="create_limit", summary="Add a limit")
def add_limit(request: HttpRequest, body: NewLimit) -> Status[ShownLimit]:
    """In force at once; 409 if there is one of the same subject, model, metric and window."""
    refuse_unknown_parameters(request)
    return Status(201, _shown(limits.create_limit(_values(body), reach=reach_of(request))))


@router.get("/limits/{limit_id}", response=ShownLimit, operation_id="get_limit", summary="Show a limit")
def get_limit(request: HttpRequest, limit_id: str) -> ShownLimit:
    """By its id."""
    refuse_unknown_parameters(request)
    return _shown(limits.find_limit(limit_id, reach=reach_of(request)))


@router.patch(
    "/limits/{limit_id}", response=ShownLimit, operation_id="update_limit", summary="Change a limit"
)
def patch_limit(request: HttpRequest, limit_id: str, body: LimitPatch) -> ShownLimit:
    """What is left out, or null, stays; a subject is changed as a whole."""
    refuse_unknown_parameters(request)
    return _shown(limits.change_limit(limit_id, _values(body), reach=reach_of(request)))


@router.delete(
    "/limits/{limit_id}", response=DeletedLimit, operation_id="delete_limit", summary="Delete a limit"
)
def remove_limit(request: HttpRequest, limit_id: str) -> DeletedLimit:
    """Calls are no longer bound by it."""
    refuse_unknown_parameters(request)
    return DeletedLimit(id=limits.delete_limit(limit_id, reach=reach_of(request)))


def _values(body: LimitRowFields) -> dict[str, Any]:
    given = {name: value for name, value in body.model_dump(exclude_unset=True).items() if value is not None}
    if "enabled" in given:
        given["is_enabled"] = given.pop("enabled")
    if subject := given.pop("subject", None):
        given |= {"subject_kind": subject["kind"], "subject_id": subject.get("id", "")}
    return given


def _shown(row: Limit) -> ShownLimit:
    is_momentary = row.metric == Limit.Metric.CONCURRENCY
    return ShownLimit(
        id=row.public_id,
        subject=LimitSubject(kind=row.subject_kind, id=row.subject_id),  # type: ignore[arg-type]
        model=row.model,
        metric=row.metric,  # type: ignore[arg-type]
        window_seconds=None if is_momentary else row.window_seconds,
        value=row.value,
        condition=row.condition,
        when_unavailable=row.when_unavailable,  # type: ignore[arg-type]
        enabled=row.is_enabled,
        managed_by=row.managed_by,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )
