"""`/token_issuer/*`: who signs the tokens that tell end users."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from ninja import Query, Router

from gateway_project.core.errors import InvalidRequest
from security_app.api.auth import actor_name, admin_key
from security_app.api.queries import refuse_unknown_parameters
from security_app.models import TokenIssuer
from security_app.registry.jwks import public_keys
from security_app.schemas.base import ListQuery
from security_app.schemas.issuers import (
    DeletedIssuer,
    IssuerFields,
    IssuerNew,
    IssuerReference,
    IssuerRow,
    IssuerUpdate,
)
from security_app.services import issuers
from security_app.services.people import page_of

router = Router(tags=["Token issuers"], auth=admin_key)
_FIELDS = ("name", "issuer", "audience", "header", "claim", "secret", "jwks_url")


@router.post("/token_issuer/new", response=IssuerRow, operation_id="new_issuer", summary="Make an issuer")
def new_issuer(request: HttpRequest, body: IssuerNew) -> IssuerRow:
    """Its public keys are fetched now, and again every ten minutes."""
    return _row(issuers.create_issuer(actor=actor_name(request), **_values(body)))


@router.get(
    "/token_issuer/list", response=list[IssuerRow], operation_id="list_issuers", summary="List issuers"
)
def list_issuers(request: HttpRequest, query: Query[ListQuery]) -> list[IssuerRow]:
    """By name."""
    refuse_unknown_parameters(request, ListQuery)
    rows = TokenIssuer.objects.order_by("name")
    return [_row(row) for row in page_of(rows, page=query.page, size=query.page_size).rows]


@router.post(
    "/token_issuer/update", response=IssuerRow, operation_id="update_issuer", summary="Change an issuer"
)
def update_issuer(request: HttpRequest, body: IssuerUpdate) -> IssuerRow:
    """What is left out stays. A secret takes the place of an address, and the other way round."""
    row = issuers.find_issuer(body.token_issuer)
    values = _values(body)
    if not values:
        raise InvalidRequest("There is nothing to change: give at least one field beside 'token_issuer'.")
    return _row(issuers.update_issuer(row, actor=actor_name(request), **values))


@router.post(
    "/token_issuer/delete", response=DeletedIssuer, operation_id="delete_issuer", summary="Delete an issuer"
)
def delete_issuer(request: HttpRequest, body: IssuerReference) -> DeletedIssuer:
    """Refused while a key trusts it."""
    row = issuers.find_issuer(body.token_issuer)
    deleted = row.public_id
    issuers.delete_issuer(row, actor=actor_name(request))
    return DeletedIssuer(deleted=deleted)


def _values(body: IssuerFields) -> dict[str, Any]:
    found = ((name, getattr(body, name, None)) for name in _FIELDS)
    return {name: value for name, value in found if value is not None}


def _row(row: TokenIssuer) -> IssuerRow:
    return IssuerRow(
        token_issuer=row.public_id,
        name=row.name,
        issuer=row.issuer,
        audience=row.audience,
        header=row.header,
        claim=row.claim,
        has_secret=bool(row.secret_sealed),
        jwks_url=row.jwks_url or None,
        keys=len(public_keys(row.jwks)),
        keys_changed_at=row.jwks_fetched_at,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )
