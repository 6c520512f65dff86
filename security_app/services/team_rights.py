"""What a team admin may do in the own teams, whichever way: pages and the API ask here.

Never more than the own rights: no key that manages the gateway, no limit that an administrator set, nobody
of another team. Limits and budgets are of single keys and members of the team: a user's would bind in other
teams, too.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import NamedTuple
from uuid import UUID

from django.db.models import CharField, Q, QuerySet, Value
from django.db.models.functions import Cast, Replace

from gateway_project.core.errors import InvalidRequest, PermissionDenied
from gateway_project.core.ids import parse_public_id
from security_app.models import ApiKey, Budget, GatewayUser, Limit, Membership, Team
from security_app.models.limits import TEAM_MADE, member_id
from security_app.services.teams import Member, find_team

# What a key may do that a team admin makes, changes and ends.
TEAM_SCOPES = ("inference",)
# Each call of the key or member is counted by all of them.
MAX_PER_SUBJECT = 20
# The teams that somebody manages; None for who manages everything.
Reach = frozenset[UUID] | None


def administered_teams(members: Q) -> frozenset[UUID]:
    """The teams whose admin is somebody of whom `members` says who it is; a blocked one is of none."""
    rows = Membership.objects.filter(members, user__is_blocked=False, role=Membership.Role.ADMIN)
    return frozenset(rows.values_list("team_id", flat=True))


def bounds_of_teams(teams: Collection[UUID]) -> Q:
    """The limits and budgets of teams, their keys and members: what a team admin may look at."""
    return Q(subject_kind="team", subject_id__in=[team.hex for team in teams]) | _of_keys_and_members(teams)


def bounds_made_by_teams(teams: Collection[UUID]) -> Q:
    """Those of their keys and members that a team admin made, and may change and end."""
    return Q(managed_by__startswith=TEAM_MADE) & _of_keys_and_members(teams)


def _of_keys_and_members(teams: Collection[UUID]) -> Q:
    found = Q(subject_kind="key", subject_id__in=_key_ids(teams))
    for team in teams:
        found |= Q(subject_kind="member", subject_id__startswith=f"{team.hex}:")
    return found


class Bounded(NamedTuple):
    """Whom a team admin limits: a key or a member of the team."""

    kind: str
    subject: str
    team_id: UUID | None

    @property
    def mark(self) -> str:
        """What `managed_by` says of limits and budgets that the team made."""
        return mark_of(self.team_id)


def mark_of(team_id: UUID | None) -> str:
    """As `Bounded.mark`."""
    return f"{TEAM_MADE}{'' if team_id is None else team_id.hex}"


def find_bounded(kind: str, reference: str, teams: Collection[UUID], *, param: str = "subject") -> Bounded:
    """A key or a member of these teams; PermissionDenied for all others and all other kinds."""
    if kind == "key":
        key = find_team_key(reference, teams, param=param)
        return Bounded("key", key.pk.hex, key.team_id)
    if kind == "member":
        row = find_team_member(reference, teams, param=param)
        return Bounded("member", member_id(row.team_id, row.user.user_id), row.team_id)
    raise PermissionDenied("Only keys and members of your teams may be chosen.", param=param)


def find_team_member(reference: str, teams: Collection[UUID], *, param: str) -> Membership:
    """A member of these teams by the team's id, a colon and the user's id; by the latter if it tells.

    PermissionDenied for all others: whether there is such a user elsewhere is not told.
    """
    rows = Membership.objects.filter(team__in=teams).select_related("user")
    team, colon, user_id = reference.strip().partition(":")
    team_id = parse_public_id("team", team) if colon else None
    if team_id is not None:
        found = list(rows.filter(team_id=team_id, user__user_id=user_id))
    else:
        found = list(rows.filter(user__user_id=reference.strip())[:2])
    if len(found) != 1:
        hint = "" if not found else " of just one; write TEAM_ID:USER_ID"
        raise PermissionDenied(f"This is no member of your teams{hint}.", param=param)
    return found[0]


def find_team_key(reference: str, teams: Collection[UUID], *, param: str = "subject.id") -> ApiKey:
    """A living key of these teams by its id, which calls models only; PermissionDenied for all others.

    Whether there is such a key elsewhere is not told.
    """
    key_id = parse_public_id("key", reference.strip())
    keys = ApiKey.objects.filter(team__in=teams, deleted_at=None).defer("digest")
    row = None if key_id is None else keys.filter(pk=key_id).first()
    if row is None or not set(row.scopes) <= set(TEAM_SCOPES):
        raise PermissionDenied("This is no key of your teams that calls models only.", param=param)
    return row


def require_room(model: type[Limit | Budget], bounded: Bounded) -> None:
    """InvalidRequest if the team has made as many limits, or budgets, of the key or member as it may."""
    of = {"subject_kind": bounded.kind, "subject_id": bounded.subject}
    made = model.objects.filter(managed_by__startswith=TEAM_MADE, **of)
    if made.count() >= MAX_PER_SUBJECT:
        raise InvalidRequest(
            f"Of one {bounded.kind} a team makes at most {MAX_PER_SUBJECT}.", param="subject"
        )


def team_within(reach: Reach, reference: str) -> Team:
    """A team by its public id; one answer for other teams, whether there are such or not."""
    if reach is None:
        return find_team(reference)
    team_id = parse_public_id("team", reference)
    row = (
        Team.objects.select_related("organization").filter(pk__in=reach, pk=team_id).first()
        if team_id
        else None
    )
    if row is None:
        raise PermissionDenied("This key manages only the teams that its user administers.", param="team_id")
    return row


def require_known(members: Iterable[Member]) -> None:
    """PermissionDenied unless each is named by the exact id of a user that there is."""
    for member in members:
        if member.user_id is None or member.email is not None:
            raise PermissionDenied("Name members by their 'user_id' alone.", param="member")
        if not GatewayUser.objects.filter(user_id=member.user_id).exists():
            raise PermissionDenied(
                "There is no user with this id; an administrator can make one.", param="member"
            )


def require_removable(team: Team, user: GatewayUser) -> None:
    """PermissionDenied if keys would end with the membership that a team admin could not end."""
    keys = ApiKey.objects.filter(team=team, user_id=user.user_id, deleted_at=None)
    if any(not set(scopes) <= set(TEAM_SCOPES) for scopes in keys.values_list("scopes", flat=True)):
        raise PermissionDenied(
            "This member has a key of the team that manages the gateway; an administrator can remove them.",
            param="user_id",
        )


def _key_ids(teams: Collection[UUID]) -> QuerySet[ApiKey, str]:
    """Ids of the teams' keys as limits and budgets have them: in SQLite's form, not in PostgreSQL's."""
    text = Replace(Cast("pk", CharField()), Value("-"), Value(""))
    keys = ApiKey.objects.filter(team__in=teams).annotate(text_id=text)
    return keys.values_list("text_id", flat=True)
