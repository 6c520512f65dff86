"""The agents in the snapshot: what is in the discovery roots, and every agent by its id, ready to run.

They are two sections: the folders are looked at when somebody asks for that, the agents are put together
whenever a row or an upstream changes, too.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Collection, Mapping, Set
from dataclasses import dataclass, field
from itertools import chain
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import DatabaseError, transaction

from agents_app.declared import NOTHING, DeclaredAgents, build_declared, id_problem
from agents_app.discovery import FoundAgent, LoadedFolder, Treatment, load_folders
from agents_app.entry import IN_PROCESS, PROCESS, AgentEntry, Place
from agents_app.folders import Folder, find_folders, is_slug, writable
from agents_app.models import Agent, DropInPolicy
from agents_app.models.agent import FOLDERS_SECTION
from agents_app.pinned import NO_PINS, PinnedAgents, build_pinned
from agents_app.policy import EVERYWHERE, Policy
from gateway_project.core.acting import acting_as
from gateway_project.core.codec import dumps
from gateway_project.core.money import to_nano
from gateway_project.core.snapshot import Diagnostic, Section
from security_app.models import ConfigVersion, recording
from security_app.registry import pinned_versions
from tools_app.registry import tools_of
from upstreams_app.registry import UpstreamsConfig

logger = logging.getLogger(__name__)
FOLDERS = FOLDERS_SECTION
SECTION = "agents"
DISCOVERED = "discovered"
_TO_BE_ISOLATED = "it is to run in a process of its own, and was loaded before that was known: load it again"
_WITHOUT_TOOL = "warning: it is served without the tool '{name}', which is off or does not exist"


@dataclass(frozen=True, slots=True)
class AgentsConfig:
    """The agents that clients can call, and all that are loaded, by id.

    `pinned` has the versions of those that clients can call that keys are pinned to, by id and number.
    `by_name` has those that no other shares the part after the slash with, by that part.
    """

    agents: dict[str, AgentEntry]
    loaded: dict[str, AgentEntry]
    declared: DeclaredAgents = NOTHING
    pins: PinnedAgents = NO_PINS
    pinned: dict[tuple[str, int], AgentEntry] = field(default_factory=dict)
    by_name: dict[str, AgentEntry] = field(init=False)

    def __post_init__(self) -> None:
        names = Counter(map(_name_of, self.agents))
        alone = {_name_of(one): entry for one, entry in self.agents.items() if names[_name_of(one)] == 1}
        object.__setattr__(self, "by_name", alone)

    def find(self, model_id: str) -> AgentEntry | None:
        """The agent of an id, which may lack its namespace if no other agent has that name."""
        return self.agents.get(model_id) or self.by_name.get(model_id)


def _name_of(agent_id: str) -> str:
    return agent_id.partition("/")[2]


def build_folders(
    previous: Section[dict[str, LoadedFolder]] | None, version: int, sections: Mapping[str, Section[Any]]
) -> Section[dict[str, LoadedFolder]]:
    """The folders by path: load what is new on disk, keep what is not, and forget what is gone.

    A folder that can't be loaded has no agents, also if a former version of it had: what is served is what
    is on disk, never something that nobody can read any more.
    """
    found = folders_on_disk()
    before = previous.value if previous is not None else {}
    return Section(load_folders(found, _treatments(found), before) if found else {}, version)


def _treatments(folders: Mapping[str, Folder]) -> dict[str, Treatment]:
    """What may be in each folder, and where its code runs: in the server only if nothing says otherwise."""
    policies = {row.namespace: row.rules() for row in DropInPolicy.objects.all()}
    apart = set(chain(*Agent.objects.filter(isolation=PROCESS).values_list("folder", "slug")))
    found: dict[str, Treatment] = {}
    for path, folder in folders.items():
        policy = policies.get(folder.namespace) or policies.get(EVERYWHERE) or Policy()
        names = {folder.name, f"{folder.namespace}/{folder.slug}"}
        found[path] = Treatment(policy, policy.isolation == PROCESS or not apart.isdisjoint(names))
    return found


def build(
    previous: Section[AgentsConfig] | None, version: int, sections: Mapping[str, Section[Any]]
) -> Section[AgentsConfig]:
    """What is loaded, as operators decided about it; what can't be served is left out with the reason."""
    rows = {row.slug: row for row in Agent.objects.all()}
    upstreams: UpstreamsConfig = sections["upstreams"].value
    taken = {row.slug for row in rows.values() if row.is_declared}
    found, left_out = _by_id(sections[FOLDERS].value, upstreams, taken)
    rows = _with_rows_of({agent_id: loaded for agent_id, (loaded, _) in found.items()}, rows)
    entries: dict[str, AgentEntry] = {}
    for agent_id, (loaded, one) in found.items():
        if rows[agent_id].isolation == PROCESS and not loaded.treatment.is_isolated:
            # Its folder was another one until now; the next look at the folders knows.
            left_out.append(Diagnostic(SECTION, f"agent {loaded.folder.name}", _TO_BE_ISOLATED))
        else:
            entries[agent_id] = _entry(agent_id, (loaded, one), rows[agent_id], upstreams)
    left_out += [item for entry in entries.values() for item in _unbound(entry, rows[entry.id])]
    declared, pins = _declared(rows, entries, previous, sections)
    problems = chain(declared.problems.items(), pins.problems)
    left_out += [Diagnostic(SECTION, f"agent {slug}", text) for slug, text in problems]
    entries |= declared.entries
    left_out += _missing_tools(entries, tools_of(sections))
    enabled = {agent_id: entry for agent_id, entry in entries.items() if rows[agent_id].is_enabled}
    pinned = {pin: entry for pin, entry in pins.entries.items() if entry.id in enabled}
    return Section(AgentsConfig(enabled, entries, declared, pins, pinned), version, tuple(left_out))


