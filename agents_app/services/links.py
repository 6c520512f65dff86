"""Links between agents as they would be: whether targets exist, and where links lead back."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from uuid import UUID

from agents_app.circles import leads_back
from agents_app.declared import MAX_REACHED
from agents_app.definition import Definition, Link
from agents_app.entry import IN_PROCESS
from agents_app.models import Agent, AgentLink
from agents_app.registry import SECTION, AgentsConfig
from gateway_project.core.errors import InvalidRequest
from security_app.services.configuration import store

Edges = Mapping[UUID, list[tuple[UUID, str]]]


def resolve_links(row: Agent, definition: Definition) -> list[AgentLink]:
    """The rows of a definition's links, not saved; InvalidRequest names the link that can't be.

    A cycle of hand-offs is fine: agents may pass a conversation to and fro, and the run's limits end it. A
    cycle with an agent that is called as a tool is refused: each round would be a run inside of the former.
    """
    slugs = {link.target for link in definition.links}
    targets = {one.slug: one for one in Agent.objects.filter(slug__in=slugs)}
    found = [
        _resolved(row, targets.get(link.target), link, number) for number, link in enumerate(definition.links)
    ]
    _check_cycles(row, found)
    return found


def replace_links(row: Agent, links: Iterable[AgentLink]) -> None:
    """Make these the agent's links, inside the caller's transaction."""
    AgentLink.objects.filter(agent=row).delete()
    AgentLink.objects.bulk_create(links)


def _resolved(row: Agent, target: Agent | None, link: Link, number: int) -> AgentLink:
    where = f"links[{number}].target"
    if link.target == row.slug:
        raise InvalidRequest("An agent can't link to itself.", param=where)
    if target is None:
        raise InvalidRequest(f"There is no agent '{link.target[:200]}'.", param=where)
    if _runs_apart(target):
        message = f"'{target.slug}' runs in a process of its own, and can't be part of another agent."
        raise InvalidRequest(message, param=where)
    return AgentLink(
        agent=row,
        target=target,
        kind=link.kind,
        tool_name=link.tool_name,
        description=link.description,
        position=number,
    )


def _runs_apart(target: Agent) -> bool:
    """Whether its code runs in another process: it was told to, or its whole namespace was."""
    config: AgentsConfig = store.current.sections[SECTION].value
    entry = config.loaded.get(target.slug)
    return target.isolation != IN_PROCESS or (entry is not None and entry.isolation != IN_PROCESS)


def _check_cycles(row: Agent, links: list[AgentLink]) -> None:
    edges = _edges_from({link.target_id for link in links}, row)
    for number, link in enumerate(links):
        if leads_back(row.pk, [(link.target_id, link.kind)], lambda agent: edges.get(agent, [])):
            message = (
                f"'{link.target.slug}' leads back to '{row.slug}', and a call as a tool is on the way: "
                "such a run would never end."
            )
            raise InvalidRequest(message, param=f"links[{number}].target")


def _edges_from(start: set[UUID], row: Agent) -> Edges:
    """All links that can be followed from these agents, up to the agent itself; a query for each step."""
    edges: dict[UUID, list[tuple[UUID, str]]] = defaultdict(list)
    seen, frontier = {row.pk, *start}, start - {row.pk}
    while frontier:
        if len(seen) > MAX_REACHED:
            raise InvalidRequest(f"The agent could reach more than {MAX_REACHED} agents.", param="links")
        found = AgentLink.objects.filter(agent__in=frontier).values_list("agent", "target", "kind")
        frontier = set()
        for agent, target, kind in found:
            edges[agent].append((target, kind))
            if target not in seen:
                frontier.add(target)
        seen |= frontier
    return edges
