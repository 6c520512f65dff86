"""A key with the scope `team` manages the teams that its user administers, and nothing beyond that."""

from __future__ import annotations

from typing import Any

import pytest

from security_app.models import Budget, GatewayUser, Limit, Membership, Team
from security_app.services.keys import create_key
from tests.management.caller import Caller
from tests.management.people import new_key, new_team


class World:
    """Alice administers one of two teams; each has a key with a limit and a budget that an admin set."""

    def __init__(self, admin: Caller) -> None:
        alice = [{"user_id": "alice", "role": "admin"}]
        self.admin = admin
        self.ours = new_team(admin, team_alias="ours", members_with_roles=alice)["team_id"]
        self.theirs = new_team(admin, team_alias="theirs", members_with_roles=[{"user_id": "mallory"}])[
            "team_id"
        ]
        self.key = new_key(admin, key_alias="ours", team_id=self.ours, rpm_limit=60, max_budget=10)
        self.foreign = new_key(admin, key_alias="theirs", team_id=self.theirs, rpm_limit=60, max_budget=10)
        self.alice = admin.with_key(new_key(admin, user_id="alice", scopes=["team"])["key"])
        GatewayUser.objects.create(user_id="bob")


@pytest.fixture
def world(admin: Caller) -> World:
    return World(admin)


def limit(key: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"subject": {"kind": "key", "id": key["key_id"]}, "metric": "tokens", "value": 5, **more}


def budget(key: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"subject_kind": "key", "subject_id": key["key_id"], "max_budget": 5, **more}


def denied(caller: Caller, method: str, path: str, body: Any = None) -> str | None:
    error = caller.refused(method, path, body)
    assert error["status"] == 403, error
    param: str | None = error["param"]
    return param


def test_it_sees_its_teams_and_who_is_in_them(world: World) -> None:
    assert [one["team_alias"] for one in world.alice.ok("GET", "/team/list")] == ["ours"]
    assert world.alice.ok("GET", f"/team/info?team_id={world.ours}")["keys_total"] == 1

    assert denied(world.alice, "GET", f"/team/info?team_id={world.theirs}") == "team_id"
    assert denied(world.alice, "GET", "/team/info?team_id=team_00") == "team_id"


def test_members_come_go_and_get_roles(world: World) -> None:
    member = {"team_id": world.ours, "user_id": "bob"}
    world.alice.ok("POST", "/team/member_add", {"team_id": world.ours, "member": {"user_id": "bob"}})
    world.alice.ok("POST", "/team/member_update", {**member, "role": "admin"})
    assert Membership.objects.get(user__user_id="bob").role == "admin"
    world.alice.ok("POST", "/team/member_delete", member)
    assert not Membership.objects.filter(user__user_id="bob").exists()


def test_nobody_is_made_found_by_address_or_taken_from_another_team(world: World) -> None:
    for user in ({"user_id": "nobody"}, {"user_email": "bob@example.org"}):
        body = {"team_id": world.ours, "member": user}
        assert denied(world.alice, "POST", "/team/member_add", body) == "member"
    foreign = {"team_id": world.theirs, "user_id": "mallory"}
    denied(world.alice, "POST", "/team/member_delete", foreign)
    denied(world.alice, "POST", "/team/member_update", {**foreign, "role": "admin"})
    denied(world.alice, "POST", "/team/member_add", {"team_id": world.theirs, "member": {"user_id": "alice"}})

    assert not GatewayUser.objects.filter(user_id="nobody").exists()
    assert Membership.objects.get(user__user_id="mallory").role == "member"
    assert Membership.objects.filter(user__user_id="alice").count() == 1


def test_no_member_is_removed_with_a_key_that_manages_the_gateway(world: World) -> None:
    world.alice.ok("POST", "/team/member_add", {"team_id": world.ours, "member": {"user_id": "bob"}})
    team = Team.objects.get(name="ours")
    create_key(actor="t", name="of bob", team=team, user_id="bob", scopes=["admin"])

    denied(world.alice, "POST", "/team/member_delete", {"team_id": world.ours, "user_id": "bob"})


