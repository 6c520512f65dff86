"""Declared agents in the snapshot: rows and their current versions, built anew when they change."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.db.models import F

from agents_app.circles import leads_back
from agents_app.definition import Definition
from agents_app.entry import IN_PROCESS, AgentEntry
from agents_app.models import Agent, AgentVersion
from gateway_project.core.codec import dumps
from gateway_project.core.money import to_nano
from upstreams_app.registry import UpstreamsConfig

if TYPE_CHECKING:
    from agents_app.sdk.builder import Graphs

logger = logging.getLogger(__name__)
# More agents than one can reach make no sense, and graphs are walked for each run with changes.
MAX_REACHED = 100
_FEW = 500


@dataclass(frozen=True, slots=True)
class Declared:
    """A declared agent: what was read of it, and what was built; it is built anew when `made_of` changes.

    `made_of` stands for the definitions of all agents that it can reach, with what else they are built from.
    """

    key: tuple[UUID, int]
    definition: Definition
    agent: Any = field(default=None, repr=False)
    made_of: frozenset[Any] = frozenset()


@dataclass(frozen=True, slots=True)
class DeclaredAgents:
    """All that are declared, by id: entries of those that can be served, and of the others why not."""

    all: dict[str, Declared]
    entries: dict[str, AgentEntry]
    problems: dict[str, str]


NOTHING = DeclaredAgents({}, {}, {})


def read_declared(rows: Mapping[str, Agent], before: DeclaredAgents) -> tuple[dict[str, Declared], set[str]]:
    """The declared agents among the rows, of which only new versions are read, and those that can't be."""
    found: dict[str, Declared] = {}
    missing: dict[UUID, Agent] = {}
    for slug, row in rows.items():
        if row.version is None:
            continue
        known = before.all.get(slug)
        if known is not None and known.key == (row.pk, row.version):
            found[slug] = known
        else:
            missing[row.pk] = row
    unreadable = {row.slug for row in missing.values()}
    for version in _versions(missing):
        row = missing[version.agent_id]
        try:
            found[row.slug] = Declared((row.pk, version.number), version.read())
        except (ValueError, TypeError, KeyError):
            logger.exception(
                "agent.not_loaded", extra={"folder": row.slug, "reason": "an unreadable version"}
            )
            continue
        unreadable.discard(row.slug)
    return found, unreadable


def _versions(missing: Mapping[UUID, Agent]) -> Iterator[AgentVersion]:
    if not missing:
        return
    wanted = AgentVersion.objects.filter(number=F("agent__version"))
    if len(missing) <= _FEW:
        wanted = wanted.filter(agent__in=list(missing))
    for version in wanted.iterator():
        # A row that was read a moment ago may have a newer version by now; the next look takes that one.
        if version.agent_id in missing:
            yield version


def build_declared(
    rows: Mapping[str, Agent],
    *,
    drop_ins: Mapping[str, AgentEntry],
    upstreams: UpstreamsConfig,
    before: DeclaredAgents,
) -> DeclaredAgents:
    """Everything declared, ready to run; what is as it was keeps its SDK objects."""
    found, unreadable = read_declared(rows, before)
    problems = dict.fromkeys(unreadable, "its version in force can't be read")
    for slug in found:
        if problem := id_problem(slug, upstreams):
            problems[slug] = problem
    usable = {slug: one for slug, one in found.items() if slug not in problems}
    if not usable:
        return DeclaredAgents(found, {}, problems)
    built = dict(found)
    entries: dict[str, AgentEntry] = {}
    build = _Build(usable, rows, drop_ins, before)
    for slug in usable:
        try:
            one = built[slug] = build.agent(slug)
        except NotBuilt as error:
            problems[slug] = str(error)
            built[slug] = replace(found[slug], agent=None)
        else:
            entries[slug] = _entry(rows[slug], one, build.generations(slug), build.digest(slug))
    return DeclaredAgents(built, entries, problems)


def id_problem(agent_id: str, upstreams: UpstreamsConfig) -> str:
    """Why no agent can be served under this id beside the upstreams, models and routes; "" if one can."""
    namespace = agent_id.partition("/")[0]
    if namespace in upstreams.upstreams:
        return f"the namespace '{namespace}' is the name of an upstream"
    if agent_id in upstreams.models:
        return f"a model or route has the id '{agent_id}' already"
    return ""


def build_version(
    one: Declared,
    row: Agent,
    *,
    rows: Mapping[str, Agent],
    drop_ins: Mapping[str, AgentEntry],
    now: DeclaredAgents,
    known: Declared | None,
) -> tuple[Declared, AgentEntry]:
    """An agent as one of its versions says, among all others as they are `now`; NotBuilt says why not.

    Whatever links back to it gets this version, too: a run has one definition of each agent. It is as it was
    (`known`) unless something that it can reach changed.
    """
    slug, row = row.slug, row.clone()
    # Rows have the model of the version in force.
    row.model = one.definition.model
    usable = {other: now.all[other] for other in now.entries} | {slug: one}
    reached = _reach(slug, usable)
    usable = {other: usable[other] for other in reached if other in usable}
    if leads_back(slug, _links(one), lambda other: _links(usable.get(other))):
        # Only links of versions in force are checked when they are made.
        raise NotBuilt("its links lead back to it, with a call as a tool on the way")
    before = {other: now.all[other] for other in usable if other != slug}
    if known is not None:
        before[slug] = known
    build = _Build(usable, {**rows, slug: row}, drop_ins, DeclaredAgents(before, {}, {}))
    built = build.agent(slug)
    return built, _entry(row, built, build.generations(slug), build.digest(slug))


