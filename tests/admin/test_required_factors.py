"""Whom GATEWAY_REQUIRE_MFA=administrators asks for a second factor, beside superusers and the role."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.test import Client
from pytest_django import Settings as SettingsWrapper


@pytest.mark.parametrize("by", ["group", "person"])
@pytest.mark.parametrize(
    ("codename", "is_asked"),
    [
        ("change_apikey", True),
        ("add_accessrule", True),
        ("delete_gatewayuser", True),
        ("change_group", True),
        ("view_apikey", False),
        ("change_limit", False),
        ("team_change_apikey", False),
    ],
)
def test_administrators_are_also_who_may_do_what_only_they_may(
    codename: str, is_asked: bool, by: str, client: Client, charlie: User, settings: SettingsWrapper
) -> None:
    settings.REQUIRE_MFA = "administrators"
    permission = Permission.objects.get(codename=codename)
    if by == "group":
        group = Group.objects.create(name="ours")
        group.permissions.add(permission)
        charlie.groups.add(group)
    else:
        charlie.user_permissions.add(permission)
    client.force_login(charlie)

    assert (client.get("/admin/").status_code == 302) == is_asked
