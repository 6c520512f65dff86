"""A team admin has the own teams' keys and usage: alice is one, bob a member, charlie sees nothing."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.test import Client
from django.urls import reverse

from gateway_project.core.clock import utc_now
from gateway_project.core.snapshot import SnapshotStore
from security_app.models import ApiKey, AuditEvent, GatewayUser, Membership, Team, TokenIssuer
from security_app.services.keys import create_key, update_key
from usage_app.models import UsageRecord

LIST = "/admin/security_app/apikey/"
LEDGER = "/admin/usage_app/usagerecord/"


@pytest.fixture
def teams(db: None) -> dict[str, Team]:
    """Alice's team and another one, with a key and a request each."""
    found = {name: Team.objects.create(name=name) for name in ("ours", "theirs")}
    for name, team in found.items():
        create_key(actor="test", name=f"key of {name}", team=team)
        UsageRecord.objects.create(
            at=utc_now(),
            operation="chat",
            model=f"model-of-{name}",
            team_id=team.pk,
            status=200,
            state="reported",
        )
    create_key(actor="test", name="key of nobody")
    return found


def member(name: str, team: Team | None, role: str) -> User:
    """Staff with the role of a team admin, and a place in a team."""
    account = User.objects.create_user(f"{name}-of-{team}", is_staff=True)
    account.groups.add(Group.objects.get(name="team admin"))
    if team is not None:
        user = GatewayUser.objects.create(user_id=name, account=account)
        Membership.objects.create(user=user, team=team, role=role)
    return account


@pytest.fixture
def alice(teams: dict[str, Team], client: Client) -> Client:
    """The browser of the team's admin."""
    client.force_login(member("alice", teams["ours"], Membership.Role.ADMIN))
    return client


def key(name: str) -> ApiKey:
    return ApiKey.objects.get(name=f"key of {name}")


def change(row: ApiKey, page: str = "change") -> str:
    return reverse(f"admin:security_app_apikey_{page}", args=(row.pk,))


def fields(team: Team, **more: Any) -> dict[str, Any]:
    values = {"name": "new", "user_id": "", "scopes": ["inference"], "team": str(team.pk), "metadata": "{}"}
    values |= {"trusts_end_user": "off", "allowed_ips": "", "allowed_routes": ""}
    return {**values, "agent_versions": "{}", "allowed_models": "", "allowed_tools": "", **more}


def test_lists_and_searches_have_the_own_teams_rows_only(alice: Client) -> None:
    for query in ({}, {"q": "key"}, {"q": key("theirs").public_id}, {"status": "all"}):
        page = alice.get(LIST, query, follow=True).content.decode()
        assert "key of theirs" not in page, query
        assert "key of nobody" not in page, query
    assert "key of ours" in alice.get(LIST).content.decode()
    ledger = alice.get(LEDGER).content.decode()
    assert "model-of-ours" in ledger
    assert "model-of-theirs" not in ledger


@pytest.mark.parametrize("page", ["change", "history", "delete"])
def test_another_teams_key_is_forbidden_whether_it_exists_or_not(alice: Client, page: str) -> None:
    gone = reverse(f"admin:security_app_apikey_{page}", args=("01234567-89ab-7def-8123-456789abcdef",))

    for name in ("theirs", "nobody"):
        assert alice.get(change(key(name), page)).status_code == 403
        assert alice.post(change(key(name), page), {"post": "yes"}).status_code == 403
    assert alice.get(gone).status_code == 403
    assert alice.get(change(key("ours"), page)).status_code == 200
    assert key("theirs").deleted_at is None


def test_another_teams_record_is_forbidden(alice: Client) -> None:
    for name, status in (("ours", 200), ("theirs", 403)):
        record = UsageRecord.objects.get(model=f"model-of-{name}")
        assert alice.get(f"{LEDGER}{record.pk}/change/").status_code == status


@pytest.mark.parametrize("action", ["block_keys", "delete_keys_for_good"])
def test_actions_reach_no_further(alice: Client, action: str) -> None:
    chosen = [str(key(name).pk) for name in ("ours", "theirs", "nobody")]

    alice.post(LIST, {"action": action, "_selected_action": chosen, "confirmed": "yes"})

    touched = [name for name in ("ours", "theirs", "nobody") if key(name).is_blocked or key(name).deleted_at]
    assert touched == ["ours"]


def test_a_key_is_made_in_an_own_team_only(
    alice: Client, teams: dict[str, Team], snapshots: SnapshotStore
) -> None:
    made = alice.post(f"{LIST}add/", fields(teams["ours"]))
    refused = alice.post(f"{LIST}add/", fields(teams["theirs"], name="foreign"))
    teamless = alice.post(f"{LIST}add/", {**fields(teams["ours"], name="teamless"), "team": ""})

    assert "sk-gw-" in made.content.decode()
    assert ApiKey.objects.get(name="new").team == teams["ours"]
    assert refused.status_code == teamless.status_code == 200
    assert not ApiKey.objects.filter(name__in=["foreign", "teamless"]).exists()
    assert "theirs" not in alice.get(f"{LIST}add/").content.decode()


@pytest.mark.parametrize("scopes", [["admin"], ["inference", "admin"], ["metrics"]])
def test_no_key_of_a_team_admin_manages_the_gateway(
    alice: Client, teams: dict[str, Team], scopes: list[str]
) -> None:
    alice.post(f"{LIST}add/", fields(teams["ours"], scopes=scopes))
    alice.post(change(key("ours")), fields(teams["ours"], scopes=scopes))

    assert not ApiKey.objects.filter(name="new").exists()
    assert key("ours").scopes == ["inference"]


