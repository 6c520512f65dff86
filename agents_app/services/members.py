"""The models that operators give an agent's members."""

from __future__ import annotations

from collections.abc import Mapping

from agents_app.models import Agent
from agents_app.services.management import model_problem
from agents_app.services.states import agent_states
from gateway_project.core.errors import InvalidRequest


def bound_members(row: Agent, given: Mapping[str, str | None]) -> dict[str, str]:
    """The row's members with those that are given; without a model one has none. InvalidRequest names it.

    What does not change is not looked at: a model that an operator chose may have gone since.
    """
    (state,) = agent_states([row])
    bound: dict[str, str] = dict(row.members)
    for name, model in given.items():
        model = (model or "").strip()
        if name not in state.member_names:
            raise InvalidRequest(f"The agent has no member '{name}'.", param=f"members.{name}")
        if model == bound.get(name, ""):
            continue
        if problem := model_problem(model):
            raise InvalidRequest(problem, param=f"members.{name}")
        bound[name] = model
    return {name: model for name, model in bound.items() if model}
