"""Teams and their members. A key never outlives the team, or the membership, that it was made under."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from django.db import transaction
from django.db.models import Q, QuerySet

from gateway_project.core.errors import Conflict, InvalidRequest, NotFound
from gateway_project.core.ids import parse_public_id
from security_app.models import ApiKey, GatewayUser, IdentityProvider, Membership, Organization, Team
from security_app.services.keys import delete_keys
from security_app.services.limit_fields import remove_limits, remove_member_limits
from security_app.services.people import create_row, delete_row, update_row
from security_app.services.users import find_user

NAMES = {"name": "team_alias", "organization": "organization_id", "id": "team_id"}
_KIND = "team"


class Member(NamedTuple):
    """A user who is to be in a team, by id or e-mail address; an unknown id makes a user."""

    user_id: str | None
    email: str | None
    role: str


def find_team(reference: str, *, param: str = "team_id") -> Team:
    """A team by its public id; NotFound otherwise."""
    team_id = parse_public_id("team", reference)
    row: Team | None = (
        None if team_id is None else Team.objects.select_related("organization").filter(pk=team_id).first()
    )
    if row is None:
        raise NotFound("There is no such team.", param=param)
    return row


def find_teams(references: Sequence[str]) -> list[Team]:
    """Teams by their public ids; NotFound if one is missing."""
    return [find_team(reference, param="team_ids") for reference in references]


def teams_of(*, organization: Organization | None = None, user_id: str | None = None) -> QuerySet[Team]:
    """The teams of an organization, of a user, or all; with their members, by name."""
    rows: QuerySet[Team] = Team.objects.all().prefetch_related("memberships__user")
    if organization is not None:
        rows = rows.filter(organization=organization)
    if user_id is not None:
        rows = rows.filter(memberships__user__user_id=user_id)
    return rows.order_by("name", "id")


def create_team(*, actor: str, members: Iterable[Member] = (), **values: Any) -> Team:
    """Make a team with its first members; without a name it is called by its id."""
    row = Team(**values)
    row.name = row.name or row.public_id
    with transaction.atomic():
        create_row(row, kind=_KIND, actor=actor, names=NAMES)
        add_members(row, members, actor=actor)
    return row


def update_team(row: Team, *, actor: str, **values: Any) -> Team:
    """Change fields of a team, and no others."""
    return update_row(row, kind=_KIND, actor=actor, names=NAMES, values=values)


def delete_teams(rows: Sequence[Team], *, actor: str) -> int:
    """Delete teams, their memberships and their keys, all or none; how many keys ended."""
    _require_no_default(rows)
    with transaction.atomic():
        ended = list(ApiKey.objects.filter(team__in=rows, deleted_at=None))
        delete_keys(ended, actor=actor)
        remove_limits("team", [row.id.hex for row in rows])
        remove_member_limits(team_ids=[row.id for row in rows])
        for row in rows:
            delete_row(row, kind=_KIND, actor=actor)
    return len(ended)


def _require_no_default(rows: Sequence[Team]) -> None:
    """Conflict if tokens of an identity provider would be without their team, and so without its bounds."""
    provider = IdentityProvider.objects.filter(default_team__in=rows).first()
    if provider is not None:
        raise Conflict(
            f"It is the default team of the identity provider '{provider.name}'.", param="team_ids"
        )


def add_models(row: Team, models: Sequence[str], *, actor: str) -> Team:
    """Allow a team more models. InvalidRequest if it may use all: a list would narrow it."""
    if not row.allowed_models:
        raise InvalidRequest(
            "The team may use every model. To narrow it, set 'models' by /team/update.", param="models"
        )
    return update_team(row, actor=actor, allowed_models=list(dict.fromkeys([*row.allowed_models, *models])))


def remove_models(row: Team, models: Sequence[str], *, actor: str) -> Team:
    """Take models from a team; Conflict where none would be left, since no list means every model."""
    left = [item for item in row.allowed_models if item not in models]
    if row.allowed_models and not left:
        raise Conflict("These are the last; an empty list would allow every model.", param="models")
    return update_team(row, actor=actor, allowed_models=left)


def add_members(row: Team, members: Iterable[Member], *, actor: str) -> None:
    """Put users into a team, or give those in it another role; all or none."""
    with transaction.atomic():
        for member in members:
            user = _user_of(member, actor=actor)
            found: Membership | None = Membership.objects.filter(team=row, user=user).first()
            if found is None:
                create_row(
                    Membership(team=row, user=user, role=member.role),
                    kind="membership",
                    actor=actor,
                    names={"user": "member"},
                )
            elif found.role != member.role:
                change_role(found, member.role, actor=actor)


def find_membership(row: Team, user: GatewayUser) -> Membership:
    """A user's membership; NotFound if there is none."""
    found: Membership | None = Membership.objects.filter(team=row, user=user).first()
    if found is None:
        raise NotFound("This user is not in the team.", param="user_id")
    return found


def change_role(row: Membership, role: str, *, actor: str) -> Membership:
    """Make a member a team admin, or the other way round."""
    return update_row(row, kind="membership", actor=actor, names={}, values={"role": role})


def remove_member(row: Team, user: GatewayUser, *, actor: str) -> int:
    """Take a user out of a team, and end the user's keys of that team; how many."""
    membership = find_membership(row, user)
    with transaction.atomic():
        ended = list(ApiKey.objects.filter(team=row, user_id=user.user_id, deleted_at=None))
        delete_keys(ended, actor=actor)
        remove_member_limits(team_ids=[row.id], user_ids=[user.user_id])
        delete_row(membership, kind="membership", actor=actor)
    return len(ended)


def keys_of(*, team: Team | None = None, user_id: str | None = None) -> QuerySet[ApiKey]:
    """The living keys of a team or a user, newest first."""
    query = Q(deleted_at=None)
    if team is not None:
        query &= Q(team=team)
    if user_id is not None:
        query &= Q(user_id=user_id)
    rows: QuerySet[ApiKey] = ApiKey.objects.filter(query).select_related("team").order_by("-id")
    return rows


def _user_of(member: Member, *, actor: str) -> GatewayUser:
    if member.user_id is None:
        return find_user(email=member.email)
    found: GatewayUser | None = GatewayUser.objects.filter(user_id=member.user_id).first()
    if found is not None:
        return found
    row = GatewayUser(user_id=member.user_id, email=member.email or "")
    return create_row(row, kind="user", actor=actor, names={"email": "user_email"})
