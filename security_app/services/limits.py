"""Making, changing and ending limits as rows, whosesoever they are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db import transaction
from django.db.models import Q, QuerySet

from gateway_project.core.errors import NotFound
from gateway_project.core.ids import parse_public_id
from security_app.models import ConfigVersion, Limit
from security_app.models.limits import UUID_KINDS, stored_subject_id
from security_app.services.configuration import refresh_after_commit
from security_app.services.limit_fields import saved

# What the API calls the fields of rows; `id` stands for the row as a whole.
_PARAMS = {
    "id": "subject",
    "subject_kind": "subject.kind",
    "subject_id": "subject.id",
    "is_enabled": "enabled",
}


def create_limit(values: Mapping[str, Any]) -> Limit:
    """Make a limit; `values` are fields of Limit. InvalidRequest, or Conflict for one that is there."""
    return _written(Limit(), values)


def change_limit(reference: str, values: Mapping[str, Any]) -> Limit:
    """Change fields of a limit, and no others; what was used counts on. NotFound."""
    with transaction.atomic():
        # So that a row which goes meanwhile does not come back.
        ConfigVersion.lock()
        return _written(find_limit(reference), values)


def delete_limit(reference: str) -> str:
    """End a limit; its public id. NotFound."""
    with transaction.atomic():
        ConfigVersion.lock()
        row = find_limit(reference)
        limit_id = row.public_id
        row.delete()
        refresh_after_commit()
    return limit_id


def find_limit(reference: str) -> Limit:
    """A limit by its public id; NotFound otherwise."""
    limit_id = parse_public_id("limit", reference)
    row = None if limit_id is None else Limit.objects.filter(pk=limit_id).first()
    if row is None:
        raise NotFound("There is no such limit.", param="limit_id")
    return row


def limits_of(subject_kind: str | None, subject_id: str | None) -> QuerySet[Limit]:
    """The limits of such subjects, the newest first; None means any, and the id "" each one of a kind."""
    rows: QuerySet[Limit] = Limit.objects.order_by("-id")
    if subject_kind is not None:
        rows = rows.filter(subject_kind=subject_kind)
    if subject_id is None:
        return rows
    kinds = [kind for kind in UUID_KINDS if subject_kind in (kind, None)]
    # Ids of keys, teams and organizations are stored without what is before their digits.
    stored = stored_subject_id(kinds[0], subject_id) if kinds else None
    return rows.filter(Q(subject_id=subject_id) | Q(subject_kind__in=kinds, subject_id=stored or subject_id))


def _written(row: Limit, values: Mapping[str, Any]) -> Limit:
    for name, value in values.items():
        setattr(row, name, value)
    with transaction.atomic():
        saved(row, params=_PARAMS)
        refresh_after_commit()
    return row
