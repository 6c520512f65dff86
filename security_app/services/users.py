"""Users, who own keys, and end users, whom clients serve."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import uuid4

from django.db import transaction
from django.db.models import QuerySet

from gateway_project.core.errors import Conflict, InvalidRequest, NotFound
from security_app.models import ApiKey, EndUser, GatewayUser
from security_app.services.keys import delete_keys
from security_app.services.limit_fields import remove_limits, remove_member_limits
from security_app.services.people import create_row, delete_row, update_row

USER_NAMES = {"email": "user_email", "name": "user_alias", "role": "user_role"}
END_USER_NAMES = {"end_user_id": "user_id", "name": "alias"}


def find_user(user_id: str | None = None, *, email: str | None = None) -> GatewayUser:
    """A user by id or by e-mail address; NotFound, or Conflict if several have the address."""
    if (user_id is None) == (email is None):
        raise InvalidRequest("Give either 'user_id' or 'user_email'.", param="user_id")
    rows: QuerySet[GatewayUser] = GatewayUser.objects.all()
    rows = rows.filter(user_id=user_id) if email is None else rows.filter(email__iexact=email)
    found = list(rows[:2])
    param = "user_id" if email is None else "user_email"
    if not found:
        raise NotFound("There is no such user.", param=param)
    if len(found) > 1:
        raise Conflict("Several users have this address; use the id of one.", param=param)
    return found[0]


def list_users(
    *, ids: Sequence[str] = (), email: str | None = None, role: str | None = None
) -> QuerySet[GatewayUser]:
    """Users by id, part of the address or role, in the order of their ids."""
    rows: QuerySet[GatewayUser] = GatewayUser.objects.all().prefetch_related("memberships__team")
    if ids:
        rows = rows.filter(user_id__in=ids)
    if email is not None:
        rows = rows.filter(email__icontains=email)
    if role is not None:
        rows = rows.filter(role=role)
    return rows.order_by("user_id")


def create_user(*, actor: str, **values: Any) -> GatewayUser:
    """Make a user; without an id one is made up."""
    row = GatewayUser(**values)
    row.user_id = row.user_id or str(uuid4())
    return create_row(row, kind="user", actor=actor, names=USER_NAMES)


def update_user(row: GatewayUser, *, actor: str, **values: Any) -> GatewayUser:
    """Change fields of a user, and no others."""
    return update_row(row, kind="user", actor=actor, names=USER_NAMES, values=values)


def delete_users(rows: Sequence[GatewayUser], *, actor: str) -> int:
    """Delete users and end their keys, all or none; how many keys.

    A key of a user who is gone would be free of what narrowed that user.
    """
    with transaction.atomic():
        ids = [row.user_id for row in rows]
        ended = list(ApiKey.objects.filter(user_id__in=ids, deleted_at=None))
        delete_keys(ended, actor=actor)
        remove_limits("user", ids)
        remove_member_limits(user_ids=ids)
        for row in rows:
            delete_row(row, kind="user", actor=actor)
    return len(ended)


def find_end_user(end_user_id: str, *, param: str = "end_user_id") -> EndUser:
    """An end user by id; NotFound otherwise."""
    row: EndUser | None = EndUser.objects.filter(end_user_id=end_user_id).first()
    if row is None:
        raise NotFound("There is no such end user.", param=param)
    return row


def create_end_user(*, actor: str, **values: Any) -> EndUser:
    """Make a row for an end user."""
    return create_row(EndUser(**values), kind="end_user", actor=actor, names=END_USER_NAMES)


def update_end_user(row: EndUser, *, actor: str, **values: Any) -> EndUser:
    """Change fields of an end user, and no others."""
    return update_row(row, kind="end_user", actor=actor, names=END_USER_NAMES, values=values)


def block_end_users(ids: Sequence[str], *, actor: str, is_blocked: bool) -> list[EndUser]:
    """Block or unblock end users, all or none; those without a row get one."""
    with transaction.atomic():
        rows = []
        for end_user_id in ids:
            row = EndUser.objects.filter(end_user_id=end_user_id).first()
            if row is None:
                rows.append(create_end_user(actor=actor, end_user_id=end_user_id, is_blocked=is_blocked))
            else:
                rows.append(update_end_user(row, actor=actor, is_blocked=is_blocked))
    return rows


def delete_end_users(rows: Sequence[EndUser], *, actor: str) -> None:
    """Forget what is said of end users, all or none: their requests are served as those of unknown ones."""
    with transaction.atomic():
        remove_limits("end_user", [row.end_user_id for row in rows])
        for row in rows:
            delete_row(row, kind="end_user", actor=actor)
