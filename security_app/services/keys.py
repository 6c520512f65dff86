"""Making, changing and ending API keys. The plain key leaves this module once, from `create_key`."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.db.models import F, Q, QuerySet

from gateway_project.core.clock import utc_now
from gateway_project.core.crypto import (
    KEY_PREFIX,
    has_valid_checksum,
    key_digest,
    new_api_key,
    token_hash,
)
from gateway_project.core.errors import Conflict, InvalidRequest, NotFound
from gateway_project.core.ids import parse_public_id
from security_app.models import ApiKey, ConfigVersion, Organization, Team
from security_app.models.key import PINS_SECTION
from security_app.services.audit import record
from security_app.services.configuration import refresh_after_commit
from security_app.services.limit_fields import remove_limits

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


def set_secret(row: ApiKey, plain: str) -> None:
    """Set what the row keeps of a secret."""
    pepper = settings.GATEWAY_KEY_PEPPERS[0]
    row.digest = key_digest(token_hash(plain), pepper.secret)
    row.pepper_id = pepper.id
    row.hint = key_hint(plain)


def find_digests(plain: str) -> list[bytes]:
    """The digests that a key may be stored under, one per pepper of the ring."""
    return [key_digest(token_hash(plain), pepper.secret) for pepper in settings.GATEWAY_KEY_PEPPERS]


def validated(row: ApiKey) -> None:
    """InvalidRequest, with the API's name of the field, if the row may not be."""
    try:
        if row.is_service_account and (row.team_id is None or row.user_id):
            raise ValidationError({"team": "The key of a service account has a team and no user."})
        if row.trusts_end_user == "jwt" and row.token_issuer_id is None:
            raise ValidationError({"token_issuer": "Tokens need an issuer."})
        row.full_clean(exclude=["digest", "previous_digest"])
    except ValidationError as error:
        field, messages = next(iter(error.message_dict.items()))
        names = {
            "name": "key_alias",
            "allowed_models": "models",
            "is_blocked": "blocked",
            "expires_at": "duration",
            "team": "team_id",
        }
        raise InvalidRequest(messages[0], param=names.get(field, field)) from error


def check_form(plain: str, *, param: str = "key") -> None:
    """What a key of somebody's own must look like; InvalidRequest says it."""
    if len(plain) < CUSTOM_KEY_MIN_CHARS or not plain.isascii() or not plain.isprintable():
        raise InvalidRequest(
            f"A key of your own needs at least {CUSTOM_KEY_MIN_CHARS} printable ASCII characters.",
            param=param,
        )
    if len(plain) > 500 or " " in plain:
        raise InvalidRequest("A key has at most 500 characters and no spaces.", param=param)
    if plain.startswith(KEY_PREFIX) and not has_valid_checksum(plain):
        # Authentication takes it for a mistyped one until it has loaded it.
        raise InvalidRequest(
            f"A key of your own can't begin with '{KEY_PREFIX}', unless a gateway like this one made it.",
            param=param,
        )


def require_unused(plain: str, *, param: str) -> None:
    """Conflict if some key has this secret, or had it before its rotation."""
    digests = find_digests(plain)
    if ApiKey.objects.filter(Q(digest__in=digests) | Q(previous_digest__in=digests)).exists():
        raise Conflict("This key exists already.", param=param)


def create_key(
    *, actor: str, plain: str | None = None, requires_unique_name: bool = False, **values: Any
) -> CreatedKey:
    """Make a key; `values` are fields of ApiKey. InvalidRequest, or Conflict for what exists."""
    if plain is not None:
        check_form(plain)
    secret = plain or new_api_key()
    row = ApiKey(created_by=actor, **values)
    set_secret(row, secret)
    validated(row)
    if plain is not None:
        require_unused(plain, param="key")
    try:
        with transaction.atomic():
            if requires_unique_name:
                require_unique_name(row)
            row.save(force_insert=True)
            record_reveal(row)
            if row.agent_versions:
                count_change_of_pins()
            refresh_after_commit()
    except IntegrityError as error:
        raise Conflict("This key exists already.", param="key") from error
    logger.info("key.created", extra={"key_id": row.public_id, "actor": actor})
    return CreatedKey(row, secret)