def _declared(
    rows: Mapping[str, Agent],
    drop_ins: Mapping[str, AgentEntry],
    previous: Section[AgentsConfig] | None,
    sections: Mapping[str, Section[Any]],
) -> tuple[DeclaredAgents, PinnedAgents]:
    """The declared agents in their versions in force, and in those that keys are pinned to."""
    known = previous.value if previous is not None else None
    declared = build_declared(
        rows,
        drop_ins=drop_ins,
        upstreams=sections["upstreams"].value,
        before=known.declared if known is not None else NOTHING,
    )
    pins = build_pinned(
        pinned_versions(sections),
        rows=rows,
        drop_ins=drop_ins,
        now=declared,
        before=known.pins if known is not None else NO_PINS,
    )
    return declared, pins


def _missing_tools(entries: Mapping[str, AgentEntry], tools: Collection[str]) -> list[Diagnostic]:
    """Agents that name tools which nobody can call: they are served without these."""
    return [
        Diagnostic(SECTION, f"agent {entry.folder or entry.id}", _WITHOUT_TOOL.format(name=name))
        for entry in entries.values()
        for name in sorted(entry.gateway_tools - set(tools))
    ]


def folders_on_disk() -> dict[str, Folder]:
    """The drop-ins of all roots as they are now, by path."""
    return {str(folder.path): folder for folder in find_folders(settings.AGENT_ROOTS)}


def _by_id(
    folders: Mapping[str, LoadedFolder], upstreams: UpstreamsConfig, taken: Set[str]
) -> tuple[dict[str, tuple[LoadedFolder, FoundAgent]], list[Diagnostic]]:
    """What is loaded by its id, and what can't be served. Of two with one id the first in order is served."""
    found: dict[str, tuple[LoadedFolder, FoundAgent]] = {}
    left_out: list[Diagnostic] = []
    for loaded in folders.values():
        name = f"agent {loaded.folder.name}"
        if loaded.problem:
            left_out.append(Diagnostic(SECTION, name, loaded.problem))
        for one in loaded.agents:
            namespace = one.overrides.get("namespace", loaded.folder.namespace)
            agent_id = f"{namespace}/{one.slug}"
            problem = ""
            if not is_slug(one.slug):
                problem = f"the id '{agent_id}' is too long"
            elif text := id_problem(agent_id, upstreams):
                problem = text
            elif agent_id in taken:
                problem = f"a declared agent has the id '{agent_id}'"
            elif agent_id in found:
                problem = f"the agent of {found[agent_id][0].folder.name} has the id '{agent_id}' already"
            if problem:
                left_out.append(Diagnostic(SECTION, name, problem))
            else:
                found[agent_id] = (loaded, one)
    return found, left_out


