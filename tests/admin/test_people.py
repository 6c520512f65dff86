"""Organizations, teams, users, end users and issuers in the admin, and what it does to their keys."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from security_app.models import (
    ApiKey,
    EndUser,
    GatewayUser,
    Membership,
    Organization,
    Team,
    TokenIssuer,
)
from security_app.services.keys import create_key
from tests.admin.rows import permit

pytestmark = pytest.mark.django_db
APP = "/admin/security_app"
SECRET = "0123456789abcdef0123456789abcdef"


def form(**changes: Any) -> dict[str, Any]:
    return {"name": "Search", "allowed_models": "", "metadata": "{}", **changes}


def members(*rows: dict[str, Any], initial: int = 0) -> dict[str, Any]:
    """The inline table of a team's form."""
    data: dict[str, Any] = {
        "memberships-TOTAL_FORMS": str(len(rows)),
        "memberships-INITIAL_FORMS": str(initial),
        "memberships-MIN_NUM_FORMS": "0",
        "memberships-MAX_NUM_FORMS": "1000",
    }
    for number, row in enumerate(rows):
        data |= {f"memberships-{number}-{name}": value for name, value in row.items()}
    return data


def save(client: Client, path: str, data: dict[str, Any]) -> None:
    answer = client.post(f"{APP}/{path}", data)
    errors = answer.context["adminform"].form.errors if answer.context else None
    assert answer.status_code == 302, errors


def living(**where: Any) -> int:
    return ApiKey.objects.filter(deleted_at=None, **where).count()


def test_an_organization_a_team_and_its_members_are_made(admin_client: Client) -> None:
    save(admin_client, "organization/add/", form(name="Acme"))
    save(admin_client, "gatewayuser/add/", form(user_id="ada", role="internal_user", email=""))
    organization, user = Organization.objects.get(), GatewayUser.objects.get()

    team = form(organization=str(organization.pk), allowed_models="a/*\nb/*", allowed_tools="crm_*")
    save(admin_client, "team/add/", team | members({"user": str(user.pk), "role": "admin"}))

    row = Team.objects.get()
    assert (row.organization, row.allowed_models, row.allowed_tools) == (
        organization,
        ["a/*", "b/*"],
        ["crm_*"],
    )
    assert list(row.memberships.values_list("user__user_id", "role")) == [("ada", "admin")]
    for path in ("organization", "team", "gatewayuser"):
        assert admin_client.get(f"{APP}/{path}/").status_code == 200


def test_who_leaves_a_team_loses_the_keys_of_the_team(admin_client: Client) -> None:
    team = Team.objects.create(name="Search")
    ada, bob, eve = (GatewayUser.objects.create(user_id=name) for name in ("ada", "bob", "eve"))
    first = Membership.objects.create(team=team, user=ada)
    second = Membership.objects.create(team=team, user=bob)
    for user in (ada, bob):
        create_key(actor="t", team=team, user_id=user.user_id)
    create_key(actor="t", user_id="ada")

    rows = [
        {"id": str(first.pk), "team": str(team.pk), "user": str(ada.pk), "role": "member", "DELETE": "on"},
        {"id": str(second.pk), "team": str(team.pk), "user": str(eve.pk), "role": "member"},
    ]
    save(admin_client, f"team/{team.pk}/change/", form(allowed_tools="") | members(*rows, initial=2))

    assert list(team.memberships.values_list("user__user_id", flat=True)) == ["eve"]
    assert living(team=team) == 0
    assert living(user_id="ada") == 1


def test_a_team_and_a_user_are_deleted_with_their_keys(admin_client: Client) -> None:
    team = Team.objects.create(name="Search")
    user = GatewayUser.objects.create(user_id="ada")
    create_key(actor="t", team=team)
    create_key(actor="t", user_id="ada")
    create_key(actor="t", name="stays")

    asked = admin_client.get(f"{APP}/team/{team.pk}/delete/", follow=True).content.decode()
    for path in (f"team/{team.pk}", f"gatewayuser/{user.pk}"):
        save(admin_client, f"{path}/delete/", {"post": "yes"})

    assert "keys end with it" in asked
    assert list(ApiKey.objects.filter(deleted_at=None).values_list("name", flat=True)) == ["stays"]
    assert not Team.objects.exists()
    assert not GatewayUser.objects.exists()


def test_an_organization_with_teams_can_not_be_deleted(admin_client: Client) -> None:
    organization = Organization.objects.create(name="Acme")
    Team.objects.create(name="Search", organization=organization)

    admin_client.post(f"{APP}/organization/{organization.pk}/delete/", {"post": "yes"})

    assert Organization.objects.exists()


@pytest.mark.parametrize("path", ["organization", "team", "gatewayuser", "enduser"])
def test_rows_are_blocked_and_unblocked_after_a_question(admin_client: Client, path: str) -> None:
    made: dict[str, Any] = {
        "organization": Organization.objects.create(name="Acme"),
        "team": Team.objects.create(name="Search"),
        "gatewayuser": GatewayUser.objects.create(user_id="ada"),
        "enduser": EndUser.objects.create(end_user_id="mia"),
    }
    row = made[path]
    data = {"action": "block_rows", "_selected_action": [str(row.pk)]}

    question = admin_client.post(f"{APP}/{path}/", data)
    row.refresh_from_db()
    before = row.is_blocked
    admin_client.post(f"{APP}/{path}/", data | {"confirmed": "yes"})
    row.refresh_from_db()
    after = row.is_blocked
    admin_client.post(f"{APP}/{path}/", data | {"action": "unblock_rows", "confirmed": "yes"})
    row.refresh_from_db()

    assert "Block these?" in question.content.decode()
    assert (before, after, row.is_blocked) == (False, True, False)


