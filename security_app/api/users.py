"""`/user/*`: who owns keys, in LiteLLM's shapes."""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.http import HttpRequest
from ninja import Query, Router

from gateway_project.core.errors import InvalidRequest
from security_app.api.auth import actor_name, admin_key
from security_app.api.key_fields import duration_of, key_row
from security_app.api.people_rows import subject_values, team_rows, user_row, user_rows
from security_app.api.queries import refuse_unknown_parameters
from security_app.api.teams import team_keys
from security_app.models import GatewayUser, Membership
from security_app.schemas.keys import GeneratedKey
from security_app.schemas.people import (
    DeletedUsers,
    MadeUser,
    UserDelete,
    UserFields,
    UserInfo,
    UserNew,
    UserPage,
    UserPageQuery,
    UserQuery,
    UserRow,
    UserUpdate,
)
from security_app.services import teams, users
from security_app.services.keys import CreatedKey, create_key
from security_app.services.limit_fields import apply_limits, limit_values
from security_app.services.people import page_of

router = Router(tags=["Users"], auth=admin_key)


@router.post("/user/new", response=MadeUser, operation_id="new_user", summary="Make a user")
def new_user(request: HttpRequest, body: UserNew) -> MadeUser:
    """In `teams`, if there are any, and with a key unless `auto_create_key` is false."""
    if not body.auto_create_key and (body.key_alias is not None or body.duration is not None):
        raise InvalidRequest("These are of the key: 'key_alias', 'duration'.", param="auto_create_key")
    actor = actor_name(request)
    with transaction.atomic():
        row = users.create_user(actor=actor, user_id=body.user_id or "", **_values(body))
        apply_limits("user", row.user_id, limit_values(body))
        member = teams.Member(row.user_id, None, Membership.Role.MEMBER)
        for team in teams.find_teams(body.teams):
            teams.add_members(team, [member], actor=actor)
        created = _key_of(row, body, actor=actor) if body.auto_create_key else None
    shown = None if created is None else GeneratedKey(key=created.plain, **key_row(created.row))
    return MadeUser(
        key=None if created is None else created.plain, key_info=shown, **user_row(row).model_dump()
    )


@router.get("/user/info", response=UserInfo, operation_id="user_info", summary="Show a user")
def user_info(request: HttpRequest, query: Query[UserQuery]) -> UserInfo:
    """The user, the user's teams and newest keys."""
    refuse_unknown_parameters(request, UserQuery)
    row = users.find_user(query.user_id)
    keys, total = team_keys(user_id=row.user_id)
    return UserInfo(
        user_id=row.user_id,
        user_info=user_row(row),
        keys=keys,
        keys_total=total,
        teams=team_rows(list(teams.teams_of(user_id=row.user_id))),
    )


@router.get("/user/list", response=UserPage, operation_id="list_users", summary="List users")
def list_users(request: HttpRequest, query: Query[UserPageQuery]) -> UserPage:
    """In the order of their ids."""
    refuse_unknown_parameters(request, UserPageQuery)
    ids = [text.strip() for text in (query.user_ids or "").split(",") if text.strip()]
    rows = users.list_users(ids=ids, email=query.user_email, role=query.role)
    found = page_of(rows, page=query.page, size=query.page_size)
    return UserPage(
        users=user_rows(found.rows),
        total=found.total,
        page=query.page,
        page_size=query.page_size,
        total_pages=-(-found.total // query.page_size),
    )


@router.post("/user/update", response=UserRow, operation_id="update_user", summary="Change a user")
def update_user(request: HttpRequest, body: UserUpdate) -> UserRow:
    """What is left out stays. Blocking a user blocks the user's keys."""
    by_address = body.user_id is None
    row = users.find_user(body.user_id, email=body.user_email if by_address else None)
    values = _values(body)
    if by_address:
        values.pop("email", None)
    with transaction.atomic():
        has_limits = apply_limits("user", row.user_id, limit_values(body))
        if values:
            users.update_user(row, actor=actor_name(request), **values)
    if not values and not has_limits:
        raise InvalidRequest("There is nothing to change: give at least one field beside the user.")
    return user_row(row)


@router.post("/user/delete", response=DeletedUsers, operation_id="delete_users", summary="Delete users")
def delete_users(request: HttpRequest, body: UserDelete) -> DeletedUsers:
    """All or none, and their keys with them; what these have used stays in the ledger."""
    rows = [users.find_user(user_id) for user_id in dict.fromkeys(body.user_ids)]
    ended = users.delete_users(rows, actor=actor_name(request))
    return DeletedUsers(deleted_users=[row.user_id for row in rows], deleted_keys=ended)


def _values(body: UserFields) -> dict[str, Any]:
    values = subject_values(body, {"email": "user_email", "name": "user_alias"})
    if body.user_role is not None:
        values["role"] = body.user_role
    return values


def _key_of(row: GatewayUser, body: UserNew, *, actor: str) -> CreatedKey:
    values: dict[str, Any] = {"user_id": row.user_id}
    if body.key_alias is not None:
        values["name"] = body.key_alias.strip()
    if body.duration is not None and body.duration != "-1":
        values["expires_at"] = row.created_at + duration_of(body.duration, param="duration")
    return create_key(actor=actor, requires_unique_name=True, **values)
