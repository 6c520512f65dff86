"""Images of rows for the audit: what a row said, with a keyed digest in the place of each secret."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db import models

from security_app.models.chain import canonical, current_key, mac

# What every write, or every login, changes, and so says nothing.
UNTOLD = frozenset({"changed_version", "updated_at", "last_login"})
MASKED = "masked"
_SECRET_ENDINGS = ("_sealed", "digest", "password")
_NAMES = ("name", "slug", "title", "username", "user_id", "model", "hint")
_DIGEST_CHARS = 16


def is_masked(model: type[models.Model], name: str) -> bool:
    """Whether images show only a digest of this field."""
    return name.endswith(_SECRET_ENDINGS) or name in getattr(model, "audit_masked", ())


def told_fields(model: type[models.Model]) -> list[models.Field[Any, Any]]:
    """The fields that images have."""
    return [field for field in model._meta.concrete_fields if field.attname not in UNTOLD]


def image_of(row: models.Model) -> dict[str, Any]:
    """What a row says, by the names of its columns."""
    values = {field.attname: field.to_python(getattr(row, field.attname)) for field in told_fields(type(row))}
    return image_from(type(row), values)


def image_from(model: type[models.Model], values: Mapping[str, Any]) -> dict[str, Any]:
    """What values of columns say; `values` needs the primary key if one of them is masked."""
    key = values.get(model._meta.pk.attname)
    return {
        name: _masked(value, f"{model._meta.label_lower}.{name}:{key}")
        if is_masked(model, name)
        else _plain(value)
        for name, value in values.items()
        if name not in UNTOLD
    }


def image_name(image: Mapping[str, Any]) -> str:
    """How people call the row: its first field that is a name."""
    return next((str(image[name]) for name in _NAMES if image.get(name)), "")


def changed_names(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """The names of columns that differ, in canonical form."""
    return [
        name
        for name in {**before, **after}
        if before.get(name) != after.get(name) and canonical(before.get(name)) != canonical(after.get(name))
    ]


def is_mask(value: Any) -> bool:
    """Whether an image's value stands for a secret."""
    return isinstance(value, Mapping) and value.keys() == {MASKED}


def _masked(value: Any, place: str) -> Any:
    """A digest for each secret: it tells that one changed, not what it is, nor that two rows share it."""
    if value in (None, "", b"", {}, []):
        return None if value is None else ""
    if isinstance(value, Mapping):
        return {str(name): _masked(item, f"{place}.{name}") for name, item in value.items()}
    key_id, key = current_key()
    text = bytes(value).hex() if isinstance(value, bytes | memoryview) else canonical(value)
    return {MASKED: f"{key_id}:{mac(key, f'masked {place} {text}')[:_DIGEST_CHARS]}"}


def _plain(value: Any) -> Any:
    """One form for each value, whether it comes from the database or from a program."""
    if isinstance(value, datetime):
        aware = value if value.tzinfo else value.replace(tzinfo=UTC)
        return f"{aware.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%f}Z"
    if isinstance(value, Decimal):
        return f"{value.normalize():f}" if value.is_finite() else str(value)
    if isinstance(value, UUID):
        return value.hex
    if isinstance(value, bytes | memoryview):
        return bytes(value).hex()
    if isinstance(value, str):
        # Not a member of an enumeration.
        return str(value)
    return value
