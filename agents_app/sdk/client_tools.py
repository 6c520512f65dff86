"""Tools of the client, given to an agent for one run: a call of one ends the run, and the client makes it.

The agents of a hand-off graph all get them, or they would be gone after a hand-off. Loaded agents are shared
by all runs, so a run with changes has copies of its own.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
import weakref
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from agents.tool_context import ToolContext

from agents import (
    Agent,
    FunctionTool,
    FunctionToolResult,
    Handoff,
    RunContextWrapper,
    ToolApprovalItem,
    ToolsToFinalOutputResult,
    UserError,
)
from gateway_project.core.errors import InvalidRequest

_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_MAX_TOOLS = 128
Change = Callable[[Agent[Any]], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class ClientTools:
    """The tools of a request. `choice` is what the entry agent must do with them; None: as it likes.

    `outputs` are the client's results by call id, for a run that goes on where it waited for them.
    """

    tools: tuple[FunctionTool, ...] = ()
    choice: str | None = None
    outputs: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, fields: dict[str, Any]) -> ClientTools:
        """The tools of a request; InvalidRequest names what is wrong with them."""
        for older, newer in (("functions", "tools"), ("function_call", "tool_choice")):
            if fields.get(older):
                raise InvalidRequest(f"Agents take '{newer}' instead of '{older}'.", param=older)
        given = fields.get("tools")
        if given is None:
            given = []
        if not isinstance(given, list) or len(given) > _MAX_TOOLS:
            raise InvalidRequest(f"'tools' must be an array of at most {_MAX_TOOLS} tools.", param="tools")
        tools: dict[str, FunctionTool] = {}
        outputs: dict[str, str] = {}
        for number, one in enumerate(given):
            tool = _tool(one, f"tools[{number}]", outputs)
            if tool.name in tools:
                raise _invalid(f"tools[{number}].function.name", "is the name of another tool")
            tools[tool.name] = tool
        chosen, choice = _chosen(tools, fields.get("tool_choice"))
        return cls(chosen, choice, outputs)

    @property
    def names(self) -> frozenset[str]:
        """The tools' names."""
        return frozenset(tool.name for tool in self.tools)

    def owns(self, pending: ToolApprovalItem) -> bool:
        """Whether a call is of one of these, and of no tool of a nested agent that has the same name."""
        own = pending.agent.tools if isinstance(pending.agent, Agent) else []
        return any(tool is mine for tool in own for mine in self.tools if mine.name == pending.tool_name)

    def behaviour_of(self, agent: Agent[Any]) -> Any:
        """What an agent does with results of tools: its own may end a run, those of the client never do."""
        own = agent.tool_use_behavior
        if own != "stop_on_first_tool" and not callable(own):
            return own

        async def decide(
            context: RunContextWrapper[Any], results: list[FunctionToolResult]
        ) -> ToolsToFinalOutputResult:
            of_agent = [result for result in results if result.tool.name not in self.names]
            if not of_agent:
                return ToolsToFinalOutputResult(is_final_output=False)
            if not callable(own):
                return ToolsToFinalOutputResult(is_final_output=True, final_output=of_agent[0].output)
            decided = own(context, of_agent)
            return await decided if inspect.isawaitable(decided) else decided

        return decide

    def check_names(self, agents: list[Agent[Any]]) -> None:
        """InvalidRequest if an agent has a tool or a hand-off of the same name."""
        names = self.names
        for agent in agents:
            own = {tool.name for tool in agent.tools} | {_handoff_name(one) for one in agent.handoffs}
            if taken := sorted(names & own):
                raise InvalidRequest(f"The agent has a tool '{taken[0]}' of its own.", param="tools")


def graph_of(agent: Agent[Any]) -> list[Agent[Any]]:
    """The agent, and all that it can hand over to, directly or not."""
    found = [agent]
    for one in found:
        targets = [target for target in map(_target, one.handoffs) if target is not None]
        for target in targets:
            if all(target is not other for other in found):
                found.append(target)
    return found


def copy_graph(agent: Agent[Any], change: Change) -> Agent[Any]:
    """A copy of the agent and of all that it can hand over to, each with the changes that `change` returns.

    Nothing that the copies hold in lists is shared with the originals.
    """
    # By identity, as agents are compared by value; the original too, or another might get its identity.
    copies: dict[int, tuple[Agent[Any], Agent[Any]]] = {}

    def copy_of(original: Agent[Any]) -> Agent[Any]:
        if id(original) not in copies:
            lists = {"tools": list(original.tools), "mcp_servers": list(original.mcp_servers)}
            copy = original.clone(**{**lists, "handoffs": [], **change(original)})
            copies[id(original)] = (original, copy)
            # After it is known, as agents may hand over to each other.
            copy.handoffs = [_copied_handoff(one, copy_of) for one in original.handoffs]
        return copies[id(original)][1]

    return copy_of(agent)