def test_a_managing_key_of_the_own_team_can_only_be_looked_at(alice: Client, teams: dict[str, Team]) -> None:
    create_key(actor="test", name="key of management", team=teams["ours"], scopes=["admin"])

    row = key("management")
    assert alice.get(change(row)).status_code == 200
    assert alice.post(change(row), fields(teams["ours"])).status_code == 403
    alice.post(LIST, {"action": "block_keys", "_selected_action": str(row.pk), "confirmed": "yes"})
    assert not key("management").is_blocked


def test_a_key_is_not_moved_to_another_team_nor_put_down_to_its_people(
    alice: Client, teams: dict[str, Team]
) -> None:
    GatewayUser.objects.create(user_id="mallory")

    alice.post(change(key("ours")), fields(teams["theirs"], name="key of ours"))
    alice.post(change(key("ours")), fields(teams["ours"], name="key of ours", user_id="mallory"))

    assert key("ours").team == teams["ours"]
    assert key("ours").user_id == ""


def test_no_key_is_made_to_believe_that_it_is_somebody_elses(
    alice: Client, teams: dict[str, Team], snapshots: SnapshotStore
) -> None:
    """Temporary grants of end users would else be anybody's who knows their ids."""
    issuer = TokenIssuer.objects.create(name="chat", header="x-token", claim="sub")
    row = key("ours")

    alice.post(f"{LIST}add/", fields(teams["ours"], trusts_end_user="header"))
    alice.post(change(row), fields(teams["ours"], name="key of ours", trusts_end_user="header"))
    update_key(row, actor="test", trusts_end_user="header")
    jwt = {"trusts_end_user": "jwt", "token_issuer": str(issuer.pk)}
    alice.post(change(row), fields(teams["ours"], name="key of ours", **jwt))
    alice.post(change(row), fields(teams["ours"], name="renamed", trusts_end_user="header"))

    assert not ApiKey.objects.filter(name="new").exists()
    row.refresh_from_db()
    assert (row.name, row.trusts_end_user, row.token_issuer) == ("renamed", "header", None)


@pytest.mark.parametrize(("name", "place"), [("bob", "member"), ("charlie", None)])
def test_who_is_no_admin_of_a_team_sees_nothing(
    client: Client, teams: dict[str, Team], name: str, place: str | None
) -> None:
    client.force_login(member(name, teams["ours"] if place else None, place or ""))

    for path in (LIST, LEDGER):
        page = client.get(path).content.decode()
        assert "key of" not in page, path
        assert "model-of" not in page, path
    assert client.get(change(key("ours"))).status_code == 403
    assert client.get(f"{LIST}add/").status_code == 403


def test_who_sees_all_keys_as_an_auditor_changes_the_own_teams_only(
    alice: Client, teams: dict[str, Team]
) -> None:
    User.objects.get(username="alice-of-ours").groups.add(Group.objects.get(name="auditor"))
    chosen = [str(key(name).pk) for name in ("ours", "theirs")]

    assert "key of theirs" in alice.get(LIST).content.decode()
    assert alice.post(change(key("theirs")), fields(teams["theirs"])).status_code == 403
    alice.post(LIST, {"action": "block_keys", "_selected_action": chosen, "confirmed": "yes"})
    alice.post(change(key("ours")), fields(teams["ours"], name="key of ours", scopes=["admin"]))

    assert (key("ours").is_blocked, key("theirs").is_blocked) == (True, False)
    assert key("ours").scopes == ["inference"]


def test_the_menu_names_what_there_is_of_the_team_and_no_more(alice: Client) -> None:
    page = alice.get("/admin/").content.decode()

    assert f'href="{LIST}"' in page
    assert f'href="{LEDGER}"' in page
    for path in ("/admin/upstreams_app/upstream/", "/admin/auth/user/", "/admin/live/", "/admin/clients/"):
        assert f'href="{path}"' not in page
        assert alice.get(path).status_code == 403


def test_no_older_version_of_a_key_is_brought_back_by_a_team_admin(
    alice: Client, teams: dict[str, Team]
) -> None:
    row = create_key(actor="test", name="key of before", team=teams["ours"], scopes=["admin"]).row
    update_key(row, actor="test", scopes=["inference"])
    event = AuditEvent.objects.filter(object_id=row.pk.hex).order_by("seq").first()
    assert event is not None

    path = reverse("admin:security_app_apikey_restore", args=(row.pk.hex, event.seq))
    answer = alice.post(f"{path}?side=after", {"confirmed": "yes"})

    assert answer.status_code in (403, 404)
    assert key("before").scopes == ["inference"]


@pytest.mark.parametrize("action", ["rotate_with_grace", "rotate_at_once", "show_new_secret"])
def test_no_secret_beyond_the_own_rights_is_shown(alice: Client, teams: dict[str, Team], action: str) -> None:
    create_key(actor="test", name="key of management", team=teams["ours"], scopes=["admin"])
    User.objects.get(username="alice-of-ours").groups.add(Group.objects.get(name="auditor"))

    for name in ("management", "theirs", "nobody"):
        digest = bytes(key(name).digest)
        chosen = {"action": action, "_selected_action": str(key(name).pk), "confirmed": "yes"}
        page = alice.post(LIST, chosen, follow=True).content.decode()
        assert "beyond your rights" in page, name
        assert bytes(key(name).digest) == digest
