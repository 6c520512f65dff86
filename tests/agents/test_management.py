"""Rows of agents, and /agents of the management API."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from agents_app.models import Agent
from agents_app.registry import AgentsConfig
from gateway_project.core.snapshot import SnapshotStore
from security_app.models import ConfigVersion
from security_app.services.configuration import store
from tests.admin import rows
from tests.agents.dropins import write_agent
from tests.management.caller import Caller
from upstreams_app.models import Route, RouteTarget

HELPER = "from agents import Agent\nagent = Agent(name='Helper', handoff_description='Helps.')"
ID = "default/helper"


@pytest.fixture
def root(tmp_path: Path, settings: Any) -> Path:
    """The one discovery root, with one agent."""
    settings.AGENT_ROOTS = (tmp_path,)
    write_agent(tmp_path, "Helper", HELPER)
    return tmp_path


def config() -> AgentsConfig:
    """What this process serves."""
    found: AgentsConfig = store.current.sections["agents"].value
    return found


def listed(admin: Caller) -> dict[str, dict[str, Any]]:
    """`GET /agents`, by id."""
    return {one["id"]: one for one in admin.ok("GET", "/agents")["data"]}


def versions() -> int:
    """How often the section changed, by the database."""
    return ConfigVersion.objects.filter(section="agents").values_list("version", flat=True).first() or 0


def test_an_agent_that_is_found_first_gets_a_row_without_a_reload(
    root: Path, snapshots: SnapshotStore
) -> None:
    row = Agent.objects.get()

    assert (row.slug, row.folder, row.managed_by, row.is_enabled) == (ID, "Helper", "discovered", True)
    assert config().agents[ID].created == int(row.created_at.timestamp())
    assert versions() == 0
    assert not snapshots.refresh()


def test_another_process_shows_the_same_moment(root: Path, snapshots: SnapshotStore) -> None:
    before = config().agents[ID].created
    Agent._base_manager.update(created_at="2026-01-02T03:04:05Z")

    snapshots.refresh(everything=True)

    assert Agent.objects.count() == 1
    assert config().agents[ID].created == 1767323045 < before


def test_a_row_follows_its_agent_to_another_folder(root: Path, snapshots: SnapshotStore) -> None:
    (root / "Helper").rename(root / "helper")

    snapshots.refresh(everything=True)

    assert Agent.objects.get().folder == "helper"


def test_the_list_tells_what_row_and_code_say(root: Path, admin: Caller) -> None:
    (found,) = admin.ok("GET", "/agents")["data"]

    digest, created = found.pop("digest"), found.pop("created")
    assert len(digest) == 64
    assert created == int(Agent.objects.get().created_at.timestamp())
    assert found == {
        "id": ID,
        "object": "agent",
        "name": "Helper",
        "description": "Helps.",
        "enabled": True,
        "model": "",
        "visibility": "hidden",
        "max_turns": 10,
        "max_llm_calls": 50,
        "wall_clock_s": 600,
        "max_tokens": None,
        "max_cost": None,
        "members": {},
        "isolation": "in_process",
        "records_content": False,
        "managed_by": "discovered",
        "version": None,
        "folder": "Helper",
        "state": "loaded",
    }


def test_a_refresh_loads_what_changed_and_tells_what_could_not_be(root: Path, admin: Caller) -> None:
    assert listed(admin).keys() == {ID}
    write_agent(root, "Broken", "x = = 1")
    write_agent(root / "team", "Other", HELPER)

    answer = admin.ok("POST", "/agents/refresh")

    problem = {"folder": "Broken", "message": "SyntaxError: invalid syntax (agent.py, line 1)"}
    assert {one["id"] for one in answer["data"]} == {ID, "team/other"}
    assert answer["errors"] == [problem]
    assert admin.ok("GET", "/agents/errors")["data"] == [problem]


def test_a_name_that_two_agents_have_stands_for_none(root: Path, admin: Caller) -> None:
    assert listed(admin).keys() == {ID}
    alone = config().find("helper")
    write_agent(root / "team", "Helper", HELPER)
    admin.ok("POST", "/agents/refresh")

    assert alone is not None and alone.id == ID
    assert config().find("helper") is None
    assert config().find("team/helper") is not None


def test_an_operators_fields_are_changed_and_act_at_once(root: Path, admin: Caller) -> None:
    rows.model(rows.upstream("vendor"))
    listed(admin)
    change = {
        "model": " vendor/chat ",
        "visibility": "reasoning",
        "max_turns": 3,
        "max_llm_calls": 4,
        "wall_clock_s": 5,
    }

    shown = admin.ok("PATCH", f"/agents/{ID}", change)

    assert shown | change | {"model": "vendor/chat"} == shown
    entry = config().agents[ID]
    limits = (entry.max_turns, entry.max_llm_calls, entry.wall_clock_s)
    assert (entry.model, entry.visibility, limits) == ("vendor/chat", "reasoning", (3, 4, 5))


def test_a_disabled_agent_is_listed_and_not_served(root: Path, admin: Caller) -> None:
    listed(admin)
    reference = Agent.objects.get().public_id

    assert admin.ok("PATCH", f"/agents/{reference}", {"enabled": False})["state"] == "disabled"

    assert not config().agents
    assert listed(admin)[ID]["description"] == "Helps."


def test_an_agent_may_call_a_route(root: Path, admin: Caller) -> None:
    route = Route.objects.create(name="fast")
    RouteTarget.objects.create(route=route, model=rows.model(rows.upstream("vendor")))
    listed(admin)

    assert admin.ok("PATCH", f"/agents/{ID}", {"model": "fast"})["model"] == "fast"
    assert admin.ok("PATCH", f"/agents/{ID}", {"model": ""})["model"] == ""


@pytest.mark.parametrize(
    ("body", "param", "words"),
    [
        ({"model": "nothing/here"}, "model", "no model or route 'nothing/here'"),
        ({"model": "vendor/embed"}, "model", "no chat model"),
        ({"model": "x" * 265}, "model", "at most 264"),
        ({"visibility": "all"}, "visibility", "'hidden'"),
        ({"max_turns": 0}, "max_turns", "greater than"),
        ({"max_turns": "3"}, "max_turns", "valid integer"),
        ({"enabled": 1}, "enabled", "valid boolean"),
        ({"name": "x"}, "name", "Unknown field: 'name'"),
        ({"enabled": False, "slug": "x"}, "slug", "Unknown field: 'slug'"),
    ],
)
def test_a_wrong_change_names_the_field_and_changes_nothing(
    root: Path, admin: Caller, body: dict[str, Any], param: str, words: str
) -> None:
    embed = rows.model(rows.upstream("vendor"), "embed")
    embed.mode = "embedding"
    embed.save()
    before = listed(admin)

    error = admin.refused("PATCH", f"/agents/{ID}", body)

    assert (error["status"], error["param"]) == (400, param)
    assert words in error["message"]
    assert listed(admin) == before


def test_an_agent_that_is_not_there_is_not_found(root: Path, admin: Caller) -> None:
    listed(admin)

    for reference in ("default/other", "agt_00", "x"):
        assert admin.refused("PATCH", f"/agents/{reference}", {"enabled": False})["status"] == 404
    assert admin.refused("GET", "/agents?page=2")["param"] == "page"


def test_ids_that_others_have_are_diagnostics(root: Path, admin: Caller) -> None:
    chat = rows.model(rows.upstream("vendor"))
    route = Route.objects.create(name="default/taken")
    RouteTarget.objects.create(route=route, model=chat)
    write_agent(root, "Taken", HELPER)
    write_agent(root / "vendor", "Bot", HELPER)
    write_agent(root, "Twin", "__gateway__ = {'namespace': 'x'}\n" + HELPER)
    write_agent(root / "x", "Twin", HELPER)

    problems = {one["folder"]: one["message"] for one in admin.ok("POST", "/agents/refresh")["errors"]}

    assert problems == {
        "Taken": "a model or route has the id 'default/taken' already",
        "vendor/Bot": "the namespace 'vendor' is the name of an upstream",
        "x/Twin": "the agent of Twin has the id 'x/twin' already",
    }
    assert set(config().agents) == {ID, "x/twin"}


def test_what_broke_is_not_served_on(root: Path, admin: Caller) -> None:
    listed(admin)
    write_agent(root, "Helper", "raise ValueError('not now')")

    admin.ok("POST", "/agents/refresh")

    assert not config().agents
    assert listed(admin)[ID]["state"] == "not loaded"
    message = "ValueError: not now (agent.py, line 1)"
    assert admin.ok("GET", "/agents/errors")["data"] == [{"folder": "Helper", "message": message}]


def test_a_folder_that_failed_is_tried_again_though_it_is_the_same(root: Path, admin: Caller) -> None:
    path = root / "Late" / "there.bin"
    write_agent(
        root, "Late", f"import pathlib\n(pathlib.Path(__file__).parent / 'there.bin').read_text()\n{HELPER}"
    )
    assert len(admin.ok("POST", "/agents/refresh")["errors"]) == 1

    path.write_text("")

    assert admin.ok("POST", "/agents/refresh")["errors"] == []


def test_a_gone_folder_leaves_its_row(root: Path, admin: Caller) -> None:
    listed(admin)
    admin.ok("PATCH", f"/agents/{ID}", {"max_turns": 7})
    (root / "Helper" / "agent.py").unlink()

    (found,) = admin.ok("POST", "/agents/refresh")["data"]

    assert (found["state"], found["max_turns"], found["digest"]) == ("folder gone", 7, "")
    assert not config().agents


def test_texts_of_agents_are_json(root: Path, admin: Caller) -> None:
    write_agent(root, "Odd", "from agents import Agent\nagent = Agent(name='\"ä\\n\\ud800')")
    write_agent(root, "Worse", "raise ValueError('\\ud800')")

    admin.ok("POST", "/agents/refresh")

    assert json.loads(config().agents["default/odd"].id_json) == "default/odd"
    assert listed(admin)["default/odd"]["name"] == '"ä\n?'
    assert admin.ok("GET", "/agents/errors")["data"][0]["message"] == "ValueError: ? (agent.py, line 1)"
