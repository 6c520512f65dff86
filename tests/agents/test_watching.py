"""The watch of discovery roots, within this process."""

from __future__ import annotations

import gc
import sys
import weakref
from pathlib import Path
from typing import Any

import pytest

from agents_app.discovery import LoadedFolder
from agents_app.models import Agent
from agents_app.registry import AgentsConfig
from agents_app.sdk.loader import ROOT_PACKAGE
from agents_app.services.watch import FolderWatch, reload_agents
from gateway_project.core.snapshot import SnapshotStore
from security_app.services.configuration import read_versions, store
from tests.admin import rows
from tests.agents.dropins import write_agent

NAMED = "from agents import Agent\nagent = Agent(name='{}')"


@pytest.fixture
def root(tmp_path: Path, settings: Any, snapshots: SnapshotStore) -> Path:
    """An empty discovery root of a process that is running."""
    settings.AGENT_ROOTS = (tmp_path,)
    return tmp_path


def config() -> AgentsConfig:
    found: AgentsConfig = store.current.sections["agents"].value
    return found


def folders() -> dict[str, LoadedFolder]:
    found: dict[str, LoadedFolder] = store.current.sections["agent_folders"].value
    return found


def test_a_folder_is_loaded_once_it_is_the_same_at_two_looks(root: Path) -> None:
    watch = FolderWatch()
    watch.look()
    folder = write_agent(root, "Copied", "from agents import Agent\nfrom .late import NAME")
    watch.look()
    assert not folders()

    # The rest of the copy arrives between two looks, so what is there is not what was seen.
    (folder / "late.py").write_text("NAME = 'whole'")
    write_agent(root, "Copied", "from agents import Agent\nfrom .late import NAME\nagent = Agent(name=NAME)")
    watch.look()
    assert not folders()

    watch.look()
    assert config().agents["default/copied"].name == "whole"
    assert not store.current.diagnostics()


def test_a_folder_that_stays_as_it_is_is_loaded_once(root: Path) -> None:
    watch = FolderWatch()
    write_agent(root, "Good", NAMED.format("A"))
    write_agent(root, "Broken", "x = = 1")
    for _ in range(2):
        watch.look()
    loaded = store.current

    for _ in range(3):
        watch.look()

    assert store.current is loaded
    assert len(folders()) == 2


def test_a_change_is_loaded_and_others_stay_as_they_are(root: Path) -> None:
    write_agent(root, "Kept", NAMED.format("kept"))
    write_agent(root, "Changed", NAMED.format("one"))
    reload_agents()
    before = config()

    write_agent(root, "Changed", NAMED.format("two"))
    reload_agents()

    assert config().agents["default/changed"].name == "two"
    assert config().agents["default/kept"].agent is before.agents["default/kept"].agent


def test_a_broken_agent_harms_no_other(root: Path) -> None:
    write_agent(root, "Good", NAMED.format("good"))
    for number, line in enumerate(("x = = 1", "raise SystemExit", "1 / 0", "import nothing_like_it")):
        write_agent(root, f"Broken{number}", line)

    reload_agents()

    assert list(config().agents) == ["default/good"]
    assert len(store.current.sections["agents"].diagnostics) == 4
    assert store.failure is None


def test_whoever_holds_an_entry_keeps_its_generation(root: Path) -> None:
    folder = write_agent(
        root,
        "Late",
        """
        from agents import Agent
        def late():
            from .text import TEXT
            return TEXT
        agent = Agent(name="Late")
        agent.late = late
        """,
    )
    (folder / "text.py").write_text("TEXT = 'old'")
    reload_agents()
    run = config().agents["default/late"]
    assert run.agent.late() == "old"

    (folder / "text.py").write_text("TEXT = 'new'")
    reload_agents()

    assert config().agents["default/late"].agent.late() == "new"
    assert run.agent.late() == "old"


def test_a_hundred_reloads_leave_one_generation(root: Path) -> None:
    gone: list[weakref.ref[object]] = []
    for number in range(100):
        write_agent(root, "Changing", NAMED.format(number))
        reload_agents()
        gone.append(weakref.ref(config().agents["default/changing"].agent))

    gc.collect()

    alive = [found.name for ref in gone if (found := ref()) is not None]  # type: ignore[attr-defined]
    assert alive == ["99"]
    packages = {name.split(".")[1] for name in sys.modules if name.startswith(ROOT_PACKAGE + ".")}
    assert len(packages) == 1


def test_a_full_reload_imports_no_folder_that_is_the_same(root: Path) -> None:
    write_agent(root, "Same", NAMED.format("same"))
    write_agent(root, "Other", NAMED.format("one"))
    reload_agents()
    before = config().agents["default/same"].generation
    write_agent(root, "Other", NAMED.format("other"))

    store.refresh(everything=True)

    assert config().agents["default/same"].generation is before
    assert config().agents["default/other"].name == "other"


def test_other_changes_load_nothing_from_disk(root: Path) -> None:
    write_agent(root, "Here", NAMED.format("here"))
    reload_agents()
    write_agent(root, "Half", "from agents import Agent")

    row = Agent.objects.get()
    row.max_turns = 3
    row.save()
    rows.upstream("vendor")
    store.refresh()

    assert config().agents["default/here"].max_turns == 3
    assert len(folders()) == 1
    assert not store.current.diagnostics()


def test_an_upstream_that_takes_a_namespace_takes_it_at_once(root: Path) -> None:
    write_agent(root / "vendor", "Bot", NAMED.format("bot"))
    reload_agents()
    assert "vendor/bot" in config().agents

    row = rows.upstream("vendor")
    store.refresh()
    assert not config().agents
    (problem,) = store.current.diagnostics()
    assert problem.message == "the namespace 'vendor' is the name of an upstream"

    row.delete()
    store.refresh()
    assert "vendor/bot" in config().agents


def another_process() -> SnapshotStore:
    """The snapshot of a second server process over the same database."""
    from agents_app import registry as agents
    from upstreams_app import registry as upstreams

    other = SnapshotStore(read_versions)
    other.register(upstreams.SECTION, upstreams.build)
    other.register(agents.FOLDERS, agents.build_folders)
    other.register(agents.SECTION, agents.build, follows=(upstreams.SECTION, agents.FOLDERS))
    other.refresh()
    return other


def test_all_processes_load_what_changed(root: Path) -> None:
    other = another_process()
    write_agent(root, "New", NAMED.format("new"))

    reload_agents()
    assert other.refresh()

    theirs = other.current.sections["agents"].value.agents["default/new"]
    ours = config().agents["default/new"]
    assert (theirs.created, theirs.digest) == (ours.created, ours.digest)
    assert Agent.objects.count() == 1
    assert not other.refresh()
    assert not store.refresh()


def test_of_processes_that_find_an_agent_at_once_one_writes_its_row(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_agent(root, "New", NAMED.format("new"))
    # The other process looks for rows, finds none, and is overtaken.
    real = Agent.objects.all

    def overtaken() -> Any:
        monkeypatch.undo()
        found = list(real())
        reload_agents()
        return found

    monkeypatch.setattr(Agent.objects, "all", overtaken)

    other = another_process()

    theirs = other.current.sections["agents"].value.agents["default/new"]
    assert Agent.objects.count() == 1
    assert (
        theirs.created
        == config().agents["default/new"].created
        == int(Agent.objects.get().created_at.timestamp())
    )


def test_a_missing_root_serves_nothing(root: Path, settings: Any) -> None:
    settings.AGENT_ROOTS = (root / "missing",)

    reload_agents()
    FolderWatch().look()

    assert not config().agents
