"""Several keys in one request, and lists of their names."""

from __future__ import annotations

from django.db import transaction
from django.http import HttpRequest
from ninja import Query, Router

from gateway_project.core.errors import GatewayError
from gateway_project.core.ids import public_id
from security_app.api.auth import actor_name, admin_key, any_key, principal_of
from security_app.api.key_fields import key_row, key_values, used_key_rows
from security_app.api.queries import page_count, refuse_unknown_parameters
from security_app.schemas.keys import (
    BulkUpdatedKeys,
    FailedKey,
    KeyAliases,
    KeyAliasQuery,
    KeyBulkUpdate,
    KeyHealth,
    KeyInfos,
    KeyReferences,
    KeyRow,
    UpdatedKey,
)
from security_app.services import keys
from security_app.services.limit_fields import apply_limits, limit_values

router = Router(tags=["Keys"])


@router.post(
    "/v2/key/info", auth=admin_key, response=KeyInfos, operation_id="key_infos", summary="Show several keys"
)
def key_infos(request: HttpRequest, body: KeyReferences) -> KeyInfos:
    """All of them, or 404 if one is not found."""
    rows = keys.find_keys(body.keys)
    return KeyInfos(key=[row.public_id for row in rows], info=used_key_rows(rows))


@router.post(
    "/key/bulk_update",
    auth=admin_key,
    response=BulkUpdatedKeys,
    operation_id="update_keys",
    summary="Change several keys",
)
def update_keys(request: HttpRequest, body: KeyBulkUpdate) -> BulkUpdatedKeys:
    """Each by itself: what one item has wrong is told beside what the others have become."""
    done: list[UpdatedKey] = []
    failed: list[FailedKey] = []
    for position, item in enumerate(body.keys):
        try:
            row = keys.find_key(item.key)
            values = key_values(item, row)
            with transaction.atomic():
                apply_limits("key", row.id.hex, limit_values(item))
                keys.update_key(row, actor=actor_name(request), requires_unique_name=True, **values)
            done.append(UpdatedKey(key=row.public_id, key_info=KeyRow(**key_row(row))))
        except GatewayError as error:
            failed.append(FailedKey(position=position, failed_reason=error.message, param=error.param))
    return BulkUpdatedKeys(total_requested=len(body.keys), successful_updates=done, failed_updates=failed)


@router.get(
    "/key/aliases", auth=admin_key, response=KeyAliases, operation_id="key_aliases", summary="List aliases"
)
def key_aliases(request: HttpRequest, query: Query[KeyAliasQuery]) -> KeyAliases:
    """The aliases of living keys, in the order of letters."""
    refuse_unknown_parameters(request, KeyAliasQuery)
    found = keys.list_names(query.search, page=query.page, size=query.size)
    return KeyAliases(
        aliases=found.names,
        total_count=found.total,
        current_page=query.page,
        total_pages=page_count(found.total, query.size),
        size=query.size,
    )


@router.post(
    "/key/health",
    auth=any_key,
    response=KeyHealth,
    operation_id="key_health",
    summary="Whether a key is good",
)
def key_health(request: HttpRequest) -> KeyHealth:
    """Any key may ask for itself: that it is answered says that it is good here."""
    refuse_unknown_parameters(request)
    key_id = principal_of(request).key_id
    return KeyHealth(key_id=None if key_id is None else public_id("key", key_id))
