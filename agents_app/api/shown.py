"""Rows of agents as answers show them, and bodies as the services take them."""

from __future__ import annotations

from typing import Any

from agents_app.definition import Definition, Link
from agents_app.models import Agent, AgentVersion
from agents_app.schemas import (
    AgentDetails,
    DefinitionFields,
    LinkBody,
    ShownAgent,
    ShownChange,
    ShownDefinition,
    ShownVersion,
)
from agents_app.services.states import AgentState, agent_states
from agents_app.services.versions import FieldChange, current_definition
from gateway_project.core.errors import NotFound

# What null means something for; elsewhere it is as if the field were left out.
_NULLABLE = ("max_tokens", "max_cost", "output_schema")
_COLUMNS = {"enabled": "is_enabled"}


def given_values(body: DefinitionFields) -> dict[str, Any]:
    """What a body says, by the services' names."""
    values: dict[str, Any] = {}
    for name in body.model_fields_set:
        value = getattr(body, name)
        if value is None and name not in _NULLABLE:
            continue
        if name == "links":
            value = tuple(Link(**link.model_dump()) for link in value)
        elif name in ("tools", "guardrails"):
            value = tuple(value)
        values[_COLUMNS.get(name, name)] = value
    return values


def shown_details(row: Agent) -> AgentDetails:
    """One agent with its definition."""
    (found,) = agent_states([row])
    try:
        definition = shown_definition(current_definition(row))
    except NotFound:
        # A drop-in, or a version that can't be read: the row can be changed all the same.
        definition = None
    return AgentDetails(**shown_agent(found).model_dump(), definition=definition)


def shown_agent(found: AgentState) -> ShownAgent:
    """One agent as lists show it."""
    row = found.row
    return ShownAgent(
        id=row.slug,
        managed_by=row.managed_by,
        version=row.version,
        name=found.name,
        description=found.description,
        enabled=row.is_enabled,
        model=row.model,
        visibility=row.visibility,  # type: ignore[arg-type]
        max_turns=row.max_turns,
        max_llm_calls=row.max_llm_calls,
        wall_clock_s=row.wall_clock_s,
        max_tokens=row.max_tokens,
        max_cost=None if row.max_cost is None else row.max_cost.normalize(),
        members={name: row.members.get(name, "") for name in found.member_names},
        isolation=row.isolation,  # type: ignore[arg-type]
        records_content=row.records_content,
        folder=row.folder,
        digest=found.digest,
        state=found.state,  # type: ignore[arg-type]
        created=int(row.created_at.timestamp()),
    )


def shown_definition(definition: Definition) -> ShownDefinition:
    """A definition as it is given."""
    links = [
        LinkBody(target=one.target, kind=one.kind, tool_name=one.tool_name, description=one.description)  # type: ignore[arg-type]
        for one in definition.links
    ]
    return ShownDefinition(
        display_name=definition.display_name,
        description=definition.description,
        instructions=definition.instructions,
        model=definition.model,
        settings=definition.settings,
        tools=list(definition.tools),
        guardrails=list(definition.guardrails),
        output_schema=definition.output_schema,
        output_strict=definition.output_strict,
        links=links,
    )


def shown_version(version: AgentVersion, row: Agent) -> ShownVersion:
    """One version as lists show it."""
    return ShownVersion(**version_fields(version, row))


def version_fields(version: AgentVersion, row: Agent) -> dict[str, Any]:
    """The fields of every answer about a version."""
    return {
        "version": version.number,
        "is_current": version.number == row.version,
        "created": int(version.created_at.timestamp()),
        "by": version.actor,
        "note": version.note,
    }


def shown_change(change: FieldChange) -> ShownChange:
    """A field that differs."""
    return ShownChange(field=change.field, before=change.before, after=change.after, diff=list(change.lines))
