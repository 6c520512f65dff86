"""What operators decide about agents, for the API and the admin alike."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agents_app.models import Agent
from gateway_project.core.errors import InvalidRequest, NotFound
from gateway_project.core.ids import parse_public_id
from security_app.services.configuration import store
from upstreams_app.registry import UpstreamsConfig

# What of a row is an operator's; all else is the code's.
OPERATOR_FIELDS = (
    "is_enabled",
    "model",
    "visibility",
    "max_turns",
    "max_llm_calls",
    "wall_clock_s",
    "max_tokens",
    "max_cost",
    "members",
    "isolation",
    "records_content",
)


def find_agent(reference: str) -> Agent:
    """The row of a model id (`default/weatheragent`) or of an `agt_…`; NotFound."""
    row_id = parse_public_id("agt", reference)
    found = Agent.objects.filter(pk=row_id) if row_id is not None else Agent.objects.filter(slug=reference)
    row = found.first()
    if row is None:
        raise NotFound("There is no such agent.", param="id")
    return row


def set_operator_fields(row: Agent, values: Mapping[str, Any]) -> list[str]:
    """Put operators' fields on an unsaved row, and no others; which of them changed.

    InvalidRequest and ValidationError name the field.
    """
    changed = []
    for name, value in values.items():
        if name not in OPERATOR_FIELDS:
            raise ValueError(f"{name} is no field of operators")
        given = value.strip() if isinstance(value, str) else value
        # One that was given before may have gone since.
        if name == "model" and given != row.model and (problem := model_problem(given)):
            raise InvalidRequest(problem, param="model")
        if given != getattr(row, name):
            setattr(row, name, given)
            changed.append(name)
    row.clean_fields(exclude=[field.name for field in Agent._meta.fields if field.name not in values])
    return changed


def chat_models() -> list[str]:
    """The ids of chat models and routes that this process serves; none before the first snapshot."""
    if not store.is_loaded:
        return []
    upstreams: UpstreamsConfig = store.current.sections["upstreams"].value
    return [model_id for model_id, entry in upstreams.models.items() if entry.mode == "chat"]


def model_problem(model: str) -> str:
    """Why an agent can't be given this model, "" if it can; asks the database when there is no snapshot."""
    if not model:
        return ""
    if not store.is_loaded:
        store.refresh()
    upstreams: UpstreamsConfig = store.current.sections["upstreams"].value
    entry = upstreams.models.get(model)
    if entry is None:
        return f"There is no model or route '{model}'."
    return "" if entry.mode == "chat" else f"'{model}' is no chat model."
