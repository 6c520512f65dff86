"""Declared agents over the management API: what is taken, what is refused and how it says so."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from agents_app.models import Agent, AgentLink, AgentVersion
from security_app.services.configuration import store
from tests.admin import rows
from tests.agents.declared import BILLING, declare, link, served
from tests.agents.dropins import write_agent
from tests.agents.test_definition import SCHEMA
from tests.agents.test_management import HELPER
from tests.management.caller import Caller
from upstreams_app.models import Route

WRONG_IDS = [
    ("billing", 400, "namespace/name"),
    ("Desk/billing", 400, "namespace/name"),
    ("a/b/c", 400, "namespace/name"),
    ("/x", 400, "namespace/name"),
    ("desk/" + "x" * 100, 400, "namespace/name"),
    ("desk/versions", 400, "No agent can be named 'versions'"),
    ("vendor/billing", 400, "'vendor' is the name of an upstream"),
    ("fast/lane", 409, "route"),
    ("slow/lane", 409, "route"),
    ("default/helper", 409, "There is an agent"),
]
# What one look at the definition tells is in test_definition.py.
WRONG: list[tuple[dict[str, Any], str, str]] = [
    ({"model": "no/such"}, "model", "no model or route 'no/such'"),
    ({"settings": {"temperature": 3}}, "settings.temperature", "from 0 to 2"),
    ({"settings": []}, "settings", "dictionary"),
    ({"tools": ["y"]}, "tools[0]", "no tool 'y'"),
    ({"guardrails": ["pii"]}, "guardrails[0]", "no kind of guardrail 'pii'"),
    ({"output_schema": {"type": "array"}}, "output_schema", "schema of an object"),
    ({"links": [link(BILLING)]}, "links[0].target", "to itself"),
    ({"links": [link("desk/none")]}, "links[0].target", "no agent 'desk/none'"),
    ({"links": [link("desk/a", "friend")]}, "links.0.kind", "'handoff' or 'as_tool'"),
    ({"links": [link("desk/a", "as_tool")], "tools": ["a"]}, "links[0].tool_name", "another tool 'a'"),
    ({"isolation": "process"}, "isolation", "no code to isolate"),
    ({"members": {"x": ""}}, "members", "model id each"),
    ({"max_tokens": 0}, "max_tokens", "greater than"),
    ({"max_cost": 0}, "max_cost", "greater than"),
    ({"max_cost": "much"}, "max_cost", "decimal text"),
    ({"folder": "x"}, "folder", "Unknown field"),
]


def test_a_declared_agent_is_served_at_once(admin: Caller) -> None:
    rows.model(rows.upstream("vendor"))
    body: dict[str, Any] = {
        "display_name": " Billing ",
        "description": "Knows invoices.",
        "instructions": "Be exact.",
        "model": "vendor/chat",
        "settings": {"temperature": 0.2, "seed": 7},
        "output_schema": SCHEMA,
        "output_strict": True,
    }

    shown = declare(admin, **body, max_turns=4, max_tokens=900, max_cost="0.25", note="First.")

    assert shown["definition"] == body | {
        "display_name": "Billing",
        "tools": [],
        "guardrails": [],
        "links": [],
    }
    assert list(shown["definition"]["output_schema"]["properties"]) == ["zone", "amount"]
    named = {name: shown[name] for name in ("id", "managed_by", "version", "name", "description", "state")}
    assert named == {
        "id": BILLING,
        "managed_by": "admin",
        "version": 1,
        "name": "Billing",
        "description": "Knows invoices.",
        "state": "loaded",
    }
    assert (shown["max_turns"], shown["max_tokens"], shown["max_cost"]) == (4, 900, 0.25)
    entry = served()
    assert entry is not None
    assert (entry.model, entry.max_turns, entry.max_cost_nano) == ("vendor/chat", 4, 250_000_000)
    assert admin.ok("GET", f"/agents/{BILLING}") == shown
    assert admin.ok("GET", f"/agents/{Agent.objects.get().public_id}") == shown


def test_a_disabled_declared_agent_is_not_served(admin: Caller) -> None:
    assert declare(admin, enabled=False)["state"] == "disabled"

    assert served() is None


def test_an_id_that_can_not_be_is_refused(admin: Caller, tmp_path: Path, settings: Any) -> None:
    settings.AGENT_ROOTS = (tmp_path,)
    write_agent(tmp_path, "Helper", HELPER)
    rows.upstream("vendor")
    Route.objects.create(name="fast/lane")
    Route.objects.create(name="slow")
    admin.ok("POST", "/agents/refresh")

    for agent_id, status, words in WRONG_IDS:
        error = admin.refused("POST", "/agents", {"id": agent_id})

        assert (error["status"], error["param"]) == (status, "id")
        assert words in error["message"]
    assert not AgentVersion.objects.exists()


def test_a_wrong_definition_names_the_field_and_makes_nothing(admin: Caller) -> None:
    declare(admin, "desk/a")

    for fields, param, words in WRONG:
        error = admin.refused("POST", "/agents", {"id": BILLING, **fields})

        assert (error["status"], error["param"]) == (400, param)
        assert words in error["message"]
    assert Agent.objects.count() == 1


def test_an_agent_is_changed_in_parts(admin: Caller) -> None:
    declare(admin, instructions="Be brief.", settings={"temperature": 1})

    shown = admin.ok("PATCH", f"/agents/{BILLING}", {"settings": {}, "visibility": "reasoning"})

    assert (shown["visibility"], shown["version"]) == ("reasoning", 2)
    assert shown["definition"]["instructions"] == "Be brief."
    assert shown["definition"]["settings"] == {}


def test_null_takes_a_schema_and_limits_away(admin: Caller) -> None:
    declare(admin, output_schema=SCHEMA, max_tokens=5, max_cost=1)

    shown = admin.ok(
        "PATCH", f"/agents/{BILLING}", {"output_schema": None, "max_tokens": None, "max_cost": None}
    )

    assert shown["definition"]["output_schema"] is None
    assert (shown["max_tokens"], shown["max_cost"]) == (None, None)


def test_what_a_drop_in_is_can_not_be_changed(admin: Caller, tmp_path: Path, settings: Any) -> None:
    settings.AGENT_ROOTS = (tmp_path,)
    write_agent(tmp_path, "Helper", HELPER)
    admin.ok("POST", "/agents/refresh")

    error = admin.refused("PATCH", "/agents/default/helper", {"max_turns": 3, "instructions": "Obey."})

    assert (error["status"], error["param"]) == (400, "instructions")
    assert Agent.objects.get().max_turns == 10
    assert admin.ok("GET", "/agents/default/helper")["definition"] is None
    assert admin.refused("GET", "/agents/default/helper/versions")["status"] == 404
    assert admin.refused("DELETE", "/agents/default/helper")["status"] == 409


def test_hand_offs_may_go_in_a_circle(admin: Caller) -> None:
    declare(admin, "desk/a")
    declare(admin, "desk/b", links=[link("desk/a")])

    admin.ok("PATCH", "/agents/desk/a", {"links": [link("desk/b")]})

    assert served("desk/a") is not None
    assert served("desk/b") is not None


@pytest.mark.parametrize("kinds", [("as_tool", "handoff", "handoff"), ("handoff", "handoff", "as_tool")])
def test_a_call_as_a_tool_must_not_lead_back(admin: Caller, kinds: tuple[str, ...]) -> None:
    declare(admin, "desk/a")
    declare(admin, "desk/b", links=[link("desk/a", kinds[0])])
    declare(admin, "desk/c", links=[link("desk/b", kinds[1])])

    error = admin.refused("PATCH", "/agents/desk/a", {"links": [link("desk/c", kinds[2])]})

    assert (error["status"], error["param"]) == (400, "links[0].target")
    assert "'desk/c' leads back to 'desk/a'" in error["message"]
    assert AgentLink.objects.count() == 2


def test_an_agent_can_not_reach_too_many(admin: Caller) -> None:
    agents = [Agent(slug=f"desk/n{number}") for number in range(105)]
    Agent.objects.bulk_create(agents)
    AgentLink.objects.bulk_create(AgentLink(agent=one, target=other) for one, other in pairwise(agents))

    error = admin.refused("POST", "/agents", {"id": BILLING, "links": [link("desk/n0")]})

    assert (error["param"], error["status"]) == ("links", 400)
    assert "more than 100 agents" in error["message"]


def test_an_agent_that_others_need_stays(admin: Caller) -> None:
    declare(admin, "desk/a")
    declare(admin, links=[link("desk/a")])

    error = admin.refused("DELETE", "/agents/desk/a")

    assert (error["status"], error["code"]) == (409, "conflict")
    assert f"link to 'desk/a': {BILLING}" in error["message"]
    admin.ok("DELETE", f"/agents/{BILLING}")
    assert admin.ok("DELETE", "/agents/desk/a") == {"id": "desk/a", "object": "agent", "deleted": True}
    assert not Agent.objects.exists()
    assert not AgentVersion.objects.exists()
    assert served("desk/a") is None
    assert admin.refused("GET", "/agents/desk/a")["status"] == 404


def test_a_drop_in_that_others_need_stays_in_the_process(
    admin: Caller, tmp_path: Path, settings: Any
) -> None:
    settings.AGENT_ROOTS = (tmp_path,)
    write_agent(tmp_path, "Helper", HELPER)
    admin.ok("POST", "/agents/refresh")
    declare(admin, links=[link("default/helper")])

    error = admin.refused("PATCH", "/agents/default/helper", {"isolation": "process"})

    assert (error["status"], error["param"]) == (400, "isolation")
    assert BILLING in error["message"]


def test_a_broken_agent_can_be_disabled(admin: Caller) -> None:
    declare(admin)
    AgentVersion.objects.update(definition="{")
    store.refresh(everything=True)
    assert served() is None
    (problem,) = admin.ok("GET", "/agents/errors")["data"]
    assert problem == {"folder": BILLING, "message": "its version in force can't be read"}
    shown = admin.ok("GET", f"/agents/{BILLING}")
    assert (shown["state"], shown["definition"]) == ("not loaded", None)

    assert admin.ok("PATCH", f"/agents/{BILLING}", {"enabled": False})["enabled"] is False


def test_whoever_may_not_administer_declares_nothing(admin: Caller) -> None:
    traffic = admin.with_key(admin.ok("POST", "/key/generate", {})["key"])

    for method, path in (
        ("POST", "/agents"),
        ("GET", f"/agents/{BILLING}"),
        ("DELETE", f"/agents/{BILLING}"),
        ("GET", f"/agents/{BILLING}/versions"),
        ("GET", f"/agents/{BILLING}/versions/1"),
        ("POST", f"/agents/{BILLING}/rollback"),
    ):
        body: dict[str, Any] | None = None if method == "GET" else {}
        assert traffic.refused(method, path, body)["status"] == 403
