"""Keys that are pinned to versions of declared agents: what is built for them, kept for them and refused."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from agents_app import pinned
from agents_app import registry as agents
from agents_app.models import Agent, AgentVersion
from agents_app.registry import AgentsConfig
from agents_app.sdk.client_tools import graph_of
from gateway_project.core.snapshot import SnapshotStore
from security_app import registry as security
from security_app.models import ConfigVersion
from security_app.services.configuration import read_versions, store
from tests.admin import rows
from tests.agents.declared import BILLING, declare, link, served
from tests.agents.pins import key, pin, policy
from tests.management.caller import Caller
from upstreams_app import registry as upstreams

PATH = f"/agents/{BILLING}"


def change(admin: Caller, text: str, path: str = PATH, **fields: Any) -> None:
    """Give an agent other instructions, and what else is said."""
    admin.ok("PATCH", path, {"instructions": text, **fields})


def config() -> AgentsConfig:
    """The agents as this process serves them."""
    found: AgentsConfig = store.current.sections["agents"].value
    return found


def problems() -> list[tuple[str, str]]:
    """What this process says is wrong with agents."""
    return [(one.object, one.message) for one in store.current.sections["agents"].diagnostics]


def versions() -> dict[str, int]:
    """How often each section was changed."""
    return dict(ConfigVersion.objects.values_list("section", "version"))


def numbers() -> list[int]:
    """The versions of the agent that are kept."""
    kept = AgentVersion.objects.filter(agent__slug=BILLING)
    return sorted(kept.values_list("number", flat=True))


def test_a_pinned_version_is_served_beside_the_one_in_force_under_the_rules_of_the_row(admin: Caller) -> None:
    rows.model(rows.upstream("vendor"))
    declare(admin, instructions="Old.", model="vendor/chat", display_name="Old desk")
    change(admin, "New.", model="", display_name="New desk")

    key(admin, billing=1)
    admin.ok("PATCH", PATH, {"max_turns": 3, "max_cost": "0.5", "visibility": "gateway"})

    now, then = served(), config().pinned[BILLING, 1]
    assert now is not None
    assert (now.version, now.agent.instructions, now.name, now.model) == (2, "New.", "New desk", "")
    assert (then.version, then.agent.instructions, then.name) == (1, "Old.", "Old desk")
    assert (then.model, then.agent.model) == ("vendor/chat", "vendor/chat")
    assert (then.id, then.id_json, then.created) == (now.id, now.id_json, now.created)
    assert (then.max_turns, then.max_cost_nano, then.visibility) == (3, 500_000_000, "gateway")
    # What waits for a client's tools is found again by the same definition only.
    assert then.made_of != now.made_of
    assert problems() == []


def test_a_disabled_agent_is_disabled_for_pinned_keys_too(admin: Caller) -> None:
    declare(admin, instructions="Old.")
    change(admin, "New.")
    key(admin, billing=1)

    admin.ok("PATCH", PATH, {"enabled": False})
    off = dict(config().pinned)
    admin.ok("PATCH", PATH, {"enabled": True})

    assert off == {}
    assert set(config().pinned) == {(BILLING, 1)}


def test_a_pin_goes_with_its_key_and_when_it_is_taken_away(admin: Caller) -> None:
    declare(admin, instructions="Old.")
    change(admin, "New.")
    first, second = key(admin, billing=1), key(admin, billing=2)

    assert set(config().pinned) == {(BILLING, 1), (BILLING, 2)}
    assert config().pinned[BILLING, 2] is served()
    pin(admin, first)
    assert policy(first).agent_versions == {}
    assert set(config().pinned) == {(BILLING, 2)}
    admin.ok("POST", "/key/delete", {"keys": [second]})
    admin.ok("PATCH", PATH, {"max_turns": 3})
    assert config().pinned == {}


def test_changes_and_roll_backs_leave_pins_as_they_are(admin: Caller) -> None:
    declare(admin, instructions="One.")
    key(admin, billing=1)
    change(admin, "Two.")
    key(admin, billing=2)
    before = config().pinned[BILLING, 1]

    admin.ok("POST", f"{PATH}/rollback", {"version": 1})

    found = {number: entry.agent.instructions for (_, number), entry in config().pinned.items()}
    assert found == {1: "One.", 2: "Two."}
    assert config().pinned[BILLING, 1].agent is before.agent
    assert getattr(served(), "version", None) == 3


def test_links_of_a_pinned_version_lead_to_what_the_others_are_now(admin: Caller) -> None:
    declare(admin, "desk/aide", instructions="Old aide.")
    declare(admin, "desk/other", instructions="Other.")
    declare(admin, instructions="Old.", links=[link("desk/aide"), link("desk/other", "as_tool")])
    change(admin, "New.", links=[])
    key(admin, billing=1, aide=1)
    change(admin, "New aide.", "/agents/desk/aide", links=[link(BILLING)])

    then = config().pinned[BILLING, 1].agent
    aide = served("desk/aide")
    assert aide is not None
    # The way back leads to the pinned version: in one run an agent is the same everywhere.
    assert [one.instructions for one in graph_of(then)] == ["Old.", "New aide."]
    assert graph_of(then)[1] is not aide.agent
    assert [one.instructions for one in graph_of(aide.agent)] == ["New aide.", "New."]
    assert [tool.name for tool in then.tools] == ["other"]


def test_what_did_not_change_is_neither_read_nor_built_again(admin: Caller) -> None:
    declare(admin, "desk/aide")
    declare(admin, instructions="Old.", links=[link("desk/aide")])
    change(admin, "New.")
    key(admin, billing=1)
    before = config().pinned[BILLING, 1].agent

    rows.upstream("vendor")
    with CaptureQueriesContext(connection) as queries:
        assert store.refresh()

    read = [one["sql"] for one in queries.captured_queries]
    assert [sql for sql in read if "agentversion" in sql or "apikey" in sql] == []
    assert config().pinned[BILLING, 1].agent is before
    change(admin, "New.", "/agents/desk/aide")
    assert config().pinned[BILLING, 1].agent is not before


def test_all_pinned_versions_are_read_in_one_query(admin: Caller) -> None:
    for name in ("a", "b", "c"):
        declare(admin, f"desk/{name}")
        change(admin, "2", f"/agents/desk/{name}")
        change(admin, "3", f"/agents/desk/{name}")
    key(admin, a=1, b=1, c=2)
    key(admin, a=2, b=3)

    with CaptureQueriesContext(connection) as queries:
        store.refresh(everything=True)

    read = [one["sql"] for one in queries.captured_queries if "agentversion" in one["sql"]]
    assert len(read) == 2
    assert len(config().pinned) == 5


def test_a_pinned_version_is_kept_as_long_as_a_key_has_it(admin: Caller, settings: Any) -> None:
    settings.AGENT_VERSIONS_KEPT = 2
    declare(admin, instructions="1")
    pinned_key = key(admin, billing=1)
    other = key(admin, billing=2)
    key(admin, other=3)

    for number in range(2, 6):
        change(admin, str(number))

    assert numbers() == [1, 2, 4, 5]
    assert config().pinned[BILLING, 1].agent.instructions == "1"
    pin(admin, pinned_key)
    admin.ok("POST", "/key/delete", {"keys": [other]})
    change(admin, "6")
    assert numbers() == [5, 6]


@pytest.mark.parametrize("text", ["{", None])
def test_a_version_that_is_gone_or_can_not_be_read_is_told_and_not_replaced(
    admin: Caller, text: str | None
) -> None:
    declare(admin, instructions="1")
    change(admin, "2")
    first = AgentVersion.objects.filter(number=1)
    first.delete() if text is None else first.update(definition=text)

    key(admin, billing=1)

    assert config().pinned == {}
    assert served() is not None
    assert problems() == [
        (
            f"agent {BILLING}",
            "warning: keys that are pinned to version 1 can't call it: it is gone or can't be read",
        )
    ]
    assert admin.ok("GET", "/agents/errors")["data"][0]["folder"] == BILLING


def test_a_version_that_comes_later_is_served_then(admin: Caller) -> None:
    declare(admin, instructions="1")
    key(admin, billing=3)
    change(admin, "2")
    assert config().pinned == {}

    change(admin, "3")

    assert config().pinned[BILLING, 3] is served()
    assert problems() == []


def test_pins_to_what_has_no_versions_are_told(admin: Caller) -> None:
    Agent.objects.create(slug="desk/code")
    key(admin, code=1, nobody=2)

    assert config().pinned == {}
    assert [(name, text.rpartition(": ")[2]) for name, text in problems()] == [
        ("agent desk/code", "a drop-in has no versions"),
        ("agent desk/nobody", "there is no such agent"),
    ]


def test_a_version_whose_target_is_gone_is_not_served(admin: Caller) -> None:
    declare(admin, "desk/aide")
    declare(admin, instructions="1", links=[link("desk/aide")])
    change(admin, "2", links=[])
    key(admin, billing=1)
    assert set(config().pinned) == {(BILLING, 1)}

    admin.ok("DELETE", "/agents/desk/aide")

    assert config().pinned == {}
    assert "it needs 'desk/aide': it is not served" in problems()[0][1]
    declare(admin, "desk/aide")
    assert set(config().pinned) == {(BILLING, 1)}


def test_a_version_whose_links_would_never_end_is_not_served(admin: Caller) -> None:
    declare(admin, "desk/aide")
    declare(admin, instructions="1", links=[link("desk/aide", "as_tool")])
    change(admin, "2", links=[])
    key(admin, billing=1)
    assert set(config().pinned) == {(BILLING, 1)}

    change(admin, "Asks back.", "/agents/desk/aide", links=[link(BILLING)])

    assert config().pinned == {}
    assert "lead back to it" in problems()[0][1]


def test_an_agent_that_took_a_deleted_ones_id_has_versions_of_its_own(admin: Caller) -> None:
    declare(admin, instructions="Old.")
    change(admin, "New.")
    key(admin, billing=1)

    admin.ok("DELETE", PATH)
    assert config().pinned == {}
    declare(admin, instructions="Another.")
    change(admin, "Another one.")

    assert config().pinned[BILLING, 1].agent.instructions == "Another."


def test_so_many_versions_are_served_and_those_of_the_oldest_keys_are(
    admin: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pinned, "MAX_PINNED", 2)
    for name in ("a", "b", "c"):
        declare(admin, f"desk/{name}")
        change(admin, "2", f"/agents/desk/{name}")

    key(admin, c=1)
    key(admin, b=1, c=1)
    key(admin, a=1)

    assert set(config().pinned) == {("desk/c", 1), ("desk/b", 1)}
    ((name, text),) = problems()
    assert name == "agent desk/a"
    assert text.endswith("at most 2 pinned versions are served")


def test_no_more_is_told_than_somebody_may_read(admin: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pinned, "_MAX_TOLD", 2)

    key(admin, **{f"gone{number}": 1 for number in range(5)})

    assert [text.startswith("warning: ") for _, text in problems()] == [True] * 3
    assert problems()[-1][1] == "warning: 3 more pins of keys can't be served"


def test_a_change_of_pins_counts_for_agents_and_other_changes_of_keys_do_not(admin: Caller) -> None:
    declare(admin)
    plain = admin.ok("POST", "/key/generate", {})["key_id"]
    first = versions()

    pin(admin, plain, billing=1)
    second = versions()
    admin.ok("POST", "/key/update", {"key": plain, "user_id": "u-1", "agent_versions": None})
    key(admin)

    assert {name for name, value in second.items() if value != first.get(name)} == {"security", "agents"}
    assert versions()["agents"] == second["agents"]
    assert policy(plain).agent_versions == {BILLING: 1}
    assert not store.refresh()


def test_other_processes_take_a_key_and_its_version_together(admin: Caller) -> None:
    declare(admin, instructions="Old.")
    change(admin, "New.")
    other = SnapshotStore(read_versions)
    for registry in (security, upstreams):
        other.register(registry.SECTION, registry.build)
    other.register(agents.FOLDERS, agents.build_folders)
    other.register(agents.SECTION, agents.build)
    other.refresh()

    made = key(admin, billing=1)

    assert other.refresh()
    theirs = other.current.sections
    assert theirs["agents"].value.pinned[BILLING, 1].agent.instructions == "Old."
    assert policy(made, theirs).agent_versions == {BILLING: 1}
    assert not other.refresh()