@pytest.mark.parametrize(
    "field", [{"team_alias": "x"}, {"models": ["*"]}, {"max_budget": 1000}, {"blocked": True}]
)
def test_of_a_team_only_its_data_changes(world: World, field: dict[str, Any]) -> None:
    assert denied(world.alice, "POST", "/team/update", {"team_id": world.ours, **field}) == next(iter(field))
    denied(world.alice, "POST", "/team/update", {"team_id": world.theirs, "metadata": {"a": 1}})

    world.alice.ok("POST", "/team/update", {"team_id": world.ours, "metadata": {"a": 1}})

    assert [team.metadata for team in Team.objects.order_by("name")] == [{"a": 1}, {}]


def test_a_limit_of_an_own_key_is_made_changed_and_ended(world: World) -> None:
    made = world.alice.ok("POST", "/limits", limit(world.key))
    assert world.alice.ok("PATCH", f"/limits/{made['id']}", {"value": 4})["value"] == 4
    assert Limit.objects.get(value=4).is_made_by_team
    world.alice.ok("DELETE", f"/limits/{made['id']}")
    assert not Limit.objects.filter(value=4).exists()


def test_what_administrators_set_is_only_seen_and_what_is_others_not_even_that(world: World) -> None:
    own, foreign = (
        Limit.objects.get(subject_id=key["key_id"].removeprefix("key_")) for key in (world.key, world.foreign)
    )

    assert [one["id"] for one in world.alice.ok("GET", "/limits")["data"]] == [own.public_id]
    world.alice.ok("GET", f"/limits/{own.public_id}")
    for method, path, body in (
        ("PATCH", own.public_id, {"value": 1}),
        ("DELETE", own.public_id, None),
        ("GET", foreign.public_id, None),
        ("PATCH", foreign.public_id, {"value": 1}),
        ("DELETE", foreign.public_id, None),
        ("DELETE", "limit_00", None),
    ):
        assert denied(world.alice, method, f"/limits/{path}", body) == "limit_id"


def test_no_limit_is_made_of_anybody_else_nor_moved_to_one(world: World) -> None:
    team = {"subject": {"kind": "team", "id": world.ours}}
    user = {"subject": {"kind": "user", "id": "mallory"}}
    for more in (team, user, {"subject": {"kind": "key"}}, {"when_unavailable": "closed"}):
        denied(world.alice, "POST", "/limits", limit(world.key, **more))
    denied(world.alice, "POST", "/limits", limit(world.foreign))
    made = world.alice.ok("POST", "/limits", limit(world.key))
    denied(world.alice, "PATCH", f"/limits/{made['id']}", {"subject": limit(world.foreign)["subject"]})


def test_a_budget_of_an_own_key_is_made_changed_and_ended(world: World) -> None:
    made = world.alice.ok("POST", "/budget/new", budget(world.key, budget_duration="1d"))
    name = made["budget_id"]
    assert world.alice.ok("POST", "/budget/update", {"budget_id": name, "max_budget": 4})["max_budget"] == 4
    assert world.alice.ok("POST", "/budget/info", {"budgets": [name]})[0]["spend"] == 0
    assert Budget.objects.get(budget_id=name).is_made_by_team
    world.alice.ok("POST", "/budget/delete", {"id": name})


def test_other_budgets_are_out_of_reach(world: World) -> None:
    own, foreign = (f"key:{key['key_id'].removeprefix('key_')}" for key in (world.key, world.foreign))

    assert [one["budget_id"] for one in world.alice.ok("GET", "/budget/list")] == [own]
    denied(world.alice, "POST", "/budget/update", {"budget_id": own, "max_budget": 1000})
    denied(world.alice, "POST", "/budget/delete", {"id": own})
    for name in (foreign, "nothing"):
        denied(world.alice, "POST", "/budget/info", {"budgets": [name]})
        denied(world.alice, "POST", "/budget/update", {"budget_id": name, "max_budget": 1000})
        denied(world.alice, "POST", "/budget/delete", {"id": name})
        denied(world.alice, "GET", f"/budget/settings?budget_id={name}")
    for more in ({"subject_kind": "team"}, {"subject_id": ""}, {"budget_id": "mine"}, {"soft_budget": 1}):
        denied(world.alice, "POST", "/budget/new", budget(world.key, **more))
    denied(world.alice, "POST", "/budget/new", budget(world.foreign))
    assert Budget.objects.count() == 2


