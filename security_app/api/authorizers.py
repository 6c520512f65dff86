"""`/authorizer/*`: who else is asked whether something is allowed."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from ninja import Query, Router

from gateway_project.core.errors import InvalidRequest
from security_app.api.auth import actor_name, admin_key
from security_app.api.queries import refuse_unknown_parameters
from security_app.models import ExternalAuthorizer
from security_app.schemas.authorizers import (
    AuthorizerFields,
    AuthorizerNew,
    AuthorizerReference,
    AuthorizerRow,
    AuthorizerTrial,
    AuthorizerUpdate,
    DeletedAuthorizer,
)
from security_app.schemas.base import ListQuery
from security_app.services import authorizers
from security_app.services.people import page_of

router = Router(tags=["External authorizers"], auth=admin_key)


@router.post(
    "/authorizer/new",
    response=AuthorizerRow,
    operation_id="new_authorizer",
    summary="Make an external authorizer",
)
def new_authorizer(request: HttpRequest, body: AuthorizerNew) -> AuthorizerRow:
    """It is asked from now on, wherever the gateway itself has allowed something."""
    return _row(authorizers.create_authorizer(actor=actor_name(request), **_values(body)))


@router.get(
    "/authorizer/list",
    response=list[AuthorizerRow],
    operation_id="list_authorizers",
    summary="List external authorizers",
)
def list_authorizers(request: HttpRequest, query: Query[ListQuery]) -> list[AuthorizerRow]:
    """By name."""
    refuse_unknown_parameters(request, ListQuery)
    rows = ExternalAuthorizer.objects.order_by("name")
    return [_row(row) for row in page_of(rows, page=query.page, size=query.page_size).rows]


@router.post(
    "/authorizer/update",
    response=AuthorizerRow,
    operation_id="update_authorizer",
    summary="Change an external authorizer",
)
def update_authorizer(request: HttpRequest, body: AuthorizerUpdate) -> AuthorizerRow:
    """What is left out stays, the secret too."""
    row = authorizers.find_authorizer(body.authorizer)
    values = _values(body)
    if not values:
        raise InvalidRequest("There is nothing to change: give at least one field beside 'authorizer'.")
    return _row(authorizers.update_authorizer(row, actor=actor_name(request), **values))


@router.post(
    "/authorizer/delete",
    response=DeletedAuthorizer,
    operation_id="delete_authorizer",
    summary="Delete an external authorizer",
)
def delete_authorizer(request: HttpRequest, body: AuthorizerReference) -> DeletedAuthorizer:
    """Nobody asks it any more."""
    row = authorizers.find_authorizer(body.authorizer)
    deleted = row.public_id
    authorizers.delete_authorizer(row, actor=actor_name(request))
    return DeletedAuthorizer(deleted=deleted)


@router.post(
    "/authorizer/test",
    response=AuthorizerTrial,
    operation_id="test_authorizer",
    summary="Ask an external authorizer now",
)
def test_authorizer(request: HttpRequest, body: AuthorizerReference) -> AuthorizerTrial:
    """For nobody about nothing, also while it is off. One that does not answer is no error of this route."""
    row = authorizers.find_authorizer(body.authorizer)
    trial = authorizers.try_authorizer(row)
    return AuthorizerTrial(
        authorizer=row.name,
        answered=trial.is_answered,
        allowed=trial.is_allowed,
        message=trial.text,
        latency_ms=trial.latency_ms,
    )


def _values(body: AuthorizerFields) -> dict[str, Any]:
    names = {"enabled": "is_enabled"}
    return {
        names.get(name, name): value for name, value in body if value is not None and name != "authorizer"
    }


def _row(row: ExternalAuthorizer) -> AuthorizerRow:
    return AuthorizerRow(
        authorizer=row.public_id,
        name=row.name,
        enabled=row.is_enabled,
        url=row.url,
        asked_about=row.asked_about,
        sends=row.sends,
        timeout_ms=row.timeout_ms,
        when_unavailable=row.when_unavailable,
        cache_s=row.cache_s,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )
