"""The agents section of the snapshot: every agent by its id, loaded and ready to run."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.conf import settings

from agents_app.entry import AgentEntry
from agents_app.folders import Folder, find_folders
from agents_app.models import Agent
from gateway_project.core.codec import dumps
from gateway_project.core.snapshot import Diagnostic, Section

if TYPE_CHECKING:
    from agents_app.sdk.loader import Loaded

logger = logging.getLogger(__name__)
SECTION = "agents"


@dataclass(frozen=True, slots=True)
class LoadedFolder:
    """A folder as it was loaded: its agents, or why there are none."""

    folder: Folder
    agents: tuple[Loaded, ...]
    problem: str = ""


@dataclass(frozen=True, slots=True)
class AgentsConfig:
    """All agents by id, and the folders that they came from."""

    agents: dict[str, AgentEntry]
    folders: dict[str, LoadedFolder]


def build(
    previous: Section[AgentsConfig] | None, version: int, sections: Mapping[str, Section[Any]]
) -> Section[AgentsConfig]:
    """Load what is new on disk, keep what is not, and forget what is gone."""
    before = previous.value.folders if previous is not None else {}
    folders = {path: _loaded(folder, before.get(path)) for path, folder in folders_on_disk().items()}
    rows = {row.slug: row for row in Agent.objects.all()}
    taken = set(sections["upstreams"].value.models)
    left_out: list[Diagnostic] = []
    entries: dict[str, AgentEntry] = {}
    for loaded in folders.values():
        name = f"agent {loaded.folder.path.name}"
        if loaded.problem:
            left_out.append(Diagnostic(SECTION, name, loaded.problem))
        for one in loaded.agents:
            agent_id = f"{one.overrides.get('namespace', loaded.folder.namespace)}/{one.slug}"
            if agent_id in taken or agent_id in entries:
                left_out.append(Diagnostic(SECTION, name, f"another model has the id '{agent_id}' already"))
                continue
            row = rows.get(agent_id) or Agent(slug=agent_id)
            if row.is_enabled:
                entries[agent_id] = _entry(agent_id, one, row)
    _forget(before, folders)
    return Section(AgentsConfig(entries, folders), version, tuple(left_out))


def folders_on_disk() -> dict[str, Folder]:
    """The drop-ins of all roots as they are now, by path."""
    return {str(folder.path): folder for folder in find_folders(settings.AGENT_ROOTS)}


def _loaded(folder: Folder, before: LoadedFolder | None) -> LoadedFolder:
    if before is not None and before.folder == folder:
        return before
    if folder.problem:
        return LoadedFolder(folder, (), folder.problem)
    # Only where there is an agent: importing the SDK is expensive.
    from agents_app.sdk.loader import DropInError, load

    try:
        return LoadedFolder(folder, tuple(load(folder)))
    except DropInError as error:
        logger.warning("agent.not_loaded", extra={"folder": folder.path.name, "reason": str(error)})
        return LoadedFolder(folder, (), str(error))


def _forget(before: Mapping[str, LoadedFolder], now: Mapping[str, LoadedFolder]) -> None:
    digests = {loaded.folder.digest for loaded in now.values()}
    gone = [old for old in before.values() if old.agents and old.folder.digest not in digests]
    if gone:
        from agents_app.sdk.loader import package_of, unload

        for old in gone:
            unload(package_of(old.folder))


def _entry(agent_id: str, loaded: Loaded, row: Agent) -> AgentEntry:
    overrides = loaded.overrides
    upstream, model = overrides.get("upstream", ""), overrides.get("model", "")
    suggested = f"{upstream}/{model}" if upstream and model else model
    return AgentEntry(
        id=agent_id,
        id_json=dumps(agent_id),
        agent=loaded.agent,
        name=overrides.get("display_name", "") or loaded.agent.name,
        description=overrides.get("description", "") or loaded.agent.handoff_description or "",
        created=int(row.created_at.timestamp()) if row.created_at else 0,
        model=row.model or suggested,
        visibility=row.visibility,
        max_turns=row.max_turns,
        max_llm_calls=row.max_llm_calls,
        wall_clock_s=row.wall_clock_s,
    )
