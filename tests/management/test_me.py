"""`GET /me` tells a key what it used, what is left of what binds it, and nothing of anybody else."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from gateway_project.core.clock import utc_now
from security_app.models import AccessRule
from tests.management.caller import Caller
from usage_app.models import UsageRecord


def made(admin: Caller, **fields: Any) -> dict[str, Any]:
    key: dict[str, Any] = admin.ok("POST", "/key/generate", fields)
    return key


def used(key: dict[str, Any], cost: str, **fields: Any) -> None:
    UsageRecord.objects.create(
        at=utc_now(),
        model="vendor/chat",
        key_id=key["key_id"].removeprefix("key_"),
        status=200,
        state="reported",
        cost=cost,
        **fields,
    )


def test_a_key_learns_what_is_left_of_its_own_limit_and_budget(admin: Caller) -> None:
    key = made(admin, key_alias="mine", rpm_limit=10, max_budget=5, budget_duration="1mo")
    used(key, "1.75")

    me = admin.with_key(key["key"]).ok("GET", "/me")

    assert me["key"]["key_id"] == key["key_id"]
    assert me["key"]["key_alias"] == "mine"
    limit = next(one for one in me["limits"] if one["metric"] == "requests")
    assert (limit["scope"], limit["subject_name"]) == ("key", "mine")
    assert (limit["limit"], limit["used"], limit["remaining"]) == (10, 1, 9)
    (budget,) = me["budgets"]
    assert (budget["max_budget"], budget["spend"], budget["remaining"]) == (5, 1.75, 3.25)
    now = datetime.now(UTC)
    following = datetime(now.year + now.month // 12, now.month % 12 + 1, 1, tzinfo=UTC)
    assert datetime.fromisoformat(budget["resets_at"]) == following


def test_of_others_only_the_shared_counter_is_told(admin: Caller) -> None:
    team = admin.ok("POST", "/team/new", {"team_alias": "ours", "max_budget": 100})
    other_team = admin.ok("POST", "/team/new", {"team_alias": "theirs", "max_budget": 200})
    mine = made(admin, key_alias="mine", team_id=team["team_id"], user_id="dave")
    colleague = made(admin, key_alias="of erin", team_id=team["team_id"], user_id="erin", max_budget=7)
    used(colleague, "30", team_id=team["team_id"].removeprefix("team_"), user_id="erin")

    answer = admin.with_key(mine["key"]).get("/me")

    me = json.loads(answer.content)
    (budget,) = me["budgets"]
    assert (budget["scope"], budget["subject_name"], budget["spend"]) == ("team", "ours", 30)
    assert me["usage"]["spend"] == 0
    for foreign in ("erin", "theirs", colleague["key_id"], other_team["team_id"]):
        assert foreign not in answer.content.decode()


def test_little_and_nothing_are_plain_numbers(admin: Caller) -> None:
    key = made(admin, max_budget=5)

    empty = admin.with_key(key["key"]).get("/me").content.decode()
    used(key, "0.0000005")
    small = admin.with_key(key["key"]).get("/me").content.decode()

    assert '"spend":0,' in empty
    assert '"spend":0.000000500,' in small
    assert "E-" not in empty + small


def test_the_master_key_has_no_row_and_nothing_that_binds_it(admin: Caller) -> None:
    me = admin.ok("GET", "/me")

    assert me["key"]["key_id"] is None
    assert me["key"]["key_alias"] == "master key"
    assert (me["limits"], me["budgets"]) == ([], [])


@pytest.mark.parametrize("scope", ["inference", "metrics", "admin"])
def test_every_scope_may_ask_for_itself(admin: Caller, scope: str) -> None:
    key = made(admin, scopes=[scope])

    assert admin.with_key(key["key"]).ok("GET", "/me")["key"]["scopes"] == [scope]


def test_nobody_chooses_whose_page_it_is(admin: Caller, traffic: Caller) -> None:
    refused = traffic.refused("GET", "/me?user_id=dave")

    assert (refused["status"], refused["param"]) == (400, "user_id")
    assert admin.with_key(None).get("/me").status_code == 401


def test_a_rule_can_deny_it(admin: Caller, traffic: Caller) -> None:
    rule = {"name": "no", "kind": "route", "pattern": "/me", "effect": "deny"}
    admin.ok("POST", "/security/rules", rule)

    assert AccessRule.objects.count() == 1
    assert traffic.get("/me").status_code == 403