def record_reveal(row: ApiKey) -> None:
    """Inside the transaction that makes a key's text: somebody gets to see it, this once."""
    record(
        "revealed",
        object_type=row._meta.label_lower,
        object_id=row.pk.hex,
        object_name=str(row),
        detail={"hint": row.hint},
    )


class _Named(NamedTuple):
    """What a reference may mean: a public id, and digests of a key or as hexadecimal text."""

    key_id: UUID | None
    digests: list[bytes]


def _named(reference: str) -> _Named:
    digests = find_digests(reference) if reference.isascii() else []
    if len(reference) == 64:
        with contextlib.suppress(ValueError):
            digests.append(bytes.fromhex(reference))
    return _Named(parse_public_id("key", reference), digests)


def _query(named: Iterable[_Named]) -> Q:
    ids = [item.key_id for item in named if item.key_id is not None]
    digests = [digest for item in named for digest in item.digests]
    is_retiring = Q(previous_digest__in=digests, previous_until__gt=utc_now())
    return Q(pk__in=ids) | Q(digest__in=digests) | is_retiring


def _digests(row: ApiKey) -> set[bytes]:
    return {bytes(digest) for digest in (row.digest, row.previous_digest) if digest is not None}


def find_key(reference: str, *, include_deleted: bool = False) -> ApiKey:
    """A key by its public id, its hex digest, or the key itself; NotFound otherwise."""
    rows = ApiKey.objects.select_related("team")
    rows = rows if include_deleted else rows.filter(deleted_at=None)
    row: ApiKey | None = rows.filter(_query([_named(reference)])).first()
    if row is None:
        raise NotFound("There is no such key.", param="key")
    return row


def find_keys(references: Sequence[str]) -> list[ApiKey]:
    """Living keys in one query, as `find_key` knows them; NotFound tells the position of a missing one."""
    named = [_named(reference) for reference in references]
    rows = list(ApiKey.objects.select_related("team").filter(_query(named), deleted_at=None))
    ids, digests = {row.pk for row in rows}, {digest for row in rows for digest in _digests(row)}
    for position, item in enumerate(named):
        if item.key_id not in ids and digests.isdisjoint(item.digests):
            raise NotFound(f"There is no such key: number {position + 1} of the list.", param="keys")
    return rows


def find_keys_by_name(names: Sequence[str]) -> list[ApiKey]:
    """Living keys by name; NotFound if one is missing, Conflict if several have the same."""
    rows = list(ApiKey.objects.filter(name__in=names, deleted_at=None))
    for name in names:
        count = sum(row.name == name for row in rows)
        if not count:
            raise NotFound(f"There is no key with the alias '{name}'.", param="key_aliases")
        if count > 1:
            raise Conflict(f"{count} keys have the alias '{name}'; use their ids.", param="key_aliases")
    return rows


@dataclass(frozen=True, slots=True)
class KeyFilter:
    """Which keys a list shows; None means any. Deleted keys are shown only if they are asked for."""

    name: str | None = None
    user_id: str | None = None
    status: str | None = None
    team: Team | None = None
    organization: Organization | None = None
    teams: frozenset[UUID] | None = None


@dataclass(frozen=True, slots=True)
class KeyPage:
    """One page of keys, and how many there are in all."""

    rows: list[ApiKey]
    total: int


def list_keys(wanted: KeyFilter, *, order: str, is_descending: bool, page: int, size: int) -> KeyPage:
    """One page of keys, in two queries; `order` is a field of ApiKey. Rows without a value come last."""
    rows = _filtered(wanted)
    column = F(order).desc(nulls_last=True) if is_descending else F(order).asc(nulls_last=True)
    first = (page - 1) * size
    found = rows.order_by(column, "-id" if is_descending else "id")[first : first + size]
    return KeyPage(list(found), rows.count())


