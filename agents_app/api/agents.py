"""`/agents`: drop-ins and declared agents, and what an operator decides about them."""

from __future__ import annotations

from django.http import HttpRequest
from ninja import Router, Status

from agents_app.api.shown import given_values, shown_agent, shown_details
from agents_app.definition import FIELDS, Definition
from agents_app.models import Agent
from agents_app.schemas import (
    AgentDetails,
    AgentList,
    AgentPatch,
    DeletedAgent,
    NewAgent,
    ProblemList,
    RefreshedAgents,
    ShownAgent,
    ShownProblem,
)
from agents_app.services import definitions
from agents_app.services.management import find_agent
from agents_app.services.members import bound_members
from agents_app.services.states import agent_problems, agent_states
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


@router.post(
    "/agents",
    auth=admin_key,
    response={201: AgentDetails},
    operation_id="create_agent",
    summary="Declare an agent",
)
def create_agent(request: HttpRequest, body: NewAgent) -> Status[AgentDetails]:
    """It is served at once, unless `enabled` is false; its definition is version 1."""
    values = given_values(body)
    defined = {name: values.pop(name) for name in FIELDS if name in values}
    agent_id, note = values.pop("id"), values.pop("note", "")
    definition = Definition(**defined)
    row = definitions.create_agent(agent_id, definition, actor=actor_name(request), note=note, **values)
    return Status(201, shown_details(row))


@router.get(
    "/agents/{path:reference}",
    auth=admin_key,
    response=AgentDetails,
    operation_id="get_agent",
    summary="Show an agent",
)
def get_agent(request: HttpRequest, reference: str) -> AgentDetails:
    """With its definition, if it is a declared one."""
    refuse_unknown_parameters(request)
    return shown_details(find_agent(reference))


@router.patch(
    "/agents/{path:reference}",
    auth=admin_key,
    response=AgentDetails,
    operation_id="update_agent",
    summary="Change an agent",
)
def patch_agent(request: HttpRequest, reference: str, body: AgentPatch) -> AgentDetails:
    """What is left out stays. Another definition of a declared agent is a new version; a drop-in has none."""
    row, values = find_agent(reference), given_values(body)
    if "members" in values:
        values["members"] = bound_members(row, values["members"])
    return shown_details(definitions.change_agent(row, actor=actor_name(request), **values))


@router.delete(
    "/agents/{path:reference}",
    auth=admin_key,
    response=DeletedAgent,
    operation_id="delete_agent",
    summary="Delete a declared agent",
)
def delete_agent(request: HttpRequest, reference: str) -> DeletedAgent:
    """With its versions. Refused (409) while other agents link to it."""
    refuse_unknown_parameters(request)
    row = find_agent(reference)
    agent_id = row.slug
    definitions.delete_agent(row, actor=actor_name(request))
    return DeletedAgent(id=agent_id)


def _all() -> list[ShownAgent]:
    return [shown_agent(found) for found in agent_states(Agent.objects.order_by("slug"))]


def _problems() -> list[ShownProblem]:
    return [ShownProblem(folder=problem.folder, message=problem.message) for problem in agent_problems()]
