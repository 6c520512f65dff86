"""`/team/*`: teams and their members, in LiteLLM's shapes."""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.http import HttpRequest
from ninja import Query, Router

from gateway_project.core.errors import InvalidRequest, NotFound, PermissionDenied
from gateway_project.core.ids import parse_public_id
from security_app.api.auth import actor_name, admin_key, reach_of, team_key
from security_app.api.key_fields import tool_values, used_key_rows
from security_app.api.people_rows import member_rows, subject_values, team_row, team_rows
from security_app.api.queries import refuse_unknown_parameters
from security_app.models import GatewayUser, Membership, Team
from security_app.schemas.base import MAX_PER_CALL
from security_app.schemas.keys import UsedKeyRow
from security_app.schemas.people import (
    DeletedTeams,
    MemberAdd,
    MemberBody,
    MemberOf,
    MemberUpdate,
    RemovedMember,
    TeamDelete,
    TeamFields,
    TeamInfo,
    TeamListQuery,
    TeamModels,
    TeamNew,
    TeamPage,
    TeamPageQuery,
    TeamPermissions,
    TeamQuery,
    TeamReference,
    TeamRow,
    TeamUpdate,
)
from security_app.services import teams
from security_app.services.limit_fields import apply_limits, limit_values
from security_app.services.organizations import find_organization
from security_app.services.people import page_of
from security_app.services.team_rights import require_known, require_removable, team_within
from security_app.services.users import find_user

router = Router(tags=["Teams"], auth=admin_key)
_ROLES = {"admin": Membership.Role.ADMIN, "user": Membership.Role.MEMBER}


@router.post("/team/new", response=TeamRow, operation_id="new_team", summary="Make a team")
def new_team(request: HttpRequest, body: TeamNew) -> TeamRow:
    """With its first members; those that are no users yet become some."""
    values = _values(body) | tool_values(body, None)
    if body.team_id is not None:
        values["id"] = parse_public_id("team", body.team_id)
        if values["id"] is None:
            raise InvalidRequest("'team_id' must be a UUID.", param="team_id")
    members = _members(body.members_with_roles, param="members_with_roles")
    with transaction.atomic():
        row = teams.create_team(actor=actor_name(request), members=members, **values)
        apply_limits("team", row.id.hex, limit_values(body))
    return team_row(row)


@router.get("/team/info", auth=team_key, response=TeamInfo, operation_id="team_info", summary="Show a team")
def team_info(request: HttpRequest, query: Query[TeamQuery]) -> TeamInfo:
    """The team, its members and its newest keys."""
    refuse_unknown_parameters(request, TeamQuery)
    row = team_within(reach_of(request), query.team_id)
    keys, total = team_keys(team=row)
    return TeamInfo(
        team_id=row.public_id,
        team_info=team_row(row),
        team_memberships=member_rows(row),
        keys=keys,
        keys_total=total,
    )


@router.get(
    "/team/list", auth=team_key, response=list[TeamRow], operation_id="list_teams", summary="List teams"
)
def list_teams(request: HttpRequest, query: Query[TeamListQuery]) -> list[TeamRow]:
    """By name."""
    refuse_unknown_parameters(request, TeamListQuery)
    rows, reach = _wanted(query), reach_of(request)
    rows = rows if reach is None else rows.filter(pk__in=reach)
    found = page_of(rows, page=query.page, size=query.page_size)
    return team_rows(found.rows)