def test_a_member_of_an_own_team_is_bounded_in_that_team(world: World) -> None:
    bob = {"subject": {"kind": "member", "id": f"{world.ours}:bob"}}
    denied(world.alice, "POST", "/limits", limit(world.key, **bob))
    world.alice.ok("POST", "/team/member_add", {"team_id": world.ours, "member": {"user_id": "bob"}})

    made = world.alice.ok("POST", "/limits", limit(world.key, **bob))
    spending = {"subject_kind": "member", "subject_id": "bob"}
    budgeted = world.alice.ok("POST", "/budget/new", budget(world.key, **spending))

    stored = f"{world.ours.removeprefix('team_')}:bob"
    assert (made["subject"], budgeted["subject_id"]) == ({"kind": "member", "id": stored}, stored)
    assert Limit.objects.get(subject_id=stored).is_made_by_team
    assert made in world.alice.ok("GET", "/limits?subject_kind=member")["data"]
    assert world.alice.ok("PATCH", f"/limits/{made['id']}", {"value": 1})["value"] == 1
    # Who leaves the team has none of it when coming back.
    world.alice.ok("POST", "/team/member_delete", {"team_id": world.ours, "user_id": "bob"})
    assert not Limit.objects.filter(subject_kind="member").exists()
    assert not Budget.objects.filter(subject_kind="member").exists()


def test_members_of_other_teams_are_out_of_reach(world: World, admin: Caller) -> None:
    stranger = {"kind": "member", "id": f"{world.theirs}:mallory"}
    made = admin.ok("POST", "/limits", {"subject": stranger, "value": 5})

    for reference in (stranger["id"], "mallory", f"{world.ours}:mallory", ""):
        subject = {"subject": {"kind": "member", "id": reference}}
        denied(world.alice, "POST", "/limits", limit(world.key, **subject))
        spending = {"subject_kind": "member", "subject_id": reference}
        denied(world.alice, "POST", "/budget/new", budget(world.key, **spending))
    denied(world.alice, "GET", f"/limits/{made['id']}")
    denied(world.alice, "PATCH", f"/limits/{made['id']}", {"value": 1})
    assert (
        admin.refused("POST", "/limits", {"subject": stranger | {"id": "mallory"}, "value": 1})["status"]
        == 400
    )


def test_keys_of_an_own_team_are_made_changed_listed_and_ended(world: World) -> None:
    alice = world.alice
    made = alice.ok("POST", "/key/generate", {"team_id": world.ours, "user_id": "alice", "key_alias": "mine"})
    service = alice.ok("POST", "/key/service-account/generate", {"team_id": world.ours})

    assert (made["scopes"], made["user_id"], service["service_account"]) == (["inference"], "alice", True)
    assert set(alice.ok("GET", "/key/list")["keys"]) == {
        made["key_id"],
        service["key_id"],
        world.key["key_id"],
    }
    assert alice.ok("GET", f"/key/info?key={world.key['key_id']}")["info"]["key_alias"] == "ours"
    changed = alice.ok("POST", "/key/update", {"key": made["key_id"], "models": ["acme/*"], "duration": "1d"})
    assert changed["models"] == ["acme/*"]
    assert alice.ok("POST", "/key/block", {"key": made["key_id"]})["blocked"] is True
    assert alice.ok("POST", "/key/unblock", {"key": made["key_id"]})["blocked"] is False
    assert alice.ok("POST", "/key/delete", {"keys": [made["key_id"]]})["deleted_keys"] == [made["key_id"]]
    # The same alias as another team's key is nothing that anybody is told of.
    alice.ok("POST", "/key/generate", {"team_id": world.ours, "key_alias": "theirs"})
    assert (
        alice.refused("POST", "/key/generate", {"team_id": world.ours, "key_alias": "ours"})["status"] == 409
    )


def test_keys_of_others_are_out_of_reach_whether_they_exist_or_not(world: World) -> None:
    for key in (world.foreign["key_id"], world.foreign["key"], "key_" + "0" * 32):
        assert denied(world.alice, "GET", f"/key/info?key={key}") == "key"
        assert denied(world.alice, "POST", "/key/update", {"key": key, "models": []}) == "key"
        assert denied(world.alice, "POST", "/key/block", {"key": key}) == "key"
        assert denied(world.alice, "POST", "/key/unblock", {"key": key}) == "key"
        assert denied(world.alice, "POST", "/key/delete", {"keys": [world.key["key_id"], key]}) == "key"
    denied(world.alice, "POST", "/key/delete", {"key_aliases": ["ours"]})
    denied(world.alice, "GET", f"/key/list?team_id={world.theirs}")
    denied(world.alice, "GET", "/key/list?organization_id=x")
    for body in ({}, {"team_id": world.theirs}, {"team_id": "team_" + "0" * 32}):
        assert denied(world.alice, "POST", "/key/generate", body) == "team_id"
    assert (
        denied(world.alice, "POST", "/key/update", {"key": world.key["key_id"], "team_id": None}) == "team_id"
    )


