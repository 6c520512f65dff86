"""`/key/*`: making, changing, showing and ending API keys, in LiteLLM's shapes."""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.http import HttpRequest
from ninja import Query, Router

from gateway_project.core.errors import InvalidRequest, NotFound, PermissionDenied
from security_app.api.auth import TEAM_SCOPE, actor_name, any_key, principal_of, reach_of, team_key
from security_app.api.key_fields import key_row, key_values, used_key_row, used_key_rows
from security_app.api.queries import page_count, refuse_unknown_parameters
from security_app.models import ApiKey
from security_app.registry import Principal
from security_app.schemas.keys import (
    DeletedKeys,
    GeneratedKey,
    KeyDelete,
    KeyGenerate,
    KeyInfo,
    KeyInfoQuery,
    KeyList,
    KeyListQuery,
    KeyReference,
    KeyRow,
    KeyUpdate,
    ServiceAccountGenerate,
)
from security_app.services import keys
from security_app.services.limit_fields import apply_limits, limit_values
from security_app.services.organizations import find_organization
from security_app.services.permissions import decide_scope
from security_app.services.spend import NOTHING_USED, key_usage
from security_app.services.team_keys import find_team_keys, require_fields, require_values
from security_app.services.team_rights import team_within

router = Router(tags=["Keys"])
_SORT_COLUMNS = {"expires": "expires_at", "key_alias": "name"}


@router.post(
    "/key/generate", auth=team_key, response=GeneratedKey, operation_id="generate_key", summary="Make a key"
)
def generate_key(request: HttpRequest, body: KeyGenerate) -> GeneratedKey:
    """The answer holds the key; it can't be shown again."""
    return _made(request, body)


@router.post(
    "/key/service-account/generate",
    auth=team_key,
    response=GeneratedKey,
    operation_id="generate_service_account_key",
    summary="Make a key of a team itself",
)
def generate_service_account_key(request: HttpRequest, body: ServiceAccountGenerate) -> GeneratedKey:
    """It is of no person, so it stays when people leave the team."""
    if body.user_id is not None:
        raise InvalidRequest("The key of a service account has no user.", param="user_id")
    return _made(request, body, is_service_account=True)


@router.post("/key/update", auth=team_key, response=KeyRow, operation_id="update_key", summary="Change a key")
def update_key(request: HttpRequest, body: KeyUpdate) -> KeyRow:
    """What is left out stays. `duration` counts from now; null or -1 lets the key live forever."""
    reach = reach_of(request)
    row = _key(request, body.key)
    if reach is not None:
        require_fields(body.model_fields_set - {"key"}, is_new=False)
    values = key_values(body, row)
    if reach is not None:
        require_values(values, reach, row)
    with transaction.atomic():
        has_limits = apply_limits("key", row.id.hex, limit_values(body))
        if values:
            return _changed(request, row, **values)
    if not has_limits:
        raise InvalidRequest("There is nothing to change: give at least one field beside 'key'.")
    return KeyRow(**key_row(row))


@router.post("/key/block", auth=team_key, response=KeyRow, operation_id="block_key", summary="Block a key")
def block_key(request: HttpRequest, body: KeyReference) -> KeyRow:
    """The key is refused everywhere within two seconds."""
    return _changed(request, _key(request, body.key), is_blocked=True)


@router.post(
    "/key/unblock", auth=team_key, response=KeyRow, operation_id="unblock_key", summary="Unblock a key"
)
def unblock_key(request: HttpRequest, body: KeyReference) -> KeyRow:
    """The key works again, unless it has expired."""
    return _changed(request, _key(request, body.key), is_blocked=False)


@router.post(
    "/key/delete", auth=team_key, response=DeletedKeys, operation_id="delete_keys", summary="Delete keys"
)
def delete_keys(request: HttpRequest, body: KeyDelete) -> DeletedKeys:
    """All of them, or none if one is not found. Their past use stays in the ledger."""
    if (body.keys is None) == (body.key_aliases is None):
        raise InvalidRequest("Give either 'keys' or 'key_aliases'.", param="keys")
    if not (body.keys or body.key_aliases):
        raise InvalidRequest(
            "The list is empty.", param="keys" if body.key_aliases is None else "key_aliases"
        )
    reach = reach_of(request)
    if body.key_aliases and reach is not None:
        raise PermissionDenied("Name keys by their ids: others may have this alias.", param="key_aliases")
    rows = find_team_keys(body.keys, reach) if body.keys else keys.find_keys_by_name(body.key_aliases or [])
    keys.delete_keys(rows, actor=actor_name(request))
    return DeletedKeys(deleted_keys=[row.public_id for row in rows])