def _copied_handoff(
    given: Agent[Any] | Handoff[Any, Any], copy_of: Callable[[Agent[Any]], Agent[Any]]
) -> Agent[Any] | Handoff[Any, Any]:
    if isinstance(given, Agent):
        return copy_of(given)
    target = _target(given)
    invoke = given.on_invoke_handoff

    async def invoke_copy(context: RunContextWrapper[Any], arguments: str) -> Any:
        chosen = await invoke(context, arguments)
        return copy_of(chosen) if isinstance(chosen, Agent) else chosen

    copied = dataclasses.replace(given, on_invoke_handoff=invoke_copy)
    if target is not None:
        copied._agent_ref = weakref.ref(copy_of(target))
    return copied


def _target(given: Agent[Any] | Handoff[Any, Any]) -> Agent[Any] | None:
    """What a hand-off leads to; None if only its code knows."""
    if isinstance(given, Agent):
        return given
    target = given._agent_ref() if given._agent_ref is not None else None
    return target if isinstance(target, Agent) else None


def _handoff_name(given: Agent[Any] | Handoff[Any, Any]) -> str:
    return Handoff.default_tool_name(given) if isinstance(given, Agent) else given.tool_name


def _chosen(tools: dict[str, FunctionTool], choice: Any) -> tuple[tuple[FunctionTool, ...], str | None]:
    """The tools that the client's choice leaves, and what the agent must do with them."""
    mode = choice
    if isinstance(choice, dict):
        if choice.get("type") == "allowed_tools":
            tools, mode = _allowed(tools, choice.get("allowed_tools"))
        elif choice.get("type") == "function":
            name = _chosen_name(choice, tools, "tool_choice.function.name")
            return tuple(tools.values()), name
        else:
            raise _invalid("tool_choice.type", "must be function or allowed_tools")
    if mode == "none":
        # The agent's own tools are its own affair.
        return (), None
    if mode == "required":
        if not tools:
            raise _invalid("tool_choice", "needs 'tools'")
        return tuple(tools.values()), "required"
    if mode not in (None, "auto"):
        raise _invalid("tool_choice", "must be none, auto, required or name a tool")
    return tuple(tools.values()), None


def _tool(given: Any, where: str, outputs: dict[str, str]) -> FunctionTool:
    if not isinstance(given, dict) or given.get("type") != "function":
        raise _invalid(f"{where}.type" if isinstance(given, dict) else where, "must be function")
    function = given.get("function")
    if not isinstance(function, dict):
        raise _invalid(f"{where}.function", "must be an object")
    name, description = function.get("name"), function.get("description")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise _invalid(f"{where}.function.name", "must be 1 to 64 letters, digits, '_' or '-'")
    if description is not None and not isinstance(description, str):
        raise _invalid(f"{where}.function.description", "must be a text")
    parameters = function.get("parameters")
    if parameters is not None and not isinstance(parameters, dict):
        raise _invalid(f"{where}.function.parameters", "must be an object")

    async def give(context: ToolContext[Any], _: str) -> str:
        """The client made the call; a run that has no result for it stops before."""
        return outputs[context.tool_call_id]

    try:
        return FunctionTool(
            name=name,
            description=description or "",
            params_json_schema=parameters or {"type": "object", "properties": {}},
            on_invoke_tool=give,
            strict_json_schema=function.get("strict") is True,
            needs_approval=True,
        )
    except (UserError, TypeError, ValueError) as error:
        raise _invalid(f"{where}.function.parameters", "can't be strict: it is no strict schema") from error


def _allowed(tools: dict[str, FunctionTool], allowed: Any) -> tuple[dict[str, FunctionTool], Any]:
    where = "tool_choice.allowed_tools"
    named = allowed.get("tools") if isinstance(allowed, dict) else None
    if not isinstance(named, list):
        raise _invalid(where, "must be an object with tools")
    names = [_chosen_name(one, tools, f"{where}.tools[{number}]") for number, one in enumerate(named)]
    return {name: tools[name] for name in names}, allowed.get("mode", "auto")


def _chosen_name(choice: Any, tools: dict[str, FunctionTool], where: str) -> str:
    function = choice.get("function") if isinstance(choice, dict) else None
    name = function.get("name") if isinstance(function, dict) else None
    if not isinstance(name, str) or name not in tools:
        raise _invalid(where, "must be one of 'tools'")
    return name


def _invalid(where: str, what: str) -> InvalidRequest:
    return InvalidRequest(f"'{where}' {what}.", param=where)
