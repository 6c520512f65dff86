"""`/key/*`: making, changing, showing and ending API keys, in LiteLLM's shapes."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from ninja import Query, Router

from gateway_project.core.clock import parse_duration, utc_now
from gateway_project.core.errors import InvalidRequest, NotFound, PermissionDenied
from security_app.api.auth import actor_name, admin_key, any_key, principal_of
from security_app.api.queries import refuse_unknown_parameters
from security_app.models import ApiKey
from security_app.registry import Principal
from security_app.schemas import (
    DeletedKeys,
    GeneratedKey,
    KeyDelete,
    KeyFields,
    KeyGenerate,
    KeyInfo,
    KeyInfoQuery,
    KeyList,
    KeyListQuery,
    KeyReference,
    KeyRow,
    KeyUpdate,
    UsedKeyRow,
)
from security_app.services import keys
from security_app.services.permissions import decide_scope
from security_app.services.spend import NOTHING_USED, KeyUsage, key_usage

router = Router(tags=["Keys"])
_SCOPES_BY_TYPE = {
    "llm_api": ["inference"],
    "default": ["inference"],
    "management": ["admin"],
    "read_only": ["metrics"],
}
_SORT_COLUMNS = {"expires": "expires_at", "key_alias": "name"}
# LiteLLM's words for sets of models: the first means every model, the others need teams.
_ALL_MODELS = "all-proxy-models"
_TEAM_MODELS = ("all-team-models", "no-default-models")


@router.post(
    "/key/generate", auth=admin_key, response=GeneratedKey, operation_id="generate_key", summary="Make a key"
)
def generate_key(request: HttpRequest, body: KeyGenerate) -> GeneratedKey:
    """The answer holds the key; it can't be shown again."""
    values = _values(body)
    created = keys.create_key(actor=actor_name(request), plain=body.key, requires_unique_name=True, **values)
    return GeneratedKey(key=created.plain, **_row(created.row))


@router.post(
    "/key/update", auth=admin_key, response=KeyRow, operation_id="update_key", summary="Change a key"
)
def update_key(request: HttpRequest, body: KeyUpdate) -> KeyRow:
    """What is left out stays. `duration` counts from now; null or -1 lets the key live forever."""
    row = keys.find_key(body.key)
    values = _values(body)
    if not values:
        raise InvalidRequest("There is nothing to change: give at least one field beside 'key'.")
    return _changed(request, row, **values)


@router.post("/key/block", auth=admin_key, response=KeyRow, operation_id="block_key", summary="Block a key")
def block_key(request: HttpRequest, body: KeyReference) -> KeyRow:
    """The key is refused everywhere within two seconds."""
    return _changed(request, keys.find_key(body.key), is_blocked=True)


@router.post(
    "/key/unblock", auth=admin_key, response=KeyRow, operation_id="unblock_key", summary="Unblock a key"
)
def unblock_key(request: HttpRequest, body: KeyReference) -> KeyRow:
    """The key works again, unless it has expired."""
    return _changed(request, keys.find_key(body.key), is_blocked=False)


@router.post(
    "/key/delete", auth=admin_key, response=DeletedKeys, operation_id="delete_keys", summary="Delete keys"
)
def delete_keys(request: HttpRequest, body: KeyDelete) -> DeletedKeys:
    """All of them, or none if one is not found. Their past use stays in the ledger."""
    if (body.keys is None) == (body.key_aliases is None):
        raise InvalidRequest("Give either 'keys' or 'key_aliases'.", param="keys")
    if not (body.keys or body.key_aliases):
        raise InvalidRequest(
            "The list is empty.", param="keys" if body.key_aliases is None else "key_aliases"
        )
    rows = keys.find_keys(body.keys) if body.keys else keys.find_keys_by_name(body.key_aliases or [])
    keys.delete_keys(rows, actor=actor_name(request))
    return DeletedKeys(deleted_keys=[row.public_id for row in rows])


@router.get("/key/info", auth=any_key, response=KeyInfo, operation_id="key_info", summary="Show a key")
def key_info(request: HttpRequest, query: Query[KeyInfoQuery]) -> KeyInfo:
    """Any key may ask for itself; the keys of others, deleted ones too, need the scope `admin`."""
    refuse_unknown_parameters(request, KeyInfoQuery)
    row = _visible_key(principal_of(request), query.key)
    usage = key_usage([row.id]).get(row.id, NOTHING_USED)
    return KeyInfo(key=row.public_id, info=_used_row(row, usage))


