"""What a team admin may do with keys over HTTP: those of own teams that call models, and manage nothing.

One answer for all others, whether there are such or not. Limits of keys have routes of their own, where what
a team sets only tightens.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any
from uuid import UUID

from gateway_project.core.errors import Conflict, NotFound, PermissionDenied
from security_app.models import ApiKey, Membership, Team
from security_app.services import keys
from security_app.services.team_rights import TEAM_SCOPES, Reach

# What a team admin says of a key, by the fields of bodies. The team of a key stays.
_CHANGED = frozenset(
    {
        "key_alias",
        "duration",
        "models",
        "allowed_tools",
        "object_permission",
        "metadata",
        "allowed_routes",
        "allowed_ips",
        "user_id",
        "blocked",
        "scopes",
        "key_type",
    }
)
_MADE = _CHANGED | {"team_id"}


def require_fields(given: Collection[str], *, is_new: bool) -> None:
    """PermissionDenied, naming the field, if a body says what only administrators do."""
    if others := sorted(set(given) - (_MADE if is_new else _CHANGED)):
        raise PermissionDenied("An administrator sets this.", param=others[0])


def require_values(values: Mapping[str, Any], teams: Collection[UUID], row: ApiKey | None = None) -> None:
    """PermissionDenied unless the key is one that a team admin may make, or make of `row`."""
    if not set(values.get("scopes", TEAM_SCOPES)) <= set(TEAM_SCOPES):
        raise PermissionDenied("Keys of a team only call models.", param="scopes")
    team: Team | None = values.get("team") if row is None else row.team
    if team is None or team.pk not in teams:
        raise PermissionDenied("Name one of your teams.", param="team_id")
    user_id = values.get("user_id", "")
    if user_id and not Membership.objects.filter(team=team, user__user_id=user_id).exists():
        raise PermissionDenied("No member of this team has this id.", param="user_id")
    _require_free_name(values.get("name", ""), teams, row)


def find_team_keys(references: Sequence[str], teams: Reach) -> list[ApiKey]:
    """Keys that may be changed, any of them by who manages everything; NotFound or PermissionDenied."""
    if teams is None:
        return keys.find_keys(references)
    try:
        rows = keys.find_keys(references)
    except NotFound:
        rows = []
    is_within = all(row.team_id in teams and set(row.scopes) <= set(TEAM_SCOPES) for row in rows)
    if not rows or not is_within:
        raise PermissionDenied("This key may use only keys of its teams that call models.", param="key")
    return rows


def _require_free_name(name: str, teams: Collection[UUID], row: ApiKey | None) -> None:
    """Names of other teams' keys are not told, and so not compared with."""
    taken = ApiKey.objects.filter(name=name, deleted_at=None, team__in=teams)
    if row is not None:
        taken = taken.exclude(pk=row.pk)
    if name and taken.exists():
        raise Conflict(f"Another key of your teams has the alias '{name}'.", param="key_alias")