def _with_rows_of(found: Mapping[str, LoadedFolder], rows: dict[str, Agent]) -> dict[str, Agent]:
    """The rows with those of agents (their folders by id) that had none, once among all processes.

    A new row holds what no row means, so the section's version stays as it is and nobody reloads for it.
    """
    new = [
        Agent(
            slug=agent_id,
            folder=loaded.folder.name,
            managed_by=DISCOVERED,
            isolation=PROCESS if loaded.treatment.is_isolated else IN_PROCESS,
        )
        for agent_id, loaded in found.items()
        if agent_id not in rows
    ]
    folders = {agent_id: loaded.folder.name for agent_id, loaded in found.items()}
    moved = [rows[agent_id] for agent_id, folder in folders.items() if _is_elsewhere(rows, agent_id, folder)]
    try:
        if new or moved:
            with acting_as("system:discovery"), transaction.atomic():
                rows = _recorded(new, {row.pk: folders[row.slug] for row in moved})
    except DatabaseError:
        # Its agents are served all the same; the next load tries again.
        logger.exception("agent.not_recorded")
    return {row.slug: row for row in new} | rows


def _recorded(new: list[Agent], folders: Mapping[UUID, str]) -> dict[str, Agent]:
    """Write new rows and where others' folders are now, each once among all processes; all rows."""
    # Not counted as changes, but told: others wait here until the rows can be seen.
    ConfigVersion.lock()
    known = set(Agent.objects.values_list("slug", flat=True))
    missing = [row for row in new if row.slug not in known]
    Agent._base_manager.bulk_create(missing)
    recording.note_created(Agent, missing)
    for key, folder in folders.items():
        moved = Agent._base_manager.filter(pk=key)
        before = recording.images_of(moved)
        count = moved.update(folder=folder)
        recording.note_updated(moved, before, rows=count, values={"folder": folder})
    return {row.slug: row for row in Agent.objects.all()}


def _is_elsewhere(rows: Mapping[str, Agent], agent_id: str, folder: str) -> bool:
    return agent_id in rows and rows[agent_id].folder != folder


def _entry(
    agent_id: str, place: tuple[LoadedFolder, FoundAgent], row: Agent, upstreams: UpstreamsConfig
) -> AgentEntry:
    loaded, found = place
    overrides, folder, is_isolated = found.overrides, loaded.folder, loaded.treatment.is_isolated
    upstream, model = overrides.get("upstream", ""), overrides.get("model", "")
    suggested = f"{upstream}/{model}" if upstream else model
    return AgentEntry(
        id=agent_id,
        id_json=dumps(agent_id),
        agent=found.agent,
        name=writable(overrides.get("display_name") or found.name),
        description=writable(overrides.get("description") or found.description),
        created=int(row.created_at.timestamp()) if row.created_at else 0,
        model=row.model or suggested,
        visibility=row.visibility,
        max_turns=row.max_turns,
        max_llm_calls=row.max_llm_calls,
        wall_clock_s=row.wall_clock_s,
        max_tokens=row.max_tokens,
        max_cost_nano=to_nano(row.max_cost) if row.max_cost is not None else None,
        member_names=found.member_names,
        members={name: model for name, model in row.members.items() if is_chat_model(model, upstreams)},
        isolation=PROCESS if is_isolated else IN_PROCESS,
        records_content=row.records_content,
        folder=folder.name,
        digest=folder.digest,
        generation=found.generation,
        gateway_tools=found.gateway_tools,
        place=Place(folder, found.slug) if is_isolated else None,
    )


def is_chat_model(model: str, upstreams: UpstreamsConfig) -> bool:
    """Whether an agent can be given it: there is such a model or route, and it is for chats."""
    entry = upstreams.models.get(model)
    return entry is not None and entry.mode == "chat"


def _unbound(entry: AgentEntry, row: Agent) -> list[Diagnostic]:
    """The members whose model is gone; they run on the agent's own."""
    found = []
    for name in entry.member_names:
        if name in row.members and name not in entry.members:
            model = row.members[name]
            logger.warning(
                "agent.member_unbound", extra={"agent": entry.id, "member": name, "bound_to": model}
            )
            message = f"its member '{name}' runs on the agent's own model: there is no chat model '{model}'"
            found.append(Diagnostic(SECTION, f"agent {entry.folder}", message))
    return found