def test_no_key_gets_more_than_its_team_may_give(world: World) -> None:
    before = world.alice.ok("GET", f"/key/info?key={world.key['key_id']}")
    cases: list[tuple[dict[str, Any], str]] = [
        ({"scopes": ["admin"]}, "scopes"),
        ({"scopes": ["inference", "team"]}, "scopes"),
        ({"key_type": "management"}, "scopes"),
        ({"user_id": "mallory"}, "user_id"),
        ({"user_id": "nobody"}, "user_id"),
        ({"trusts_end_user": "header"}, "trusts_end_user"),
        ({"token_issuer": "x"}, "token_issuer"),
        ({"rpm_limit": 1000}, "rpm_limit"),
        ({"max_budget": 1000}, "max_budget"),
        ({"agent_versions": {}}, "agent_versions"),
        ({"auto_rotate": True}, "auto_rotate"),
    ]

    for field, param in cases:
        assert denied(world.alice, "POST", "/key/generate", {"team_id": world.ours, **field}) == param
        assert denied(world.alice, "POST", "/key/update", {"key": world.key["key_id"], **field}) == param

    assert world.alice.ok("GET", f"/key/info?key={world.key['key_id']}") == before


def test_a_key_that_manages_the_gateway_is_seen_and_not_changed(world: World, admin: Caller) -> None:
    managing = new_key(admin, team_id=world.ours, scopes=["admin"])["key_id"]

    world.alice.ok("GET", f"/key/info?key={managing}")
    world.alice.ok("GET", f"/key/info?key={world.alice.key}")
    world.alice.ok("GET", "/key/info")
    denied(world.alice, "POST", "/key/update", {"key": managing, "models": []})
    denied(world.alice, "POST", "/key/block", {"key": managing})
    denied(world.alice, "POST", "/key/delete", {"keys": [managing]})
    denied(world.alice, "POST", "/key/generate", {"team_id": world.ours, "key": "sk-chosen-by-somebody"})


def test_a_key_without_the_scope_sees_no_keys_of_its_team(world: World, admin: Caller) -> None:
    plain = admin.with_key(new_key(admin, user_id="alice", team_id=world.ours)["key"])

    denied(plain, "GET", f"/key/info?key={world.key['key_id']}")
    denied(plain, "GET", "/key/list")
    denied(plain, "POST", "/key/generate", {"team_id": world.ours})


def test_the_scope_opens_nothing_else(world: World) -> None:
    for method, path in (
        ("GET", "/key/aliases"),
        ("POST", "/key/regenerate"),
        ("POST", "/key/reveal"),
        ("POST", "/v2/key/info"),
        ("POST", "/team/new"),
        ("POST", "/user/new"),
        ("GET", "/audit/events"),
    ):
        assert world.alice.refused(method, path, {} if method == "POST" else None)["status"] in (403, 404), (
            path
        )


@pytest.mark.parametrize("whose", ["member", "service", "blocked", "nobody", "other team"])
def test_without_a_team_to_administer_it_opens_nothing(world: World, whose: str) -> None:
    fields: dict[str, Any] = {"user_id": "alice", "scopes": ["team"]}
    if whose == "member":
        Membership.objects.update(role="member")
    elif whose == "nobody":
        fields["user_id"] = "bob"
    elif whose == "other team":
        fields["team_id"] = world.theirs
    elif whose == "blocked":
        world.admin.ok("POST", "/user/update", {"user_id": "alice", "blocked": True})
    if whose == "service":
        made = world.admin.ok(
            "POST", "/key/service-account/generate", {"team_id": world.ours, "scopes": ["team"]}
        )
    else:
        made = new_key(world.admin, **fields)

    caller = world.admin.with_key(made["key"])

    answer = caller.refused("POST", "/limits", limit(world.key))
    assert answer["status"] == (401 if whose == "blocked" else 403)
    assert Limit.objects.count() == 2