@router.get("/key/list", auth=admin_key, response=KeyList, operation_id="list_keys", summary="List keys")
def list_keys(request: HttpRequest, query: Query[KeyListQuery]) -> KeyList:
    """Ids by default, rows with `return_full_object=true`."""
    refuse_unknown_parameters(request, KeyListQuery)
    page = keys.list_keys(
        keys.KeyFilter(name=query.key_alias, user_id=query.user_id, status=query.status),
        order=_SORT_COLUMNS.get(query.sort_by, query.sort_by),
        is_descending=query.sort_order == "desc",
        page=query.page,
        size=query.size,
    )
    total_pages = -(-page.total // query.size)
    if not query.return_full_object:
        ids = [row.public_id for row in page.rows]
        return KeyList(keys=ids, total_count=page.total, current_page=query.page, total_pages=total_pages)
    usage = key_usage([row.id for row in page.rows])
    rows = [_used_row(row, usage.get(row.id, NOTHING_USED)) for row in page.rows]
    return KeyList(keys=rows, total_count=page.total, current_page=query.page, total_pages=total_pages)


def _changed(request: HttpRequest, row: ApiKey, **values: Any) -> KeyRow:
    keys.update_key(row, actor=actor_name(request), requires_unique_name=True, **values)
    return KeyRow(**_row(row))


def _visible_key(principal: Principal, reference: str | None) -> ApiKey:
    if reference is None:
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
    if row.id != principal.key_id:
        raise denied
    return row


def _values(body: KeyFields) -> dict[str, Any]:
    """The fields of ApiKey that a body sets. Null empties a text or the expiry; elsewhere it says nothing.

    Else `models: null` would allow every model, and `blocked: null` unblock the key.
    """
    given = body.model_fields_set
    values: dict[str, Any] = {}
    if "key_alias" in given:
        values["name"] = (body.key_alias or "").strip()
    if "user_id" in given:
        values["user_id"] = body.user_id or ""
    if body.metadata is not None:
        values["metadata"] = body.metadata
    if body.blocked is not None:
        values["is_blocked"] = body.blocked
    if body.models is not None:
        values["allowed_models"] = _patterns(body.models)
    if body.allowed_tools is not None:
        values["allowed_tools"] = body.allowed_tools
    if body.agent_versions is not None:
        values["agent_versions"] = body.agent_versions
    if "duration" in given:
        values["expires_at"] = _expiry(body.duration)
    return values | _scopes(body)


def _patterns(models: list[str]) -> list[str]:
    for word in _TEAM_MODELS:
        if word in models:
            raise InvalidRequest(
                f"'{word}' needs teams, which this gateway does not have yet.", param="models"
            )
    return ["*" if model == _ALL_MODELS else model for model in models]


def _expiry(duration: str | None) -> Any:
    if duration is None or duration == "-1":
        return None
    try:
        return utc_now() + parse_duration(duration)
    except ValueError as error:
        raise InvalidRequest(f"{error}.", param="duration") from error


def _scopes(body: KeyFields) -> dict[str, Any]:
    if body.scopes is not None and body.key_type is not None:
        raise InvalidRequest("Give either 'scopes' or 'key_type'.", param="key_type")
    if body.scopes is not None:
        return {"scopes": list(body.scopes)}
    return {} if body.key_type is None else {"scopes": _SCOPES_BY_TYPE[body.key_type]}


def _row(row: ApiKey) -> dict[str, Any]:
    return {
        "key_id": row.public_id,
        "token": row.public_id,
        "token_id": row.public_id,
        "key_name": row.hint,
        "key_alias": row.name or None,
        "status": row.status(),
        "models": row.allowed_models,
        "allowed_tools": row.allowed_tools,
        "agent_versions": row.agent_versions,
        "scopes": row.scopes,
        "user_id": row.user_id or None,
        "metadata": row.metadata,
        "blocked": row.is_blocked,
        "expires": row.expires_at,
        "created_by": row.created_by,
        "created_at": row.created_at,
        "updated_at": row.updated_at,
        "deleted_at": row.deleted_at,
    }


def _used_row(row: ApiKey, usage: KeyUsage) -> UsedKeyRow:
    return UsedKeyRow(
        **_row(row),
        spend=usage.spend_usd,
        spend_usd=format(usage.spend_usd, "f"),
        requests=usage.requests,
        last_active=usage.last_used_at,
    )
