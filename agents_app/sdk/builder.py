"""Declared agents as SDK agents: definitions in, one graph of `Agent`s out.

An agent's SDK name is its model id, so names are unique in every graph. What runs needs no row: graphs are
built with the snapshot, and are shared by all runs as the agents of drop-ins are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from openai.types.shared import Reasoning

from agents import (
    Agent,
    GuardrailFunctionOutput,
    InputGuardrail,
    ModelSettings,
    OutputGuardrail,
    RunContextWrapper,
    Tool,
    handoff,
)
from agents_app.definition import AS_TOOL, Definition, Link
from agents_app.guards import GuardKind, find_guard_kind
from agents_app.sdk.client_tools import graph_of
from agents_app.sdk.gateway_tools import use_gateway_tool
from agents_app.sdk.parameters import ClientSchema

# Arguments of the call that the SDK has no setting for.
_EXTRA = ("seed", "stop", "service_tier")


class BuildError(Exception):
    """A definition that no agent can be made of; the text says why, for who declared it."""

    def __init__(self, agent_id: str, reason: str) -> None:
        super().__init__(reason)
        self.agent_id = agent_id
        self.reason = reason


class Graphs:
    """Builds agents one after the other, each once; those that link to each other get the same objects.

    `ready` are those of an earlier build that are as they would be built now, `given` agents that links may
    lead to besides, and `turns` is how many turns an agent has that another one calls as a tool.
    """

    def __init__(
        self,
        definitions: Mapping[str, Definition],
        *,
        given: Mapping[str, Agent[Any]],
        turns: Mapping[str, int],
        ready: Mapping[str, Agent[Any]],
    ) -> None:
        self._definitions = definitions
        self._turns = turns
        self._built: dict[str, Agent[Any]] = {**given, **ready}
        self._begun: list[str] = []

    def build(self, agent_id: str) -> Agent[Any]:
        """The agent with all that it links to; BuildError if one of them can't be made."""
        self._begun.clear()
        try:
            agent = self._agent(agent_id)
            _check_names(agent_id, agent)
        except BaseException as error:
            # What was begun is incomplete.
            for begun in self._begun:
                del self._built[begun]
            if isinstance(error, BuildError) and error.agent_id != agent_id:
                raise BuildError(agent_id, f"it needs '{error.agent_id}': {error.reason}") from error
            raise
        return agent

    def _agent(self, agent_id: str) -> Agent[Any]:
        if (found := self._built.get(agent_id)) is not None:
            return found
        definition = self._definitions.get(agent_id)
        if definition is None:
            raise BuildError(agent_id, "it is not served")
        agent = self._built[agent_id] = _unlinked(agent_id, definition)
        self._begun.append(agent_id)
        # After it is known, as agents may hand over to each other.
        tools: list[Tool] = [use_gateway_tool(name) for name in definition.tools]
        for link in definition.links:
            target = self._agent(link.target)
            if link.kind == AS_TOOL:
                tools.append(self._agent_tool(link, target))
            else:
                agent.handoffs.append(
                    handoff(
                        target,
                        tool_name_override=link.name,
                        tool_description_override=link.description or None,
                    )
                )
        agent.tools = tools
        return agent

    def _agent_tool(self, link: Link, target: Agent[Any]) -> Tool:
        return target.as_tool(
            tool_name=link.name,
            tool_description=link.description or target.handoff_description or "",
            max_turns=self._turns.get(link.target),
        )


def _check_names(agent_id: str, agent: Agent[Any]) -> None:
    """The SDK tells the agents of a graph apart by their names; those of drop-ins are their authors'."""
    names = Counter(one.name for one in graph_of(agent))
    if twice := [name for name, count in names.items() if count > 1]:
        raise BuildError(agent_id, f"two of the agents that it can hand over to are named '{twice[0]}'")


def _unlinked(agent_id: str, definition: Definition) -> Agent[Any]:
    kinds = [_kind(agent_id, name) for name in definition.guardrails]
    schema = definition.output_schema
    return Agent(
        name=agent_id,
        handoff_description=definition.description or None,
        instructions=definition.instructions or None,
        model=definition.model or None,
        model_settings=_settings(definition.settings),
        output_type=None if schema is None else ClientSchema(schema, is_strict=definition.output_strict),
        input_guardrails=[_input_guardrail(kind) for kind in kinds if kind.stage == "input"],
        output_guardrails=[_output_guardrail(kind) for kind in kinds if kind.stage == "output"],
    )


def _kind(agent_id: str, name: str) -> GuardKind:
    kind = find_guard_kind(name)
    if kind is None:
        # Left out it would let everything pass.
        raise BuildError(agent_id, f"there is no guardrail '{name}'")
    return kind


def _settings(given: Mapping[str, Any]) -> ModelSettings:
    own = {name: value for name, value in given.items() if name not in _EXTRA}
    effort = own.pop("reasoning_effort", None)
    if effort is not None:
        own["reasoning"] = Reasoning.construct(effort=effort)
    extra = {name: given[name] for name in _EXTRA if name in given}
    return ModelSettings(**own, extra_args=extra or None)


def _input_guardrail(kind: GuardKind) -> InputGuardrail[Any]:
    async def look(_: RunContextWrapper[Any], __: Agent[Any], given: Any) -> GuardrailFunctionOutput:
        return GuardrailFunctionOutput(None, tripwire_triggered=await kind.refuses(text_of_input(given)))

    # Not beside the model: what is refused must not have been sent.
    return InputGuardrail(look, name=kind.name, run_in_parallel=False)


def _output_guardrail(kind: GuardKind) -> OutputGuardrail[Any]:
    async def look(_: RunContextWrapper[Any], __: Agent[Any], output: Any) -> GuardrailFunctionOutput:
        return GuardrailFunctionOutput(None, tripwire_triggered=await kind.refuses(str(output)))

    return OutputGuardrail(look, name=kind.name)


def text_of_input(given: Any) -> str:
    """All texts that a run begins with, one after the other, whoever said them."""
    if isinstance(given, str):
        return given
    return "\n".join(text for item in given for text in _texts(item))


def _texts(item: Any) -> list[str]:
    """The texts of one input item: a message's, the arguments of a call, what a tool found."""
    content = item.get("content")
    if isinstance(content, list):
        return [part["text"] for part in content if isinstance(part.get("text"), str)]
    given = (content, item.get("arguments"), item.get("output"))
    return [text for text in given if isinstance(text, str)]
