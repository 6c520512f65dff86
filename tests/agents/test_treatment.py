"""Policies of namespaces and the isolation of agents: what they change about folders that are there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from django.core.exceptions import ValidationError
from pytest_django import Settings

from agents_app.entry import AgentEntry
from agents_app.isolation import processes
from agents_app.models import Agent, DropInPolicy
from agents_app.registry import AgentsConfig
from agents_app.services.definitions import change_agent
from agents_app.services.states import agent_problems
from gateway_project.registries import store
from tests.agents.dropins import write_agent

pytestmark = pytest.mark.django_db
HELPER = "from agents import Agent\nagent = Agent(name='Helper')\n"
READS = f"import os\n{HELPER}"
ID = "default/helper"


@pytest.fixture(autouse=True)
def root(settings: Settings, tmp_path: Path) -> Iterator[Path]:
    """A discovery root with one agent, which is loaded."""
    settings.AGENT_ROOTS = (tmp_path / "agents",)
    settings.GATEWAY_DATA_DIR = tmp_path / "data"
    write_agent(tmp_path / "agents", "Helper", READS)
    store.refresh(everything=True)
    yield tmp_path / "agents"
    store.forget()


def served() -> dict[str, AgentEntry]:
    """What clients can call after what was changed just now."""
    store.refresh()
    config: AgentsConfig = store.current.sections["agents"].value
    return config.agents


def problems() -> list[str]:
    """What is told of the folders."""
    return [f"{one.folder}: {one.message}" for one in agent_problems()]


def test_without_a_policy_code_is_trusted_and_in_the_server() -> None:
    entry = served()[ID]

    assert (entry.isolation, entry.place, entry.agent.name) == ("in_process", None, "Helper")


def test_a_policy_acts_at_once_and_ends_when_it_is_deleted(caplog: pytest.LogCaptureFixture) -> None:
    row = DropInPolicy.objects.create(namespace="default", mode="restricted")

    assert served() == {}
    assert problems() == ["Helper: agent.py, line 1: imports 'os', which the policy does not allow"]
    assert [record.message for record in caplog.records][:1] == ["agent.dropin.blocked"]

    row.delete()
    assert list(served()) == [ID]


def test_a_policy_is_for_its_namespace_else_for_all(root: Path) -> None:
    write_agent(root / "sales", "Desk", READS)
    DropInPolicy.objects.create(namespace="*", mode="restricted")
    DropInPolicy.objects.create(namespace="sales", mode="trusted")

    assert list(served()) == ["sales/desk"]


def test_code_can_not_choose_its_policy(root: Path) -> None:
    write_agent(root, "Helper", f"__gateway__ = {{'namespace': 'lax'}}\n{READS}")
    DropInPolicy.objects.create(namespace="lax", mode="trusted")
    DropInPolicy.objects.create(namespace="default", mode="restricted")

    assert served() == {}


def test_allowed_modules_are_allowed() -> None:
    DropInPolicy.objects.create(namespace="*", mode="restricted", allowed_modules="os\nhttpx")

    assert list(served()) == [ID]


def test_an_isolated_agent_is_never_imported(root: Path) -> None:
    write_agent(root, "Helper", f"{HELPER}import sys\nassert 'django' not in sys.modules\n")

    DropInPolicy.objects.create(namespace="default", isolation="process")

    entry = served()[ID]
    assert (entry.isolation, entry.name, entry.agent, entry.generation) == ("process", "Helper", None, None)
    assert entry.place is not None
    assert (entry.place.folder.slug, entry.place.slug) == ("helper", "helper")


def test_new_agents_of_an_isolated_namespace_stay_isolated(root: Path) -> None:
    row = DropInPolicy.objects.create(namespace="*", isolation="process")
    write_agent(root, "Later", HELPER)
    assert served()["default/later"].isolation == "process"

    row.delete()

    found = served()
    assert (found["default/later"].isolation, found[ID].isolation) == ("process", "in_process")


def test_an_agents_isolation_acts_at_once_on_all_of_its_folder(root: Path) -> None:
    write_agent(root, "Helper", f"{HELPER}other = Agent(name='Other')\n")
    store.refresh(everything=True)

    change_agent(Agent.objects.get(slug=f"{ID}-other"), actor="test", isolation="process")
    isolated = {name: entry.isolation for name, entry in served().items()}
    change_agent(Agent.objects.get(slug=f"{ID}-other"), actor="test", isolation="in_process")

    assert isolated == {ID: "process", f"{ID}-other": "process"}
    assert served()[ID].agent.name == "Helper"


def test_an_isolated_agent_stays_so_when_its_folder_moves(root: Path) -> None:
    change_agent(Agent.objects.get(slug=ID), actor="test", isolation="process")
    (root / "default").mkdir()

    (root / "Helper").rename(root / "default" / "Helper")
    store.refresh(everything=True)

    assert served()[ID].isolation == "process"


def test_where_processes_are_not_possible_only_trusted_code_is_served(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "are_possible", lambda: False)
    write_agent(root / "apart", "Desk", HELPER)

    DropInPolicy.objects.create(namespace="apart", isolation="process")
    store.refresh(everything=True)

    assert list(served()) == [ID]
    assert problems() == ["apart/Desk: it is to run in a process of its own, which needs Linux"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("namespace", "No Name"),
        ("namespace", "a/b"),
        ("allowed_modules", "os, sys"),
        ("denied_modules", "not-a-name"),
        ("allowed_modules", "a " * 201),
        ("mode", "lax"),
    ],
)
def test_what_is_no_policy_is_refused(field: str, value: str) -> None:
    with pytest.raises(ValidationError) as caught:
        DropInPolicy(**{"namespace": "default", field: value}).full_clean()

    assert list(caught.value.message_dict) == [field]