def _links(one: Declared | None) -> list[tuple[str, str]]:
    return [(link.target, link.kind) for link in one.definition.links] if one is not None else []


def _reach(slug: str, usable: Mapping[str, Declared]) -> dict[str, None]:
    """The agent and all that it links to, directly or not; one more than the limit is enough."""
    reached: dict[str, None] = {slug: None}
    todo = [slug]
    while todo and len(reached) <= MAX_REACHED:
        for target, _ in _links(usable.get(todo.pop())):
            if target not in reached:
                reached[target] = None
                todo.append(target)
    return reached


class NotBuilt(Exception):
    """The agent can't be served; the text says why."""


class _Build:
    """One look at all definitions. The SDK is imported when something is built."""

    def __init__(
        self,
        usable: Mapping[str, Declared],
        rows: Mapping[str, Agent],
        drop_ins: Mapping[str, AgentEntry],
        before: DeclaredAgents,
    ) -> None:
        self._usable = usable
        self._rows = rows
        self._drop_ins = {slug: one for slug, one in drop_ins.items() if one.isolation == IN_PROCESS}
        self._apart = drop_ins.keys() - self._drop_ins.keys()
        self._before = before
        self._graphs: Graphs | None = None
        self._reached_by: dict[str, dict[str, None]] = {}

    def agent(self, slug: str) -> Declared:
        """The agent, built or as it was."""
        one, reached = self._usable[slug], self._reached(slug)
        if len(reached) > MAX_REACHED:
            raise NotBuilt(f"it can reach more than {MAX_REACHED} agents")
        if apart := sorted(self._apart & reached.keys()):
            raise NotBuilt(f"it needs '{apart[0]}', which runs in a process of its own")
        made_of = frozenset(map(self._made_of, reached))
        known = self._before.all.get(slug)
        if known is not None and known.agent is not None and known.made_of == made_of:
            return known
        return replace(one, agent=self._built(slug), made_of=made_of)

    def generations(self, slug: str) -> tuple[Any, ...]:
        """What keeps the code of the drop-ins that it can reach."""
        return tuple(self._drop_ins[one].generation for one in self._reached(slug) if one in self._drop_ins)

    def digest(self, slug: str) -> str:
        """Of the definitions and the code of all that it can reach, in each process the same."""
        parts = []
        for one in sorted(self._reached(slug)):
            entry, declared = self._drop_ins.get(one), self._usable.get(one)
            parts.append((one, str(declared.key) if declared else entry.digest if entry else ""))
        return hashlib.sha256(dumps(parts)).hexdigest()

    def _reached(self, slug: str) -> dict[str, None]:
        if slug not in self._reached_by:
            self._reached_by[slug] = _reach(slug, self._usable)
        return self._reached_by[slug]

    def _made_of(self, slug: str) -> tuple[Any, ...]:
        row = self._rows.get(slug)
        own = (slug, row.model, row.max_turns) if row is not None else (slug,)
        if slug in self._usable:
            return *own, self._usable[slug].key
        entry = self._drop_ins.get(slug)
        # Whoever was built from an agent holds it, so nobody else gets its identity meanwhile.
        return *own, id(entry.agent) if entry is not None else None

    def _built(self, slug: str) -> Any:
        from agents_app.sdk.builder import BuildError, Graphs

        if self._graphs is None:
            # Else the first run would import it.
            from agents_app.sdk import runner  # noqa: F401

            self._graphs = Graphs(
                {
                    slug: replace(one.definition, model=self._rows[slug].model)
                    for slug, one in self._usable.items()
                },
                given={slug: entry.agent for slug, entry in self._drop_ins.items()},
                turns={slug: row.max_turns for slug, row in self._rows.items()},
                ready=self._ready(),
            )
        try:
            return self._graphs.build(slug)
        except BuildError as error:
            raise NotBuilt(str(error)) from error
        except Exception as error:
            # Whatever the SDK has against one definition, the others are served.
            logger.exception("agent.not_loaded", extra={"folder": slug, "reason": type(error).__name__})
            raise NotBuilt(f"{type(error).__name__}: {error}"[:500]) from error

    def _ready(self) -> dict[str, Any]:
        """What is as it was; an agent that can reach a changed one is not among it."""
        ready = {}
        for slug in self._usable:
            known = self._before.all.get(slug)
            reached = self._reached(slug)
            if known is None or known.agent is None or len(reached) > MAX_REACHED:
                continue
            if known.made_of == frozenset(map(self._made_of, reached)):
                ready[slug] = known.agent
        return ready


def _entry(row: Agent, one: Declared, generations: tuple[Any, ...], digest: str) -> AgentEntry:
    from agents_app.sdk.gateway_tools import gateway_tools_of

    definition = one.definition
    return AgentEntry(
        id=row.slug,
        id_json=dumps(row.slug),
        agent=one.agent,
        name=definition.display_name or row.slug,
        description=definition.description,
        created=int(row.created_at.timestamp()),
        model=row.model,
        visibility=row.visibility,
        max_turns=row.max_turns,
        max_llm_calls=row.max_llm_calls,
        wall_clock_s=row.wall_clock_s,
        max_tokens=row.max_tokens,
        max_cost_nano=to_nano(row.max_cost) if row.max_cost is not None else None,
        records_content=row.records_content,
        version=one.key[1],
        made_of=digest,
        generation=generations,
        gateway_tools=frozenset(gateway_tools_of(one.agent)),
    )
