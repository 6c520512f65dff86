"""Access rules, groups, grants and previews over HTTP: made, in force at once, explained, ended."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from gateway_project.core.clock import utc_now
from security_app.models import Team
from security_app.services.configuration import store
from security_app.services.keys import create_key
from security_app.services.permissions import Question, decide
from tests.management.caller import Caller

RULE: dict[str, Any] = {"name": "no big ones", "kind": "model", "pattern": "big/*", "effect": "deny"}


def preview(caller: Caller, **body: Any) -> Any:
    return caller.ok("POST", "/security/preview", body)


def test_a_rule_is_in_force_when_it_is_answered_and_gone_when_it_is_deleted(admin: Caller) -> None:
    key = admin.ok("POST", "/key/generate", {})["key_id"]
    assert preview(admin, key=key, model="big/one")["allowed"]

    made = admin.ok("POST", "/security/rules", RULE | {"subject": {"kind": "key", "id": key}})

    assert made["subject"] == {"kind": "key", "id": key.removeprefix("key_")}
    assert admin.ok("GET", f"/security/rules/{made['id']}") == made
    assert not preview(admin, key=key, model="big/one")["allowed"]
    changed = admin.ok("PATCH", f"/security/rules/{made['id']}", {"enabled": False})
    assert changed["pattern"] == "big/*"
    assert preview(admin, key=key, model="big/one")["allowed"]
    admin.ok("PATCH", f"/security/rules/{made['id']}", {"enabled": True, "subject": None})
    assert not preview(admin, user_id="ada", model="big/one")["allowed"]
    admin.ok("DELETE", f"/security/rules/{made['id']}")
    assert preview(admin, key=key, model="big/one")["allowed"]
    assert admin.refused("GET", f"/security/rules/{made['id']}")["status"] == 404


def test_rules_are_listed_by_whom_they_are_for_and_what_they_say(admin: Caller) -> None:
    for number in range(3):
        admin.ok("POST", "/security/rules", RULE | {"subject": {"kind": "user", "id": f"user-{number}"}})
    admin.ok("POST", "/security/rules", RULE | {"kind": "tool"})

    page = admin.ok("GET", "/security/rules?kind=model&size=2")

    assert (page["total_count"], page["total_pages"], len(page["data"])) == (3, 2, 2)
    assert admin.ok("GET", "/security/rules?subject_kind=user&subject_id=user-1")["total_count"] == 1
    assert admin.ok("GET", "/security/rules?is_grant=true")["total_count"] == 0
    assert admin.refused("GET", "/security/rules?color=red")["param"] == "color"


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"kind": "secret"}, "kind"),
        ({"pattern": "group:nowhere"}, "pattern"),
        ({"kind": "ip", "pattern": "here"}, "pattern"),
        ({"condition": "object.matches('(a+)+$')"}, "condition"),
        ({"condition": "run()"}, "condition"),
        ({"subject": {"kind": "key", "id": "key_" + "0" * 32}}, "subject.id"),
        ({"subject": {"kind": "team", "id": "nobody"}}, "subject.id"),
        ({"subject": {"kind": "planet", "id": "x"}}, "subject.kind"),
        ({"valid_until": "2026-01-01T00:00:00"}, "valid_until"),
        ({"valid_from": "2030-01-01T00:00:00Z", "valid_until": "2029-01-01T00:00:00Z"}, "valid_until"),
        ({"color": "red"}, "color"),
        ({"name": None}, "name"),
    ],
)
def test_a_wrong_rule_is_refused_and_the_field_is_named(
    admin: Caller, change: dict[str, Any], param: str
) -> None:
    error = admin.refused("POST", "/security/rules", RULE | change)

    assert (error["status"], error["param"]) == (400, param)


def test_a_group_holds_models_agents_and_tools_and_stays_while_a_rule_names_it(admin: Caller) -> None:
    body = {"access_group": "cheap", "model_names": ["small/*"], "tool_names": ["crm_*"]}
    admin.ok("POST", "/access_group/new", body)
    key = admin.ok("POST", "/key/generate", {"models": ["group:cheap"]})["key_id"]

    assert preview(admin, key=key, model="small/one")["allowed"]
    assert not preview(admin, key=key, model="big/one")["allowed"]
    admin.ok("PUT", "/access_group/cheap/update", {"model_names": ["small/*", "big/*"]})
    assert preview(admin, key=key, model="big/one")["allowed"]
    assert admin.ok("GET", "/access_group/cheap/info")["tool_names"] == ["crm_*"]

    rule = admin.ok("POST", "/security/rules", RULE | {"pattern": "group:cheap"})
    assert admin.refused("DELETE", "/access_group/cheap/delete")["status"] == 409
    admin.ok("DELETE", f"/security/rules/{rule['id']}")
    admin.ok("DELETE", "/access_group/cheap/delete")
    assert admin.ok("GET", "/access_group/list") == {"access_groups": []}
    assert not preview(admin, key=key, model="small/one")["allowed"]


def test_a_group_s_name_is_given_once(admin: Caller) -> None:
    admin.ok("POST", "/access_group/new", {"access_group": "cheap"})

    again = admin.refused("POST", "/access_group/new", {"access_group": "cheap"})
    odd = admin.refused("POST", "/access_group/new", {"access_group": "a group/of mine"})

    assert (again["status"], again["param"]) == (409, "access_group")
    assert (odd["status"], odd["param"]) == (400, "access_group")


def test_a_preview_tells_each_step(admin: Caller) -> None:
    team = Team.objects.create(name="Search", allowed_models=["small/*"])
    key = create_key(actor="t", team=team, allowed_models=["*/one"]).row.public_id
    denial = admin.ok("POST", "/security/rules", RULE | {"pattern": "*/two"})["id"]

    answer = preview(admin, key=key, model="big/two", ip="192.0.2.1")

    address, model = answer["decisions"]
    assert not answer["allowed"]
    assert (address["kind"], address["allowed"]) == ("ip", True)
    assert (model["allowed"], model["reason"], model["rule_id"]) == (
        False,
        "an access rule denies it",
        denial,
    )
    assert [(step["step"], step["outcome"]) for step in model["steps"]] == [
        ("blocked", "passed"),
        ("scope", "passed"),
        ("deny rule", "denied"),
        ("list", "missing"),
        ("list", "missing"),
    ]
    assert model["steps"][2]["rule_id"] == denial


@pytest.mark.parametrize("what", ["key", "team"])
def test_a_preview_tells_who_would_not_be_let_in_at_all(admin: Caller, what: str) -> None:
    team = Team.objects.create(name="Search", is_blocked=what == "team")
    key = create_key(actor="t", team=team, is_blocked=what == "key").row.public_id

    (decision,) = preview(admin, key=key, model="m")["decisions"]

    assert not decision["allowed"]
    assert "blocked" in decision["reason"]


def test_a_key_asks_for_itself_only_and_learns_no_rule(admin: Caller, traffic: Caller) -> None:
    admin.ok("POST", "/security/rules", RULE)
    other = admin.ok("POST", "/key/generate", {})["key_id"]

    (decision,) = preview(traffic, model="big/one")["decisions"]

    assert not decision["allowed"]
    assert "no big ones" not in str(decision)
    assert {step["rule_id"] for step in decision["steps"]} == {None}
    for body in ({"key": other}, {"user_id": "ada"}, {"end_user": "x"}, {"team_id": "x"}):
        error = traffic.refused("POST", "/security/preview", body | {"model": "m"})
        assert error["status"] == 403


@pytest.mark.parametrize(
    ("body", "param"),
    [({"user_id": "a"}, "model"), ({"model": "m"}, "key"), ({"team_id": "x", "model": "m"}, "team_id")],
)
def test_a_preview_of_nothing_or_nobody_is_refused(admin: Caller, body: dict[str, Any], param: str) -> None:
    assert admin.refused("POST", "/security/preview", body)["param"] == param


def test_a_grant_allows_for_a_while_what_a_list_leaves_out(admin: Caller) -> None:
    made = admin.ok("POST", "/key/generate", {"models": ["small/*"]})
    key = made["key_id"]

    body = {"key": key, "model": "big/one", "duration": "2h", "reason": "incident 7"}
    grant = admin.ok("POST", "/security/override", body)

    assert grant["is_grant"]
    assert grant["note"] == "incident 7"
    assert preview(admin, key=key, model="big/one")["allowed"]
    assert not preview(admin, key=key, model="big/two")["allowed"]
    assert admin.refused("PATCH", f"/security/rules/{grant['id']}", {"note": "x"})["status"] == 409
    admin.ok("POST", "/security/rules", RULE | {"pattern": "big/one"})
    assert not preview(admin, key=key, model="big/one")["allowed"]
    admin.ok("DELETE", f"/security/rules/{grant['id']}")


def test_a_grant_ends_without_anybody_s_help(admin: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    created = create_key(actor="t", allowed_models=["small/*"])
    body = {"key": created.plain, "model": "big/one", "duration": "2h", "reason": "incident 7"}
    admin.ok("POST", "/security/override", body)
    principal = store.current.sections["security"].value.by_id(created.row.id)
    assert decide(principal, Question("model", "big/one")).is_allowed

    later = (utc_now() + timedelta(hours=2)).timestamp()
    monkeypatch.setattr("security_app.services.permissions.time.time", lambda: later)

    assert not decide(principal, Question("model", "big/one")).is_allowed


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"reason": None}, "reason"),
        ({"reason": "   "}, "reason"),
        ({"duration": None}, "duration"),
        ({"duration": "31d"}, "until"),
        ({"duration": None, "until": "2020-01-01T00:00:00Z"}, "until"),
        ({"duration": "2h", "until": "2030-01-01T00:00:00Z"}, "duration"),
        ({"user_id": None}, "key"),
        ({"team_id": "x"}, "key"),
        ({"user_id": None, "team_id": "x"}, "team_id"),
        ({"tool": "t"}, "model"),
        ({"model": "group:nowhere"}, "model"),
    ],
)
def test_a_grant_needs_one_subject_one_object_an_end_and_a_reason(
    admin: Caller, change: dict[str, Any], param: str
) -> None:
    body = {"user_id": "ada", "model": "m", "duration": "2h", "reason": "incident 7", **change}

    error = admin.refused("POST", "/security/override", body)

    assert (error["status"], error["param"]) == (400, param)


def test_refreshing_reads_everything_anew(admin: Caller) -> None:
    store.refresh()
    before = store.current

    answer = admin.ok("POST", "/security/refresh")

    assert store.current is not before
    assert {"security", "people", "rules"} <= set(answer["sections"])
    assert answer["problems"] == []


def test_rules_hold_at_the_doors_of_the_management_api(admin: Caller, traffic: Caller) -> None:
    admin.ok("POST", "/security/rules", RULE | {"kind": "route", "pattern": "/key/info"})

    error = traffic.refused("GET", "/key/info")
    with_slash = traffic.refused("GET", "/key/info/")

    assert (error["status"], with_slash["status"]) == (403, 403)
    preview(traffic, model="m")
    admin.ok("POST", "/security/rules", RULE | {"kind": "ip", "pattern": "10.0.0.0/8", "effect": "allow"})
    assert traffic.refused("POST", "/security/preview", {"model": "m"})["status"] == 403
