"""Users, end users and organizations over HTTP."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest

from security_app.models import EndUser, Team
from tests.management.caller import Caller
from tests.management.people import new_key, new_team, status_of


def test_a_user_is_made_in_teams_and_with_a_key(admin: Caller) -> None:
    team = new_team(admin)

    user = admin.ok(
        "POST",
        "/user/new",
        {"user_id": "ada", "user_email": "ada@example.org", "teams": [team["team_id"]], "duration": "30d"},
    )

    assert admin.with_key(user["key"]).ok("GET", "/key/info")["info"]["user_id"] == "ada"
    assert user["key_info"]["expires"] is not None
    info = admin.ok("GET", "/user/info?user_id=ada")
    assert [row["team_id"] for row in info["teams"]] == [team["team_id"]]
    assert [row["key_id"] for row in info["keys"]] == [user["key_info"]["key_id"]]


def test_a_user_needs_no_key_and_gets_an_id(admin: Caller) -> None:
    user = admin.ok("POST", "/user/new", {"auto_create_key": False})

    assert user["key"] is None
    assert user["user_id"]
    assert user["user_role"] == "internal_user"


def test_nothing_is_made_if_a_part_fails(admin: Caller) -> None:
    new_key(admin, key_alias="taken")

    error = admin.refused("POST", "/user/new", {"user_id": "ada", "key_alias": "taken"})

    assert (error["status"], error["param"]) == (409, "key_alias")
    assert admin.ok("GET", "/user/list")["total"] == 0


def test_blocking_a_user_blocks_the_user_s_keys_and_deleting_ends_them(admin: Caller) -> None:
    user = admin.ok("POST", "/user/new", {"user_id": "ada", "user_email": "ada@example.org"})

    admin.ok("POST", "/user/update", {"user_email": "ada@example.org", "blocked": True})
    blocked = status_of(admin, user["key"])
    admin.ok("POST", "/user/update", {"user_id": "ada", "blocked": False})
    free = status_of(admin, user["key"])
    gone = admin.ok("POST", "/user/delete", {"user_ids": ["ada"]})

    assert (blocked, free) == (401, 200)
    assert gone == {"deleted_users": ["ada"], "deleted_keys": 1}
    assert status_of(admin, user["key"]) == 401


def test_users_are_found_by_id_address_and_role(admin: Caller) -> None:
    for name in ("ada", "bob", "eve"):
        admin.ok("POST", "/user/new", {"user_id": name, "user_email": f"{name}@example.org"})
    admin.ok("POST", "/user/update", {"user_id": "eve", "user_role": "proxy_admin_viewer"})

    def ids(query: str) -> list[str]:
        return [row["user_id"] for row in admin.ok("GET", f"/user/list{query}")["users"]]

    assert ids("") == ["ada", "bob", "eve"]
    assert ids("?user_ids=eve,ada") == ["ada", "eve"]
    assert ids("?user_email=BOB@") == ["bob"]
    assert ids("?role=proxy_admin_viewer") == ["eve"]
    assert ids("?page=2&page_size=2") == ["eve"]


@pytest.mark.parametrize("prefix", ["/customer", "/end_user"])
def test_end_users_are_made_changed_blocked_and_forgotten(admin: Caller, prefix: str) -> None:
    admin.ok("POST", f"{prefix}/new", {"user_id": "mia", "alias": "Mia", "models": ["local/*"]})
    admin.ok("POST", f"{prefix}/update", {"user_id": "mia", "alias": None})
    admin.ok("POST", f"{prefix}/block", {"user_ids": ["mia", "unknown"]})
    blocked = admin.ok("GET", f"{prefix}/list")
    admin.ok("POST", f"{prefix}/unblock", {"user_ids": ["mia"]})
    info = admin.ok("GET", f"{prefix}/info?end_user_id=mia")
    gone = admin.ok("POST", f"{prefix}/delete", {"user_ids": ["mia"]})

    assert [(row["user_id"], row["blocked"]) for row in blocked] == [("mia", True), ("unknown", True)]
    assert (info["alias"], info["models"], info["blocked"]) == (None, ["local/*"], False)
    assert gone == {"deleted_customers": ["mia"]}
    assert list(EndUser.objects.values_list("end_user_id", flat=True)) == ["unknown"]


def test_blocking_an_organization_blocks_the_keys_of_its_teams(admin: Caller) -> None:
    organization = admin.ok("POST", "/organization/new", {"organization_alias": "Acme"})["organization_id"]
    team = new_team(admin, organization_id=organization)
    key = new_key(admin, team_id=team["team_id"])

    admin.ok("PATCH", "/organization/update", {"organization_id": organization, "blocked": True})
    blocked = status_of(admin, key["key"])
    admin.ok("POST", "/team/update", {"team_id": team["team_id"], "organization_id": None})

    assert blocked == 401
    assert status_of(admin, key["key"]) == 200


def test_an_organization_with_teams_stays(admin: Caller) -> None:
    made = admin.ok("POST", "/organization/new", {"organization_alias": "Acme", "models": ["a/*"]})
    team = new_team(admin, organization_id=made["organization_id"])
    body = {"organization_ids": [made["organization_id"]]}

    refused = admin.refused("DELETE", "/organization/delete", body)
    info = admin.ok("GET", f"/organization/info?organization_id={made['organization_id']}")
    admin.ok("POST", "/team/delete", {"team_ids": [team["team_id"]]})
    gone = admin.ok("DELETE", "/organization/delete", body)

    assert (refused["status"], refused["param"]) == (409, "organization_ids")
    assert info["teams"] == [team["team_id"]]
    assert gone == {"deleted_organizations": [made["organization_id"]]}
    assert admin.ok("GET", "/organization/list") == []
    assert not Team.objects.exists()


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "param"),
    [
        ("POST", "/user/new", {"user_id": "ada"}, 409, "user_id"),
        ("POST", "/user/new", {"user_email": "no address"}, 400, "user_email"),
        ("POST", "/user/new", {"user_role": "king"}, 400, "user_role"),
        ("POST", "/user/new", {"tpd_limit": 5}, 400, "tpd_limit"),
        ("POST", "/user/new", {"teams": [f"team_{uuid4().hex}"]}, 404, "team_ids"),
        ("POST", "/user/update", {"user_id": "nobody", "blocked": True}, 404, "user_id"),
        ("POST", "/user/update", {"user_id": "ada"}, 400, None),
        ("GET", "/user/info", None, 400, "user_id"),
        ("POST", "/customer/new", {"alias": "Mia"}, 400, "user_id"),
        ("POST", "/customer/new", {"user_id": "mia", "budget_id": "b"}, 400, "budget_id"),
        ("POST", "/customer/delete", {"user_ids": ["nobody"]}, 404, "user_ids"),
        ("POST", "/organization/new", {}, 400, "organization_alias"),
        ("PATCH", "/organization/update", {"organization_id": "x", "blocked": True}, 404, "organization_id"),
    ],
)
def test_mistakes_are_named(
    admin: Caller, method: str, path: str, body: Any, status: int, param: str | None
) -> None:
    admin.ok("POST", "/user/new", {"user_id": "ada", "auto_create_key": False})

    error = admin.refused(method, path, body)

    assert (error["status"], error["param"]) == (status, param)
