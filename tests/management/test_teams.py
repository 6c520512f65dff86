"""Teams over HTTP: made, shown, changed and ended, with their members and their keys."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from security_app.models import GatewayUser, Membership
from tests.management.caller import Caller
from tests.management.people import new_key, new_team, status_of


def test_a_team_is_made_with_members_who_become_users(admin: Caller) -> None:
    team = new_team(
        admin,
        models=["openai/*"],
        members_with_roles=[{"user_id": "ada", "role": "admin"}, {"user_id": "bob"}],
    )

    info = admin.ok("GET", f"/team/info?team_id={team['team_id']}")

    assert team["team_id"].startswith("team_")
    assert info["team_info"]["models"] == ["openai/*"]
    roles = {item["user_id"]: item["role"] for item in info["team_memberships"]}
    assert roles == {"ada": "admin", "bob": "user"}
    assert GatewayUser.objects.filter(user_id="bob").exists()


def test_a_key_may_be_of_a_team_and_says_so(admin: Caller) -> None:
    organization = admin.ok("POST", "/organization/new", {"organization_alias": "Acme"})
    team = new_team(admin, organization_id=organization["organization_id"])

    key = new_key(admin, team_id=team["team_id"], models=["all-team-models"])

    assert (key["team_id"], key["organization_id"]) == (team["team_id"], organization["organization_id"])
    assert key["models"] == ["*"]
    for query in (f"team_id={team['team_id']}", f"organization_id={organization['organization_id']}"):
        assert admin.ok("GET", f"/key/list?{query}")["keys"] == [key["key_id"]]
    shown = admin.ok("GET", f"/team/info?team_id={team['team_id']}")
    assert [item["key_id"] for item in shown["keys"]] == [key["key_id"]]


def test_the_team_s_models_need_a_team(admin: Caller) -> None:
    error = admin.refused("POST", "/key/generate", {"models": ["all-team-models"]})

    assert (error["status"], error["param"]) == (400, "models")


def test_a_key_of_a_service_account_is_of_a_team_and_of_no_user(admin: Caller) -> None:
    team = new_team(admin)
    path = "/key/service-account/generate"

    key = admin.ok("POST", path, {"team_id": team["team_id"]})

    assert key["service_account"]
    assert admin.refused("POST", path, {})["param"] == "team_id"
    assert admin.refused("POST", path, {"team_id": team["team_id"], "user_id": "ada"})["param"] == "user_id"
    for change in ({"team_id": None}, {"user_id": "ada"}):
        assert admin.refused("POST", "/key/update", {"key": key["key_id"], **change})["param"] == "team_id"


@pytest.mark.parametrize("how", ["block", "update"])
def test_blocking_a_team_blocks_its_keys_at_once(admin: Caller, how: str) -> None:
    team = new_team(admin)
    key = new_key(admin, team_id=team["team_id"])
    stranger = new_key(admin)

    if how == "block":
        admin.ok("POST", "/team/block", {"team_id": team["team_id"]})
    else:
        admin.ok("PATCH", f"/team/{team['team_id']}", {"blocked": True})

    assert status_of(admin, key["key"]) == 401
    assert status_of(admin, stranger["key"]) == 200
    admin.ok("POST", "/team/unblock", {"team_id": team["team_id"]})
    assert status_of(admin, key["key"]) == 200


def test_deleting_a_team_ends_its_keys_and_no_others(admin: Caller) -> None:
    team = new_team(admin)
    key, stranger = new_key(admin, team_id=team["team_id"]), new_key(admin)

    gone = admin.ok("POST", "/team/delete", {"team_ids": [team["team_id"]]})

    assert gone == {"deleted_teams": [team["team_id"]], "deleted_keys": 1}
    assert status_of(admin, key["key"]) == 401
    assert status_of(admin, stranger["key"]) == 200
    assert admin.ok("GET", f"/key/info?key={key['key_id']}")["info"]["status"] == "deleted"
    assert admin.refused("GET", f"/team/info?team_id={team['team_id']}")["status"] == 404


def test_members_come_change_and_go_with_their_keys(admin: Caller) -> None:
    team = new_team(admin)
    other = new_team(admin, team_alias="Other")
    reference = {"team_id": team["team_id"]}

    admin.ok("POST", "/team/member_add", {**reference, "member": [{"user_id": "ada"}, {"user_id": "bob"}]})
    admin.ok("POST", "/team/member_update", {**reference, "user_id": "ada", "role": "admin"})
    own = new_key(admin, team_id=team["team_id"], user_id="ada")
    elsewhere = new_key(admin, team_id=other["team_id"], user_id="ada")
    service = admin.ok("POST", "/key/service-account/generate", reference)
    left = admin.ok("POST", "/team/member_delete", {**reference, "user_id": "ada"})

    assert left["deleted_keys"] == 1
    assert [item["user_id"] for item in left["team"]["members_with_roles"]] == ["bob"]
    assert [status_of(admin, key["key"]) for key in (own, elsewhere, service)] == [401, 200, 200]
    again = admin.refused("POST", "/team/member_delete", {**reference, "user_id": "ada"})
    assert (again["status"], again["param"]) == (404, "user_id")


def test_members_are_added_all_or_none(admin: Caller) -> None:
    team = new_team(admin)

    error = admin.refused(
        "POST",
        "/team/member_add",
        {"team_id": team["team_id"], "member": [{"user_id": "ada"}, {"user_email": "no@body.example"}]},
    )

    assert (error["status"], error["param"]) == (404, "user_email")
    assert not Membership.objects.exists()


def test_models_are_added_and_taken_but_never_by_accident_all(admin: Caller) -> None:
    team = new_team(admin)
    reference = {"team_id": team["team_id"]}
    unlimited = admin.refused("POST", "/team/model/add", {**reference, "models": ["a/*"]})

    admin.ok("POST", "/team/update", {**reference, "models": ["a/*"]})
    more = admin.ok("POST", "/team/model/add", {**reference, "models": ["b/*", "a/*"]})
    fewer = admin.ok("POST", "/team/model/delete", {**reference, "models": ["a/*"]})
    last = admin.refused("POST", "/team/model/delete", {**reference, "models": ["b/*"]})

    assert (unlimited["status"], unlimited["param"]) == (400, "models")
    assert more["models"] == ["a/*", "b/*"]
    assert fewer["models"] == ["b/*"]
    assert (last["status"], last["param"]) == (409, "models")


def test_teams_are_listed_by_name_user_and_organization(admin: Caller) -> None:
    organization = admin.ok("POST", "/organization/new", {"organization_alias": "Acme"})["organization_id"]
    new_team(admin, team_alias="b", organization_id=organization)
    new_team(admin, team_alias="a", members_with_roles=[{"user_id": "ada"}])

    def names(query: str) -> list[str]:
        return [row["team_alias"] for row in admin.ok("GET", f"/team/list{query}")]

    assert names("") == ["a", "b"]
    assert names("?user_id=ada") == ["a"]
    assert names(f"?organization_id={organization}") == ["b"]
    page = admin.ok("GET", "/v2/team/list?page=2&page_size=1")
    assert [row["team_alias"] for row in page["teams"]] == ["b"]
    assert (page["total"], page["total_pages"]) == (2, 2)


def test_a_list_of_teams_costs_the_same_for_many(admin: Caller) -> None:
    for number in range(3):
        new_team(admin, team_alias=f"t{number}", members_with_roles=[{"user_id": f"u{number}"}])
    admin.ok("GET", "/v2/team/list")

    with CaptureQueriesContext(connection) as queries:
        admin.ok("GET", "/v2/team/list")

    assert len(queries) <= 7


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "param"),
    [
        ("POST", "/team/new", {"team_alias": "Search"}, 409, "team_alias"),
        ("POST", "/team/new", {"guardrails": []}, 400, "guardrails"),
        ("POST", "/team/new", {"team_id": "not a uuid"}, 400, "team_id"),
        ("POST", "/team/new", {"organization_id": f"org_{uuid4().hex}"}, 404, "organization_id"),
        ("POST", "/team/new", {"models": [""]}, 400, "models"),
        ("POST", "/team/new", {"members_with_roles": [{"role": "admin"}]}, 400, "members_with_roles"),
        ("POST", "/team/update", {"team_id": f"team_{uuid4().hex}", "blocked": True}, 404, "team_id"),
        ("POST", "/team/delete", {"team_ids": ["team_no"]}, 404, "team_ids"),
        ("POST", "/team/delete", {"team_ids": []}, 400, "team_ids"),
        ("GET", "/team/list?size=3", None, 400, "size"),
        ("POST", "/key/generate", {"team_id": f"team_{uuid4().hex}"}, 404, "team_id"),
    ],
)
def test_mistakes_are_named(
    admin: Caller, method: str, path: str, body: Any, status: int, param: str
) -> None:
    new_team(admin)

    error = admin.refused(method, path, body)

    assert (error["status"], error["param"]) == (status, param)
