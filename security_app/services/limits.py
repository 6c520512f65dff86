"""Making, changing and ending limits as rows, whosesoever they are."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from django.db import transaction
from django.db.models import Q, QuerySet

from gateway_project.core.errors import NotFound, PermissionDenied
from gateway_project.core.ids import parse_public_id
from security_app.models import ConfigVersion, Limit
from security_app.models.limits import UUID_KINDS, stored_subject_id
from security_app.services.configuration import refresh_after_commit
from security_app.services.limit_fields import saved
from security_app.services.team_rights import (
    Reach,
    bounds_made_by_teams,
    bounds_of_teams,
    find_bounded,
    require_room,
)

_SUBJECT = frozenset({"subject_kind", "subject_id"})
# What a team admin says of a limit.
_OF_TEAM = _SUBJECT | {"model", "metric", "window_seconds", "value", "is_enabled"}
# What the API calls the fields of rows; `id` stands for the row as a whole.
_PARAMS = {
    "id": "subject",
    "subject_kind": "subject.kind",
    "subject_id": "subject.id",
    "is_enabled": "enabled",
}


def create_limit(values: Mapping[str, Any], *, reach: Reach = None) -> Limit:
    """Make a limit; `values` are fields of Limit. InvalidRequest, or Conflict for one that is there."""
    if reach is None:
        return _written(Limit(), values, managed_by="admin")
    _require_of_team(values, _OF_TEAM)
    kind, subject = str(values.get("subject_kind")), str(values.get("subject_id", ""))
    bounded = find_bounded(kind, subject, reach)
    require_room(Limit, bounded)
    return _written(Limit(), {**values, "subject_id": bounded.subject}, managed_by=bounded.mark)


def change_limit(reference: str, values: Mapping[str, Any], *, reach: Reach = None) -> Limit:
    """Change fields of a limit, and no others; what was used counts on. NotFound."""
    with transaction.atomic():
        # So that a row which goes meanwhile does not come back.
        ConfigVersion.lock()
        row = find_limit(reference, reach=reach, changes=True)
        if reach is not None:
            _require_of_team(values, _OF_TEAM - _SUBJECT)
        return _written(row, values, managed_by="admin" if reach is None else row.managed_by)


def delete_limit(reference: str, *, reach: Reach = None) -> str:
    """End a limit; its public id. NotFound."""
    with transaction.atomic():
        ConfigVersion.lock()
        row = find_limit(reference, reach=reach, changes=True)
        limit_id = row.public_id
        row.delete()
        refresh_after_commit()
    return limit_id


def find_limit(reference: str, *, reach: Reach = None, changes: bool = False) -> Limit:
    """A limit by its public id; NotFound otherwise.

    Within a reach of teams PermissionDenied for all that may not be seen, or changed, or is not there.
    """
    limit_id = parse_public_id("limit", reference)
    rows: QuerySet[Limit] = Limit.objects.all()
    if reach is not None:
        rows = rows.filter(bounds_made_by_teams(reach) if changes else bounds_of_teams(reach))
    row = None if limit_id is None else rows.filter(pk=limit_id).first()
    if row is None and reach is not None:
        raise PermissionDenied("This is no limit that this key may use so.", param="limit_id")
    if row is None:
        raise NotFound("There is no such limit.", param="limit_id")
    return row


def limits_of(subject_kind: str | None, subject_id: str | None, *, reach: Reach = None) -> QuerySet[Limit]:
    """The limits of such subjects, the newest first; None means any, and the id "" each one of a kind."""
    rows: QuerySet[Limit] = Limit.objects.order_by("-id")
    if reach is not None:
        rows = rows.filter(bounds_of_teams(reach))
    if subject_kind is not None:
        rows = rows.filter(subject_kind=subject_kind)
    if subject_id is None:
        return rows
    kinds = [kind for kind in UUID_KINDS if subject_kind in (kind, None)]
    # Ids of keys, teams and organizations are stored without what is before their digits.
    stored = stored_subject_id(kinds[0], subject_id) if kinds else None
    return rows.filter(Q(subject_id=subject_id) | Q(subject_kind__in=kinds, subject_id=stored or subject_id))


def _require_of_team(values: Mapping[str, Any], known: Collection[str]) -> None:
    if others := sorted(values.keys() - set(known)):
        raise PermissionDenied("An administrator sets this.", param=_PARAMS.get(others[0], others[0]))


def _written(row: Limit, values: Mapping[str, Any], *, managed_by: str) -> Limit:
    for name, value in values.items():
        setattr(row, name, value)
    with transaction.atomic():
        saved(row, params=_PARAMS, managed_by=managed_by)
        refresh_after_commit()
    return row