def test_an_end_user_is_made_and_a_user_s_id_stays(admin_client: Client) -> None:
    save(admin_client, "enduser/add/", form(end_user_id="mia", allowed_models="local/*"))
    user = GatewayUser.objects.create(user_id="ada")

    changed = form(user_id="eve", role="internal_user", email="ada@example.org", name="Ada")
    save(admin_client, f"gatewayuser/{user.pk}/change/", changed)

    assert EndUser.objects.get().allowed_models == ["local/*"]
    user.refresh_from_db()
    assert (user.user_id, user.email) == ("ada", "ada@example.org")


def test_an_issuer_s_secret_goes_in_and_never_comes_back(admin_client: Client) -> None:
    data = {"name": "chat", "issuer": "open-webui", "header": "x-openwebui-user-jwt", "claim": "sub"}
    data |= {"audience": "", "jwks_url": ""}
    save(admin_client, "tokenissuer/add/", data | {"secret": SECRET})
    row = TokenIssuer.objects.get()

    save(admin_client, f"tokenissuer/{row.pk}/change/", data | {"secret": "", "claim": "email"})
    page = admin_client.get(f"{APP}/tokenissuer/{row.pk}/change/").content.decode()
    admin_client.post(f"{APP}/tokenissuer/add/", data | {"name": "none", "secret": ""})

    changed = TokenIssuer.objects.get()
    assert (changed.claim, changed.secret_sealed) == ("email", row.secret_sealed)
    assert SECRET not in page
    assert row.secret_sealed not in page


def test_a_key_is_of_a_team_and_for_its_end_users(admin_client: Client) -> None:
    team = Team.objects.create(name="Search")
    row = create_key(actor="t", name="chat").row
    data = form(name="chat", user_id="", scopes=["inference"], allowed_tools="", agent_versions="{}")
    data |= {"expires_at_0": "", "expires_at_1": "", "team": str(team.pk), "trusts_end_user": "header"}
    data |= {"allowed_ips": "10.0.0.0/8", "allowed_routes": "/v1/*", "rotation_days": "30"}

    save(admin_client, f"apikey/{row.pk}/change/", data)
    wrong = data | {"allowed_ips": "10.0.0.1/8", "trusts_end_user": "jwt", "is_service_account": "on"}
    refused = admin_client.post(f"{APP}/apikey/{row.pk}/change/", wrong | {"user_id": "ada"})

    row.refresh_from_db()
    assert (row.team, row.allowed_ips, row.allowed_routes) == (team, ["10.0.0.0/8"], ["/v1/*"])
    assert row.trusts_end_user == "header"
    assert row.rotation_interval_s == 30 * 86_400
    assert row.next_rotation_at is not None
    errors = refused.context["adminform"].form.errors
    assert set(errors) == {"allowed_ips", "trusts_end_user", "is_service_account"}
    assert 'value="30"' in admin_client.get(f"{APP}/apikey/{row.pk}/change/").content.decode()


@pytest.mark.parametrize(("name", "has_grace"), [("rotate_with_grace", True), ("rotate_at_once", False)])
def test_a_key_is_rotated_after_a_question_and_shown_once(
    admin_client: Client, name: str, has_grace: bool
) -> None:
    row = create_key(actor="t", name="chat").row
    data = {"action": name, "_selected_action": [str(row.pk)]}

    question = admin_client.post(f"{APP}/apikey/", data).content.decode()
    page = admin_client.post(f"{APP}/apikey/", data | {"confirmed": "yes"})

    after = ApiKey.objects.get(pk=row.pk)
    assert "Give this key a new secret?" in question
    assert 'id="plain-key"' in page.content.decode()
    assert "no-store" in page.headers["cache-control"]
    assert bytes(after.digest) != bytes(row.digest)
    assert (after.previous_digest is not None) is has_grace


def test_one_key_at_a_time_is_rotated_and_no_secret_waits(admin_client: Client) -> None:
    rows = [create_key(actor="t").row for _ in range(2)]
    both = {"_selected_action": [str(row.pk) for row in rows], "confirmed": "yes"}

    admin_client.post(f"{APP}/apikey/", both | {"action": "rotate_at_once"})
    one = {"_selected_action": [str(rows[0].pk)], "confirmed": "yes", "action": "show_new_secret"}
    answer = admin_client.post(f"{APP}/apikey/", one, follow=True).content.decode()

    assert "No new secret of this key is waiting" in answer
    assert [bytes(ApiKey.objects.get(pk=row.pk).digest) for row in rows] == [
        bytes(row.digest) for row in rows
    ]


def test_who_may_only_look_changes_nothing(client: Client) -> None:
    person = User.objects.create_user("vera", is_staff=True)
    permit(person, "view_team", "view_apikey")
    client.force_login(person)
    team, key = Team.objects.create(name="Search"), create_key(actor="t").row

    assert client.get(f"{APP}/team/").status_code == 200
    assert client.get(f"{APP}/enduser/").status_code == 403
    assert client.post(f"{APP}/team/{team.pk}/delete/", {"post": "yes"}).status_code == 403
    client.post(
        f"{APP}/apikey/",
        {"action": "rotate_at_once", "_selected_action": [str(key.pk)], "confirmed": "yes"},
    )
    assert bytes(ApiKey.objects.get(pk=key.pk).digest) == bytes(key.digest)