@router.get("/v2/team/list", response=TeamPage, operation_id="page_teams", summary="List teams by pages")
def page_teams(request: HttpRequest, query: Query[TeamPageQuery]) -> TeamPage:
    """By name, with how many there are."""
    refuse_unknown_parameters(request, TeamPageQuery)
    found = page_of(_wanted(query), page=query.page, size=query.page_size)
    return TeamPage(
        teams=team_rows(found.rows),
        total=found.total,
        page=query.page,
        page_size=query.page_size,
        total_pages=-(-found.total // query.page_size),
    )


@router.post(
    "/team/update", auth=team_key, response=TeamRow, operation_id="update_team", summary="Change a team"
)
def update_team(request: HttpRequest, body: TeamUpdate) -> TeamRow:
    """What is left out stays. The scope `team` changes `metadata`."""
    reach = reach_of(request)
    row = team_within(reach, body.team_id)
    if reach is not None and (others := sorted(body.model_fields_set - {"team_id", "metadata"})):
        raise PermissionDenied("An administrator changes this.", param=others[0])
    return _changed(request, row.public_id, body)


@router.post("/team/delete", response=DeletedTeams, operation_id="delete_teams", summary="Delete teams")
def delete_teams(request: HttpRequest, body: TeamDelete) -> DeletedTeams:
    """All or none, and their keys with them; what these have used stays in the ledger."""
    rows = teams.find_teams(body.team_ids)
    deleted = [row.public_id for row in rows]
    ended = teams.delete_teams(rows, actor=actor_name(request))
    return DeletedTeams(deleted_teams=deleted, deleted_keys=ended)


@router.post("/team/block", response=TeamRow, operation_id="block_team", summary="Block a team")
def block_team(request: HttpRequest, body: TeamReference) -> TeamRow:
    """Its keys are refused everywhere within two seconds."""
    return _updated(request, body, is_blocked=True)


@router.post("/team/unblock", response=TeamRow, operation_id="unblock_team", summary="Unblock a team")
def unblock_team(request: HttpRequest, body: TeamReference) -> TeamRow:
    """Its keys work again, those of their own block and expiry apart."""
    return _updated(request, body, is_blocked=False)


@router.post("/team/model/add", response=TeamRow, operation_id="add_team_models", summary="Allow more models")
def add_team_models(request: HttpRequest, body: TeamModels) -> TeamRow:
    """Refused for a team that may use every model."""
    row = teams.find_team(body.team_id)
    return team_row(teams.add_models(row, body.models, actor=actor_name(request)))


@router.post(
    "/team/model/delete", response=TeamRow, operation_id="remove_team_models", summary="Take models away"
)
def remove_team_models(request: HttpRequest, body: TeamModels) -> TeamRow:
    """Refused for the last ones: an empty list would allow every model."""
    row = teams.find_team(body.team_id)
    return team_row(teams.remove_models(row, body.models, actor=actor_name(request)))


@router.post(
    "/team/member_add", auth=team_key, response=TeamRow, operation_id="add_members", summary="Add members"
)
def add_members(request: HttpRequest, body: MemberAdd) -> TeamRow:
    """One or several, all or none; who is in the team already gets the role."""
    reach = reach_of(request)
    row = team_within(reach, body.team_id)
    bodies = body.member if isinstance(body.member, list) else [body.member]
    members = _members(bodies, param="member")
    if reach is not None:
        require_known(members)
    teams.add_members(row, members, actor=actor_name(request))
    return team_row(row)


@router.post(
    "/team/member_update",
    auth=team_key,
    response=TeamRow,
    operation_id="update_member",
    summary="Change a member's role",
)
def update_member(request: HttpRequest, body: MemberUpdate) -> TeamRow:
    """`admin` or `user`."""
    row, user = _member_of(request, body)
    membership = teams.find_membership(row, user)
    teams.change_role(membership, _ROLES[body.role], actor=actor_name(request))
    return team_row(row)


@router.post(
    "/team/member_delete",
    auth=team_key,
    response=RemovedMember,
    operation_id="remove_member",
    summary="Remove a member",
)
def remove_member(request: HttpRequest, body: MemberOf) -> RemovedMember:
    """The member's own keys of this team end; those of service accounts stay."""
    row, user = _member_of(request, body)
    if reach_of(request) is not None:
        require_removable(row, user)
    ended = teams.remove_member(row, user, actor=actor_name(request))
    return RemovedMember(team=team_row(row), deleted_keys=ended)


@router.get(
    "/team/permissions_list",
    response=TeamPermissions,
    operation_id="team_permissions",
    summary="What members may manage",
)
def team_permissions(request: HttpRequest, query: Query[TeamQuery]) -> TeamPermissions:
    """Nothing over HTTP: that takes a key with the scope `admin`."""
    refuse_unknown_parameters(request, TeamQuery)
    row = teams.find_team(query.team_id)
    return TeamPermissions(team_id=row.public_id, team_member_permissions=[], all_available_permissions=[])


# After the others: it takes every word for an id.
@router.patch(
    "/team/{reference}", response=TeamRow, operation_id="patch_team", summary="Change a team by its id"
)
def patch_team(request: HttpRequest, reference: str, body: TeamFields) -> TeamRow:
    """As `/team/update`."""
    return _changed(request, reference, body)


def team_keys(**of: Any) -> tuple[list[UsedKeyRow], int]:
    """The newest living keys of a team or a user, with what they have used, and how many there are."""
    found = page_of(teams.keys_of(**of), page=1, size=MAX_PER_CALL)
    return used_key_rows(found.rows), found.total


def _wanted(query: TeamListQuery | TeamPageQuery) -> Any:
    organization = None if query.organization_id is None else find_organization(query.organization_id)
    return teams.teams_of(organization=organization, user_id=query.user_id)


def _changed(request: HttpRequest, reference: str, body: TeamFields) -> TeamRow:
    row = teams.find_team(reference)
    values = _values(body) | tool_values(body, row)
    with transaction.atomic():
        has_limits = apply_limits("team", row.id.hex, limit_values(body))
        if values:
            teams.update_team(row, actor=actor_name(request), **values)
    if not values and not has_limits:
        raise InvalidRequest("There is nothing to change: give at least one field beside 'team_id'.")
    return team_row(row)


def _updated(request: HttpRequest, body: TeamReference, **values: Any) -> TeamRow:
    row = teams.find_team(body.team_id)
    return team_row(teams.update_team(row, actor=actor_name(request), **values))


def _values(body: TeamFields) -> dict[str, Any]:
    values = subject_values(body, {"name": "team_alias"})
    if "organization_id" in body.model_fields_set:
        reference = body.organization_id
        values["organization"] = None if reference is None else find_organization(reference)
    return values


def _member_of(request: HttpRequest, body: MemberOf) -> tuple[Team, GatewayUser]:
    """A team and who is, or is not, in it. To the scope `team` all strangers look the same."""
    reach = reach_of(request)
    row = team_within(reach, body.team_id)
    if reach is None:
        return row, find_user(body.user_id, email=body.user_email)
    user = (
        None
        if body.user_id is None or body.user_email is not None
        else GatewayUser.objects.filter(memberships__team=row, user_id=body.user_id).first()
    )
    if user is None:
        raise NotFound("This user is not in the team.", param="user_id")
    return row, user


def _members(bodies: list[MemberBody], *, param: str) -> list[teams.Member]:
    for body in bodies:
        if body.user_id is None and body.user_email is None:
            raise InvalidRequest("Each member needs a 'user_id' or a 'user_email'.", param=param)
    return [teams.Member(body.user_id, body.user_email, _ROLES[body.role]) for body in bodies]