@router.get("/key/info", auth=any_key, response=KeyInfo, operation_id="key_info", summary="Show a key")
def key_info(request: HttpRequest, query: Query[KeyInfoQuery]) -> KeyInfo:
    """Any key may ask for itself; those of own teams need the scope `team`, all others `admin`."""
    refuse_unknown_parameters(request, KeyInfoQuery)
    row = _visible_key(request, principal_of(request), query.key)
    usage = key_usage([row.id]).get(row.id, NOTHING_USED)
    return KeyInfo(key=row.public_id, info=used_key_row(row, usage))


@router.get("/key/list", auth=team_key, response=KeyList, operation_id="list_keys", summary="List keys")
def list_keys(request: HttpRequest, query: Query[KeyListQuery]) -> KeyList:
    """Ids by default, rows with `return_full_object=true`."""
    refuse_unknown_parameters(request, KeyListQuery)
    reach = reach_of(request)
    if reach is not None and query.organization_id is not None:
        raise PermissionDenied("Only administrators ask for organizations.", param="organization_id")
    page = keys.list_keys(
        keys.KeyFilter(
            name=query.key_alias,
            user_id=query.user_id,
            status=query.status,
            team=None if query.team_id is None else team_within(reach, query.team_id),
            teams=reach,
            organization=None if query.organization_id is None else find_organization(query.organization_id),
        ),
        order=_SORT_COLUMNS.get(query.sort_by, query.sort_by),
        is_descending=query.sort_order == "desc",
        page=query.page,
        size=query.size,
    )
    total_pages = page_count(page.total, query.size)
    if not query.return_full_object:
        ids = [row.public_id for row in page.rows]
        return KeyList(keys=ids, total_count=page.total, current_page=query.page, total_pages=total_pages)
    rows = used_key_rows(page.rows)
    return KeyList(keys=rows, total_count=page.total, current_page=query.page, total_pages=total_pages)


def _made(request: HttpRequest, body: KeyGenerate, **more: Any) -> GeneratedKey:
    values = _new_values(request, body)
    with transaction.atomic():
        created = keys.create_key(
            actor=actor_name(request),
            plain=body.key,
            requires_unique_name=reach_of(request) is None,
            **values,
            **more,
        )
        apply_limits("key", created.row.id.hex, limit_values(body))
    return GeneratedKey(key=created.plain, **key_row(created.row))


def _new_values(request: HttpRequest, body: KeyGenerate) -> dict[str, Any]:
    reach = reach_of(request)
    if reach is None:
        return key_values(body)
    require_fields(body.model_fields_set, is_new=True)
    # Asked first: whether there is a team that is none of theirs is not told.
    team_within(reach, body.team_id or "")
    values = key_values(body)
    require_values(values, reach)
    return values


def _changed(request: HttpRequest, row: ApiKey, **values: Any) -> KeyRow:
    is_unique = reach_of(request) is None
    keys.update_key(row, actor=actor_name(request), requires_unique_name=is_unique, **values)
    return KeyRow(**key_row(row))


def _key(request: HttpRequest, reference: str) -> ApiKey:
    """A key that the caller may change."""
    reach = reach_of(request)
    return keys.find_key(reference) if reach is None else find_team_keys([reference], reach)[0]


def _visible_key(request: HttpRequest, principal: Principal, reference: str | None) -> ApiKey:
    if reference is None:
        if principal.claims is not None:
            raise NotFound("A token has no key; name one by '?key='.", param="key")
        row = None if principal.key_id is None else keys.find_key_by_id(principal.key_id)
        if row is None:
            raise NotFound("The master key is not a row in the database; name a key by '?key='.", param="key")
        return row
    if decide_scope(principal, "admin").is_allowed:
        return keys.find_key(reference, include_deleted=True)
    denied = PermissionDenied(
        "This key may ask only for itself; other keys need the scope 'admin'.", param="key"
    )
    try:
        row = keys.find_key(reference)
    except NotFound as error:
        # One answer for both: a stranger must not learn which keys exist.
        raise denied from error
    if row.id == principal.key_id:
        return row
    if decide_scope(principal, TEAM_SCOPE).is_allowed and row.team_id in (reach_of(request) or ()):
        return row
    raise denied
