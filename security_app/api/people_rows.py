"""Between the bodies of people's routes and the fields of their rows, in both directions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from gateway_project.core.ids import public_id
from security_app.api.key_fields import model_patterns
from security_app.models import EndUser, GatewayUser, Membership, Organization, Team
from security_app.schemas.object_permission import ShownPermission
from security_app.schemas.people import (
    CustomerRow,
    MemberRow,
    OrganizationRow,
    SubjectFields,
    TeamRow,
    UserRole,
    UserRow,
)
from security_app.services.limit_fields import limit_rows
from security_app.services.object_permissions import shown_permission

_PLAIN = {
    "metadata": "metadata",
    "blocked": "is_blocked",
    "allowed_tools": "allowed_tools",
    "model_aliases": "model_aliases",
}


def subject_values(body: SubjectFields, names: dict[str, str]) -> dict[str, Any]:
    """The fields of a row that a body sets; `names` maps ours to the body's for texts, which null empties."""
    values: dict[str, Any] = {}
    for name, ours in _PLAIN.items():
        value = getattr(body, name, None)
        if value is not None:
            values[ours] = value
    if body.models is not None:
        values["allowed_models"] = model_patterns(body.models, has_team=False)
    for ours, name in names.items():
        if name in body.model_fields_set:
            values[ours] = (getattr(body, name) or "").strip()
    return values


def organization_rows(rows: Sequence[Organization]) -> list[OrganizationRow]:
    """Organizations as lists show them."""
    limits = limit_rows("organization", [row.id.hex for row in rows])
    return [
        OrganizationRow(
            organization_id=row.public_id,
            organization_alias=row.name,
            **_subject(row, limits[row.id.hex]),
        )
        for row in rows
    ]


def team_rows(rows: Sequence[Team]) -> list[TeamRow]:
    """Teams with their members."""
    limits = limit_rows("team", [row.id.hex for row in rows])
    return [
        TeamRow(
            team_id=row.public_id,
            team_alias=row.name,
            organization_id=None if row.organization_id is None else public_id("org", row.organization_id),
            allowed_tools=row.allowed_tools,
            object_permission=ShownPermission(**shown_permission(row.allowed_tools)),
            model_aliases=row.model_aliases,
            members_with_roles=member_rows(row),
            **_subject(row, limits[row.id.hex]),
        )
        for row in rows
    ]


def team_row(row: Team) -> TeamRow:
    """One of them."""
    return team_rows([row])[0]


def member_rows(row: Team) -> list[MemberRow]:
    """The members of a team, in the order in which they came."""
    members = row.memberships.all()
    if not hasattr(row, "_prefetched_objects_cache"):
        members = members.select_related("user")
    return [
        MemberRow(user_id=item.user.user_id, user_email=item.user.email or None, role=_role(item))
        for item in members
    ]


def user_rows(rows: Sequence[GatewayUser]) -> list[UserRow]:
    """Users with the ids of their teams."""
    limits = limit_rows("user", [row.user_id for row in rows])
    return [
        UserRow(
            user_id=row.user_id,
            user_email=row.email or None,
            user_alias=row.name or None,
            user_role=cast(UserRole, row.role),
            teams=[public_id("team", item.team_id) for item in row.memberships.all()],
            **_subject(row, limits[row.user_id]),
        )
        for row in rows
    ]


def user_row(row: GatewayUser) -> UserRow:
    """One of them."""
    return user_rows([row])[0]


def customer_rows(rows: Sequence[EndUser]) -> list[CustomerRow]:
    """End users as lists show them."""
    limits = limit_rows("end_user", [row.end_user_id for row in rows])
    return [
        CustomerRow(
            user_id=row.end_user_id,
            alias=row.name or None,
            **_subject(row, limits[row.end_user_id]),
        )
        for row in rows
    ]


def _role(row: Membership) -> Any:
    """LiteLLM's word."""
    return "admin" if row.role == Membership.Role.ADMIN else "user"


def _subject(row: Organization | Team | GatewayUser | EndUser, limits: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "models": row.allowed_models,
        "metadata": row.metadata,
        "blocked": row.is_blocked,
        "created_at": row.created_at,
        "updated_at": row.updated_at,
        **limits,
    }
