"""Nobody can raise oneself or others: who may manage people gives what one has, to those who have less."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.test import Client
from django.urls import reverse

from gateway_project.roles import ROLES


@pytest.fixture
def alice(client: Client, db: None) -> User:
    """An administrator by role, no superuser, signed in."""
    user = User.objects.create_user("alice", password="correct-horse-battery", is_staff=True)
    user.groups.add(Group.objects.get(name="administrator"))
    client.force_login(user)
    return user


def url(page: str, row: Any) -> str:
    return reverse(f"admin:auth_{row._meta.model_name}_{page}", args=(row.pk,))


def fields(user: User, **more: Any) -> dict[str, Any]:
    own = {"username": user.username, "is_active": "on", "is_staff": "on"}
    dates = {"date_joined_0": "2026-01-01", "date_joined_1": "00:00:00"}
    return {**own, **dates, "groups": [], "user_permissions": [], **more}


def test_an_administrator_gives_roles(client: Client, alice: User, charlie: User) -> None:
    operators = Group.objects.get(name="operator")

    answer = client.post(url("change", charlie), fields(charlie, groups=[operators.pk]))

    assert answer.status_code == 302
    assert list(charlie.groups.all()) == [operators]


def test_an_administrator_makes_no_superuser(client: Client, alice: User, charlie: User) -> None:
    for user in (charlie, alice):
        client.post(url("change", user), fields(user, is_superuser="on", groups=[1]))

    assert not User.objects.filter(is_superuser=True).exists()


def test_a_superuser_is_out_of_an_administrators_reach(client: Client, alice: User, admin_user: User) -> None:
    for path in (url("change", admin_user), url("delete", admin_user)):
        assert client.post(path, fields(admin_user, is_active="", post="yes")).status_code == 403
    password = reverse("admin:auth_user_password_change", args=(admin_user.pk,))
    new = {"password1": "taken-over-by-alice", "password2": "taken-over-by-alice", "usable_password": "true"}
    assert client.post(password, new).status_code == 403

    admin_user.refresh_from_db()
    assert admin_user.is_active
    assert not admin_user.check_password("taken-over-by-alice")


def test_what_one_has_not_oneself_can_be_given_to_nobody(client: Client, alice: User, charlie: User) -> None:
    beyond = Permission.objects.get(codename="delete_session")
    powerful = Group.objects.create(name="powerful")
    powerful.permissions.add(beyond)

    for more in ({"groups": [powerful.pk]}, {"user_permissions": [beyond.pk]}):
        assert client.post(url("change", charlie), fields(charlie, **more)).status_code == 200
    assert client.post(url("change", powerful), {"name": "mine"}).status_code == 403

    assert not charlie.groups.exists()
    assert not charlie.user_permissions.exists()


def test_who_has_one_right_more_is_out_of_reach_even_when_deactivated(
    client: Client, alice: User, charlie: User
) -> None:
    charlie.user_permissions.add(Permission.objects.get(codename="delete_session"))
    charlie.is_active = False
    charlie.save()

    assert client.post(url("change", charlie), fields(charlie)).status_code == 403


@pytest.mark.parametrize("role", ROLES)
def test_the_groups_of_roles_can_only_be_looked_at(role: str, admin_client: Client) -> None:
    group = Group.objects.get(name=role)

    assert admin_client.get(url("change", group)).status_code == 200
    assert admin_client.post(url("change", group), {"name": "mine", "permissions": []}).status_code == 403
    assert admin_client.post(url("delete", group), {"post": "yes"}).status_code == 403


def test_people_are_not_deleted_in_bulk_past_these_rules(
    client: Client, alice: User, admin_user: User
) -> None:
    chosen = {"action": "delete_selected", "_selected_action": str(admin_user.pk), "post": "yes"}

    client.post(reverse("admin:auth_user_changelist"), chosen)

    assert User.objects.filter(pk=admin_user.pk).exists()
