"""`/agents`: the drop-ins that are served as models, and what an operator decides about them."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from ninja import Router

from agents_app.models import Agent
from agents_app.schemas import (
    AgentList,
    AgentPatch,
    ProblemList,
    RefreshedAgents,
    ShownAgent,
    ShownProblem,
)
from agents_app.services.management import find_agent, update_agent
from agents_app.services.members import bound_members
from agents_app.services.states import AgentState, agent_problems, agent_states
from agents_app.services.watch import reload_agents
from gateway_project.core.errors import InternalError
from security_app.api.auth import actor_name, admin_key
from security_app.api.queries import refuse_unknown_parameters
from security_app.services.configuration import store

router = Router(tags=["Agents"])


@router.get("/agents", auth=admin_key, response=AgentList, operation_id="list_agents", summary="List agents")
def list_agents(request: HttpRequest) -> AgentList:
    """All that were ever found, also those whose folder is gone."""
    refuse_unknown_parameters(request)
    return AgentList(data=_all())


@router.get(
    "/agents/errors",
    auth=admin_key,
    response=ProblemList,
    operation_id="list_agent_errors",
    summary="List folders that could not be loaded",
)
def list_agent_errors(request: HttpRequest) -> ProblemList:
    """With the reason, for who wrote the agent."""
    refuse_unknown_parameters(request)
    return ProblemList(data=_problems())


@router.post(
    "/agents/refresh",
    auth=admin_key,
    response=RefreshedAgents,
    operation_id="refresh_agents",
    summary="Load what changed on disk",
)
def refresh_agents(request: HttpRequest) -> RefreshedAgents:
    """In this process at once, in others within two seconds. Runs that are under way end as they began."""
    refuse_unknown_parameters(request)
    reload_agents()
    if store.failure is not None:
        raise InternalError("The configuration could not be loaded; the log has the details.")
    return RefreshedAgents(data=_all(), errors=_problems())


@router.patch(
    "/agents/{path:reference}",
    auth=admin_key,
    response=ShownAgent,
    operation_id="update_agent",
    summary="Change an agent's settings",
)
def patch_agent(request: HttpRequest, reference: str, body: AgentPatch) -> ShownAgent:
    """What is left out, or null, stays."""
    row, values = find_agent(reference), _values(body)
    if "members" in values:
        values["members"] = bound_members(row, values["members"])
    row = update_agent(row, actor=actor_name(request), **values)
    return _shown(agent_states([row])[0])


def _values(body: AgentPatch) -> dict[str, Any]:
    names = {"enabled": "is_enabled"}
    given = body.model_dump(exclude_unset=True)
    return {names.get(name, name): value for name, value in given.items() if value is not None}


def _all() -> list[ShownAgent]:
    return [_shown(found) for found in agent_states(Agent.objects.order_by("slug"))]


def _problems() -> list[ShownProblem]:
    return [ShownProblem(folder=problem.folder, message=problem.message) for problem in agent_problems()]


def _shown(found: AgentState) -> ShownAgent:
    row = found.row
    return ShownAgent(
        id=row.slug,
        name=found.name,
        description=found.description,
        enabled=row.is_enabled,
        model=row.model,
        visibility=row.visibility,  # type: ignore[arg-type]
        max_turns=row.max_turns,
        max_llm_calls=row.max_llm_calls,
        wall_clock_s=row.wall_clock_s,
        members={name: row.members.get(name, "") for name in found.member_names},
        folder=row.folder,
        digest=found.digest,
        state=found.state,  # type: ignore[arg-type]
        created=int(row.created_at.timestamp()),
    )
