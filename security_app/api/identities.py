"""`/identity_provider/*`: whose tokens are let in in the place of keys."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from ninja import Query, Router

from gateway_project.core.codec import dumps
from gateway_project.core.errors import AuthenticationFailed, InvalidRequest
from gateway_project.core.ids import public_id
from security_app.api.auth import actor_name, admin_key
from security_app.api.queries import refuse_unknown_parameters
from security_app.models import IdentityKeySet, IdentityProvider
from security_app.registry.jwks import public_keys
from security_app.schemas.base import ListQuery
from security_app.schemas.identities import (
    DeletedProvider,
    ProviderFields,
    ProviderNew,
    ProviderReference,
    ProviderRow,
    ProviderUpdate,
    TokenTrial,
    TokenVerdict,
)
from security_app.services import identities
from security_app.services.people import page_of
from security_app.services.teams import find_team

router = Router(tags=["Identity providers"], auth=admin_key)
# What the API calls otherwise than the row does.
_COLUMNS = {"enabled": "is_enabled", "models": "allowed_models"}
_APART = {"identity_provider", "jwks", "default_team_id"}
_SAME = (
    *("name", "issuer", "audiences", "algorithms", "leeway_s", "stale_hours", "inference_mode"),
    *("management_mode", "user_claim", "user_prefix", "makes_users", "max_users", "team_claim"),
    *("organization_claim", "groups_claim", "scope_claim", "scope_map", "scopes", "allowed_tools"),
    *("created_at", "updated_at"),
)


@router.post(
    "/identity_provider/new",
    response=ProviderRow,
    operation_id="new_identity_provider",
    summary="Make an identity provider",
)
def new_provider(request: HttpRequest, body: ProviderNew) -> ProviderRow:
    """Its public keys are fetched now, and again every five minutes."""
    return _row(identities.create_provider(actor=actor_name(request), **_values(body)))


@router.get(
    "/identity_provider/list",
    response=list[ProviderRow],
    operation_id="list_identity_providers",
    summary="List identity providers",
)
def list_providers(request: HttpRequest, query: Query[ListQuery]) -> list[ProviderRow]:
    """By name."""
    refuse_unknown_parameters(request, ListQuery)
    rows = IdentityProvider.objects.select_related("key_set").order_by("name")
    return [_row(row) for row in page_of(rows, page=query.page, size=query.page_size).rows]


@router.post(
    "/identity_provider/update",
    response=ProviderRow,
    operation_id="update_identity_provider",
    summary="Change an identity provider",
)
def update_provider(request: HttpRequest, body: ProviderUpdate) -> ProviderRow:
    """What is left out stays. Other keys, another issuer or algorithms have the keys fetched anew."""
    row = identities.find_provider(body.identity_provider)
    values = _values(body)
    if not values:
        raise InvalidRequest("There is nothing to change: give a field beside 'identity_provider'.")
    return _row(identities.update_provider(row, actor=actor_name(request), **values))


@router.post(
    "/identity_provider/delete",
    response=DeletedProvider,
    operation_id="delete_identity_provider",
    summary="Delete an identity provider",
)
def delete_provider(request: HttpRequest, body: ProviderReference) -> DeletedProvider:
    """Its tokens are refused from now on. Users that were made for them stay."""
    row = identities.find_provider(body.identity_provider)
    deleted = row.public_id
    identities.delete_provider(row, actor=actor_name(request))
    return DeletedProvider(deleted=deleted)


@router.post(
    "/identity_provider/preview",
    response=TokenVerdict,
    operation_id="preview_token",
    summary="Ask whom a token would be for",
)
def preview_token(request: HttpRequest, body: TokenTrial) -> TokenVerdict:
    """A dry run: nobody is let in, and nothing is fetched, made or kept."""
    try:
        principal = identities.try_token(body.token, body.door)
    except AuthenticationFailed as error:
        return TokenVerdict(allowed=False, reason=error.reason, message=error.message)
    policy = principal.policy
    return TokenVerdict(
        allowed=True,
        reason=None,
        message=None,
        user_id=principal.user_id,
        team_id=None if principal.team_id is None else public_id("team", principal.team_id),
        organization_id=None
        if principal.organization_id is None
        else public_id("org", principal.organization_id),
        scopes=sorted(policy.scopes),
        models=list(policy.allowed_models),
        allowed_tools=list(policy.allowed_tools),
        claims=dict(principal.claims or {}),
    )


def _values(body: ProviderFields) -> dict[str, Any]:
    given = {name: value for name, value in body if value is not None}
    values = {_COLUMNS.get(name, name): value for name, value in given.items() if name not in _APART}
    if "jwks" in given:
        values["jwks_text"] = dumps(given["jwks"]).decode() if given["jwks"] else ""
    if "default_team_id" in given:
        reference = given["default_team_id"]
        values["default_team"] = find_team(reference, param="default_team_id") if reference else None
    return values


def _row(row: IdentityProvider) -> ProviderRow:
    keys: IdentityKeySet | None = getattr(row, "key_set", None)
    return ProviderRow(
        identity_provider=row.public_id,
        enabled=row.is_enabled,
        jwks_url=row.jwks_url or None,
        default_team_id=None if row.default_team_id is None else public_id("team", row.default_team_id),
        models=row.allowed_models,
        keys=0 if keys is None else len(public_keys(keys.jwks, row.algorithms)),
        keys_source=None if keys is None else keys.source or None,
        keys_fetched_at=None if keys is None else keys.fetched_at,
        keys_failure=None if keys is None else keys.failure or None,
        **{name: getattr(row, name) for name in _SAME},
    )
