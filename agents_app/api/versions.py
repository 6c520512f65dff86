"""`/agents/{id}/versions`: what a declared agent was, what changed, and the way back.

Mounted before the routes of agents, whose ids are paths of two parts.
"""

from __future__ import annotations

from typing import Annotated

from django.http import HttpRequest
from ninja import Query, Router
from pydantic import BaseModel, ConfigDict, Field

from agents_app.api.shown import (
    shown_change,
    shown_definition,
    shown_details,
    shown_version,
    version_fields,
)
from agents_app.schemas import MAX_TOKENS, AgentDetails, RollBack, VersionDetails, VersionList
from agents_app.services import definitions
from agents_app.services.management import find_agent
from agents_app.services.versions import changes_between, find_version, list_versions, read_definition
from gateway_project.core.errors import NotFound
from security_app.api.auth import actor_name, admin_key
from security_app.api.queries import refuse_unknown_parameters

router = Router(tags=["Agents"])


class VersionQuery(BaseModel):
    """What to compare with."""

    model_config = ConfigDict(extra="forbid")

    diff: Annotated[int, Field(ge=1, le=MAX_TOKENS)] | None = Field(
        default=None, description="The number of another version: `changes` are what differs from it."
    )


@router.get(
    "/agents/{path:reference}/versions",
    auth=admin_key,
    response=VersionList,
    operation_id="list_agent_versions",
    summary="List versions of a declared agent",
)
def get_versions(request: HttpRequest, reference: str) -> VersionList:
    """The newest first, without their definitions."""
    refuse_unknown_parameters(request)
    row = find_agent(reference)
    return VersionList(data=[shown_version(one, row) for one in list_versions(row)])


@router.get(
    "/agents/{path:reference}/versions/{number}",
    auth=admin_key,
    response=VersionDetails,
    operation_id="get_agent_version",
    summary="Show a version of a declared agent",
)
def get_version(
    request: HttpRequest, reference: str, number: str, query: Query[VersionQuery]
) -> VersionDetails:
    """Its definition; with `?diff=` what is another than in that version."""
    refuse_unknown_parameters(request, VersionQuery)
    row = find_agent(reference)
    version = find_version(row, _number(number))
    definition, changes = read_definition(version), None
    if query.diff is not None:
        older = read_definition(find_version(row, query.diff))
        changes = [shown_change(one) for one in changes_between(older, definition)]
    return VersionDetails(
        **version_fields(version, row), definition=shown_definition(definition), changes=changes
    )


@router.post(
    "/agents/{path:reference}/rollback",
    auth=admin_key,
    response=AgentDetails,
    operation_id="roll_back_agent",
    summary="Go back to a version of a declared agent",
)
def roll_back(request: HttpRequest, reference: str, body: RollBack) -> AgentDetails:
    """What that version says becomes a new version, if it still can be."""
    row = find_agent(reference)
    return shown_details(definitions.roll_back(row, body.version, actor=actor_name(request)))


def _number(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or len(text) > 9:
        raise NotFound(f"There is no version '{text[:50]}'.", param="version")
    return int(text)
