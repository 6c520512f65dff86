"""Making, changing and ending API keys. The plain key leaves this module once, from `create_key`."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from gateway_project.core.clock import utc_now
from gateway_project.core.crypto import key_digest, new_api_key, token_hash
from gateway_project.core.errors import Conflict, InvalidRequest, NotFound
from gateway_project.core.ids import parse_public_id
from security_app.models import ApiKey
from security_app.services.configuration import refresh_after_commit

logger = logging.getLogger(__name__)
CUSTOM_KEY_MIN_CHARS = 16


@dataclass(frozen=True, slots=True)
class CreatedKey:
    """A new key's row and its plain text, which nobody can ask for again."""

    row: ApiKey
    plain: str


def key_hint(plain: str) -> str:
    """What lists show of a key: `sk-gw-abcd…wxyz`."""
    return f"{plain[: 10 if plain.startswith('sk-gw-') else 4]}…{plain[-4:]}"


def _set_secret(row: ApiKey, plain: str) -> None:
    pepper = settings.GATEWAY_KEY_PEPPERS[0]
    row.digest = key_digest(token_hash(plain), pepper.secret)
    row.pepper_id = pepper.id
    row.hint = key_hint(plain)


def find_digests(plain: str) -> list[bytes]:
    """The digests that a key may be stored under, one per pepper of the ring."""
    return [key_digest(token_hash(plain), pepper.secret) for pepper in settings.GATEWAY_KEY_PEPPERS]


def _validated(row: ApiKey) -> None:
    try:
        row.full_clean(exclude=["digest"])
    except ValidationError as error:
        field, messages = next(iter(error.message_dict.items()))
        names = {"name": "key_alias", "allowed_models": "models", "is_blocked": "blocked", "expires_at": "duration"}
        raise InvalidRequest(messages[0], param=names.get(field, field)) from error


def create_key(*, actor: str, plain: str | None = None, **values: Any) -> CreatedKey:
    """Make a key; `values` are fields of ApiKey. Raises InvalidRequest or Conflict (a key given twice)."""
    if plain is not None and (len(plain) < CUSTOM_KEY_MIN_CHARS or not plain.isascii() or not plain.isprintable()):
        raise InvalidRequest(
            f"A key of your own needs at least {CUSTOM_KEY_MIN_CHARS} printable ASCII characters.", param="key"
        )
    if plain is not None and (len(plain) > 500 or " " in plain):
        raise InvalidRequest("A key has at most 500 characters and no spaces.", param="key")
    secret = plain or new_api_key()
    row = ApiKey(created_by=actor, **values)
    _set_secret(row, secret)
    _validated(row)
    if plain is not None and ApiKey.objects.filter(digest__in=find_digests(plain)).exists():
        raise Conflict("This key exists already.", param="key")
    try:
        with transaction.atomic():
            row.save(force_insert=True)
            refresh_after_commit()
    except IntegrityError as error:
        raise Conflict("This key exists already.", param="key") from error
    logger.info("key.created", extra={"key_id": row.public_id, "actor": actor})
    return CreatedKey(row, secret)


def find_key(reference: str, *, include_deleted: bool = False) -> ApiKey:
    """A key by its public id, its hex digest, or the key itself; NotFound otherwise."""
    rows = ApiKey.objects.all() if include_deleted else ApiKey.objects.filter(deleted_at=None)
    row: ApiKey | None = None
    key_id = parse_public_id("key", reference)
    if key_id is not None:
        row = rows.filter(pk=key_id).first()
    if row is None and len(reference) == 64:
        try:
            row = rows.filter(digest=bytes.fromhex(reference)).first()
        except ValueError:
            row = None
    if row is None and reference:
        row = rows.filter(digest__in=find_digests(reference)).first()
    if row is None:
        raise NotFound("There is no such key.", param="key")
    return row


def find_key_by_id(key_id: UUID) -> ApiKey | None:
    """A key that is not deleted, by id."""
    return ApiKey.objects.filter(pk=key_id, deleted_at=None).first()


def update_key(row: ApiKey, *, actor: str, **values: Any) -> ApiKey:
    """Change fields of a key; raises InvalidRequest with the field's API name."""
    for name, value in values.items():
        setattr(row, name, value)
    _validated(row)
    with transaction.atomic():
        row.save()
        refresh_after_commit()
    logger.info("key.updated", extra={"key_id": row.public_id, "actor": actor, "fields": sorted(values)})
    return row


def delete_keys(rows: list[ApiKey], *, actor: str) -> None:
    """End keys for good. The rows stay as tombstones, for reports and for the other processes."""
    now: datetime = utc_now()
    with transaction.atomic():
        for row in rows:
            row.deleted_at = now
            row.save(update_fields={"deleted_at"})
        refresh_after_commit()
    for row in rows:
        logger.info("key.deleted", extra={"key_id": row.public_id, "actor": actor})
