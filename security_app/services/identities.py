"""Identity providers: made, changed and deleted with their keys, and tried with a token."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db import transaction
from django.db.models import Q

from gateway_project.core.codec import dumps
from gateway_project.core.errors import AuthenticationFailed, InvalidRequest, NotFound
from gateway_project.core.ids import parse_public_id
from security_app.models import IdentityProvider
from security_app.registry import Principal
from security_app.services.configuration import store
from security_app.services.identity_keys import DECISIVE, fetched_keys, store_keys
from security_app.services.people import check_row, create_row, delete_row, update_row
from security_app.services.token_principals import LacksUser, principal_of_token

_KIND = "identity_provider"
_NAMES = {
    "is_enabled": "enabled",
    "jwks_text": "jwks",
    "default_team": "default_team_id",
    "allowed_models": "models",
}


def find_provider(reference: str) -> IdentityProvider:
    """A provider by its public id or its name; NotFound otherwise."""
    provider_id = parse_public_id("idp", reference)
    query = Q(name=reference) if provider_id is None else Q(pk=provider_id) | Q(name=reference)
    row: IdentityProvider | None = IdentityProvider.objects.filter(query).first()
    if row is None:
        raise NotFound("There is no such identity provider.", param=_KIND)
    return row


def create_provider(*, actor: str, **values: Any) -> IdentityProvider:
    """Make a provider with its keys as they are now; InvalidRequest or Conflict with the field."""
    row = IdentityProvider(**values)
    _require_one_source(row)
    check_row(row, _NAMES)
    keys, source = fetched_keys(row)
    _keep_public_parts(row, keys)
    with transaction.atomic():
        create_row(row, kind=_KIND, actor=actor, names=_NAMES)
        store_keys(row, keys, source)
    return row


def update_provider(row: IdentityProvider, *, actor: str, **values: Any) -> IdentityProvider:
    """Change fields of a provider, and no others; its keys are fetched anew if they may be others by it."""
    for name, value in values.items():
        setattr(row, name, value)
    _require_one_source(row)
    check_row(row, _NAMES)
    found = fetched_keys(row) if values.keys() & {*DECISIVE} else None
    if found is not None and row.jwks_text:
        _keep_public_parts(row, found[0])
        values["jwks_text"] = row.jwks_text
    with transaction.atomic():
        update_row(row, kind=_KIND, actor=actor, names=_NAMES, values=values)
        if found is not None:
            store_keys(row, *found)
    return row


def delete_provider(row: IdentityProvider, *, actor: str) -> None:
    """Delete a provider: its tokens are refused. Users that were made for them stay."""
    delete_row(row, kind=_KIND, actor=actor)


def try_token(token: str, door: str) -> Principal:
    """Whom a token would be for at a door; AuthenticationFailed with the reason if it would be refused.

    Nothing is fetched or made for it; one whose user would be made is for nobody yet.
    """
    if not store.is_loaded:
        store.refresh()
    try:
        return principal_of_token(store.current, token, door)
    except LacksUser as error:
        raise AuthenticationFailed(
            f"The token is good; its user '{error.user_id}' would be made.", reason="user_would_be_made"
        ) from error


def _keep_public_parts(row: IdentityProvider, keys: Mapping[str, Any]) -> None:
    """Of keys that were pasted with private parts, those are not stored."""
    if row.jwks_text:
        row.jwks_text = dumps(keys).decode()


def _require_one_source(row: IdentityProvider) -> None:
    if row.jwks_url and row.jwks_text:
        raise InvalidRequest("Give either 'jwks_url' or 'jwks', or neither.", param="jwks")