@dataclass(frozen=True, slots=True)
class NamePage:
    """One page of the names of living keys, and how many there are in all."""

    names: list[str]
    total: int


def list_names(search: str | None, *, page: int, size: int) -> NamePage:
    """Names of living keys that hold a text, in the order of letters."""
    rows = ApiKey.objects.filter(deleted_at=None).exclude(name="")
    if search:
        rows = rows.filter(name__icontains=search)
    names = rows.order_by("name").values_list("name", flat=True).distinct()
    first = (page - 1) * size
    return NamePage(list(names[first : first + size]), names.count())


def _filtered(wanted: KeyFilter) -> QuerySet[ApiKey]:
    rows: QuerySet[ApiKey] = ApiKey.objects.select_related("team")
    if wanted.name is not None:
        rows = rows.filter(name=wanted.name)
    if wanted.user_id is not None:
        rows = rows.filter(user_id=wanted.user_id)
    if wanted.team is not None:
        rows = rows.filter(team=wanted.team)
    if wanted.teams is not None:
        rows = rows.filter(team__in=wanted.teams)
    if wanted.organization is not None:
        rows = rows.filter(team__organization=wanted.organization)
    if wanted.status == "deleted":
        return rows.exclude(deleted_at=None)
    rows = rows.filter(deleted_at=None)
    is_expired = Q(expires_at__isnull=False, expires_at__lte=utc_now())
    if wanted.status == "blocked":
        return rows.filter(is_blocked=True)
    if wanted.status == "expired":
        return rows.filter(is_expired, is_blocked=False)
    if wanted.status == "active":
        return rows.filter(~is_expired, is_blocked=False)
    return rows


def require_unique_name(row: ApiKey) -> None:
    """Inside a transaction: Conflict if another living key has this name."""
    # Locks the section until the transaction ends, so that two writers can't both find the name free.
    ConfigVersion.bump(ApiKey.config_section)
    if row.name and ApiKey.objects.filter(name=row.name, deleted_at=None).exclude(pk=row.pk).exists():
        raise Conflict(f"Another key has the alias '{row.name}'.", param="key_alias")


def count_change_of_pins() -> None:
    """Let what keys are pinned to be built; after the key's own section, as two locks need one order."""
    ConfigVersion.bump(PINS_SECTION)


def find_key_by_id(key_id: UUID) -> ApiKey | None:
    """A key that is not deleted, by id."""
    return ApiKey.objects.select_related("team").filter(pk=key_id, deleted_at=None).first()


def update_key(row: ApiKey, *, actor: str, requires_unique_name: bool = False, **values: Any) -> ApiKey:
    """Change fields of a key, and no others; raises InvalidRequest with the field's API name, or Conflict."""
    for name, value in values.items():
        setattr(row, name, value)
    validated(row)
    with transaction.atomic():
        if requires_unique_name and "name" in values:
            require_unique_name(row)
        row.save(update_fields=set(values))
        if "agent_versions" in values:
            count_change_of_pins()
        refresh_after_commit()
    logger.info("key.updated", extra={"key_id": row.public_id, "actor": actor, "fields": sorted(values)})
    return row


def delete_keys(rows: list[ApiKey], *, actor: str) -> None:
    """End keys for good. The rows stay as tombstones, for reports and for the other processes."""
    now: datetime = utc_now()
    with transaction.atomic():
        ApiKey.objects.filter(pk__in=[row.pk for row in rows]).update(deleted_at=now, updated_at=now)
        remove_limits("key", [row.id.hex for row in rows])
        refresh_after_commit()
    for row in rows:
        row.deleted_at = now
        logger.info("key.deleted", extra={"key_id": row.public_id, "actor": actor})
