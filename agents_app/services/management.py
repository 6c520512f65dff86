"""What operators decide about agents, for the API and the admin alike."""

from __future__ import annotations

import logging
from typing import Any

from django.db import transaction

from agents_app.models import Agent
from gateway_project.core.errors import InvalidRequest, NotFound
from gateway_project.core.ids import parse_public_id
from security_app.services.configuration import refresh_after_commit, store
from upstreams_app.registry import UpstreamsConfig

logger = logging.getLogger(__name__)
# What of a row is an operator's; all else is the code's.
OPERATOR_FIELDS = (
    "is_enabled",
    "model",
    "visibility",
    "max_turns",
    "max_llm_calls",
    "wall_clock_s",
    "isolation",
    "members",
)


def find_agent(reference: str) -> Agent:
    """The row of a model id (`default/weatheragent`) or of an `agt_…`; NotFound."""
    row_id = parse_public_id("agt", reference)
    found = Agent.objects.filter(pk=row_id) if row_id is not None else Agent.objects.filter(slug=reference)
    row = found.first()
    if row is None:
        raise NotFound("There is no such agent.", param="id")
    return row


def update_agent(row: Agent, *, actor: str, **values: Any) -> Agent:
    """Change operator fields, and no others. InvalidRequest and ValidationError name the field."""
    if "model" in values:
        values["model"] = values["model"].strip()
        if problem := model_problem(values["model"]):
            raise InvalidRequest(problem, param="model")
    for name, value in values.items():
        if name not in OPERATOR_FIELDS:
            raise ValueError(f"{name} is no field of operators")
        setattr(row, name, value)
    row.clean_fields(exclude=[field.name for field in Agent._meta.fields if field.name not in values])
    with transaction.atomic():
        row.save(update_fields=list(values))
        refresh_after_commit()
    logger.info("agent.changed", extra={"agent": row.slug, "fields": sorted(values), "actor": actor})
    return row


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
