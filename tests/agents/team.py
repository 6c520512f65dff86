"""Teams of scripted models, for mixtures without an upstream."""

from __future__ import annotations

import asyncio
from typing import Any

from agents.testing import ModelCall, ModelStep, ScriptedModel, assistant_message

from agents import Agent, Model, ModelProvider, Runner, Usage
from agents_app.entry import MEMBER_PREFIX, UNNAMED_MODEL
from agents_app.sdk.nested import models_from
from gateway_project.core.errors import UpstreamFailed

USAGE = Usage(requests=1, input_tokens=10, output_tokens=2, total_tokens=12)
DOWN = UpstreamFailed("It is down.")


class Team(ModelProvider):
    """Models by the names of members; `own` stands for the agent's own model, and for whoever has none."""

    def __init__(self, **models: Model) -> None:
        self._models = models

    def get_model(self, model_name: str | None) -> Model:
        name = (model_name or UNNAMED_MODEL).removeprefix(MEMBER_PREFIX)
        return self._models.get(name, self._models["own"])


def says(*texts: str) -> ScriptedModel:
    """A model that gives these answers."""
    return ScriptedModel([ModelStep(output=[assistant_message(text)], usage=USAGE) for text in texts])


def fails(error: Exception = DOWN) -> ScriptedModel:
    """A model whose one call fails."""
    return ScriptedModel([ModelStep.raise_error(error)])


class Hanging(ScriptedModel):
    """A model that never answers, and knows when it is asked, and when somebody ends the call."""

    def __init__(self) -> None:
        self.is_asked, self.is_ended = asyncio.Event(), asyncio.Event()
        super().__init__([ModelStep.respond(self._respond)])

    async def _respond(self, _: ModelCall) -> ModelStep:
        self.is_asked.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.is_ended.set()
        raise AssertionError


async def answer(agent: Agent[Any], team: Team, question: Any = "Why?") -> str:
    """The answer of a plain run."""
    with models_from(team):
        return str((await Runner.run(agent, question)).final_output)
