"""New secrets for keys over HTTP."""

from __future__ import annotations

from datetime import timedelta

from django.db import transaction
from django.http import HttpRequest
from ninja import Router

from gateway_project.core.errors import InvalidRequest
from security_app.api.auth import actor_name, admin_key
from security_app.api.key_fields import duration_of, key_row, key_values
from security_app.schemas.keys import GeneratedKey, KeyReference, KeyRegenerate, NamedKeyRegenerate
from security_app.services import keys, rotation
from security_app.services.limit_fields import apply_limits, limit_values

router = Router(tags=["Keys"], auth=admin_key)


@router.post(
    "/key/regenerate", response=GeneratedKey, operation_id="regenerate_named_key", summary="Rotate a key"
)
def regenerate_named_key(request: HttpRequest, body: NamedKeyRegenerate) -> GeneratedKey:
    """A new secret for the same key: its id, limits and use stay. The answer holds it, this once."""
    return _regenerated(request, body.key, body)


@router.post(
    "/key/{reference}/regenerate",
    response=GeneratedKey,
    operation_id="regenerate_key",
    summary="Rotate a key by its id",
)
def regenerate_key(request: HttpRequest, reference: str, body: KeyRegenerate) -> GeneratedKey:
    """As `/key/regenerate`; prefer the id in the path, since paths end up in logs."""
    return _regenerated(request, reference, body)


@router.post(
    "/key/reveal", response=GeneratedKey, operation_id="reveal_key", summary="Fetch a key's new secret"
)
def reveal_key(request: HttpRequest, body: KeyReference) -> GeneratedKey:
    """What a scheduled rotation made; it is shown once, and then nobody can ask again."""
    found = rotation.reveal_new_secret(keys.find_key(body.key), actor=actor_name(request))
    return GeneratedKey(key=found.plain, **key_row(found.row))


def _regenerated(request: HttpRequest, reference: str, body: KeyRegenerate) -> GeneratedKey:
    row = keys.find_key(reference)
    with transaction.atomic():
        apply_limits("key", row.id.hex, limit_values(body))
        made = rotation.regenerate_key(
            row, actor=actor_name(request), grace=_grace(body), plain=body.new_key, **key_values(body, row)
        )
    return GeneratedKey(key=made.plain, **key_row(made.row))


def _grace(body: KeyRegenerate) -> timedelta:
    if body.grace_period is None:
        return timedelta(0)
    if body.grace_period.strip() in ("", "0", "0s"):
        raise InvalidRequest("Leave 'grace_period' out to end the old secret now.", param="grace_period")
    return duration_of(body.grace_period, param="grace_period")
