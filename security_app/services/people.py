"""Writing rows about people: checked, counted, in force here before the writer answers, and logged."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from django.core.exceptions import ValidationError
from django.db import models, transaction
from django.db.models import QuerySet

from gateway_project.core.errors import Conflict, InvalidRequest
from security_app.models import ConfigModel
from security_app.services.configuration import refresh_after_commit

logger = logging.getLogger(__name__)
R = TypeVar("R", bound=ConfigModel)
M = TypeVar("M", bound=models.Model)
# Our names of fields, and the API's where they differ.
_API_NAMES = {"allowed_models": "models", "is_blocked": "blocked"}
_UNIQUE_CODES = {"unique", "unique_together"}


@dataclass(frozen=True, slots=True)
class Page(Generic[M]):
    """One page of rows, and how many there are in all."""

    rows: list[M]
    total: int


def page_of(rows: QuerySet[M], *, page: int, size: int) -> Page[M]:
    """One page of a query, in two queries."""
    first = (page - 1) * size
    return Page(list(rows[first : first + size]), rows.count())


def create_row(row: R, *, kind: str, actor: str, names: Mapping[str, str]) -> R:
    """Save a new row; InvalidRequest or Conflict with the API's name of the field, from `names`."""
    check_row(row, names)
    with transaction.atomic():
        row.save(force_insert=True)
        refresh_after_commit()
    logger.info("people.created", extra={"kind": kind, "id": _shown_id(row), "actor": actor})
    return row


def update_row(row: R, *, kind: str, actor: str, names: Mapping[str, str], values: Mapping[str, Any]) -> R:
    """Change fields of a row, and no others; raises as `create_row`."""
    for name, value in values.items():
        setattr(row, name, value)
    check_row(row, names)
    with transaction.atomic():
        row.save(update_fields=set(values))
        refresh_after_commit()
    logger.info(
        "people.updated",
        extra={"kind": kind, "id": _shown_id(row), "actor": actor, "fields": sorted(values)},
    )
    return row


def delete_row(
    row: ConfigModel, *, kind: str, actor: str, before: Callable[[], object] | None = None
) -> None:
    """Delete a row, after what must go first, in one transaction."""
    shown = _shown_id(row)
    with transaction.atomic():
        if before is not None:
            before()
        row.delete()
        refresh_after_commit()
    logger.info("people.deleted", extra={"kind": kind, "id": shown, "actor": actor})


def check_row(row: ConfigModel, names: Mapping[str, str]) -> None:
    """InvalidRequest or Conflict, with the API's name of the field, unless a row can be saved."""
    try:
        row.full_clean()
    except ValidationError as error:
        field, errors = next(iter(error.error_dict.items()))
        param = names.get(field, _API_NAMES.get(field, field))
        kind = Conflict if errors[0].code in _UNIQUE_CODES else InvalidRequest
        raise kind(errors[0].messages[0], param=param) from error


def _shown_id(row: Any) -> str:
    for name in ("public_id", "user_id", "end_user_id"):
        if hasattr(row, name):
            return str(getattr(row, name))
    return str(row.pk)
