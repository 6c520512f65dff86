"""Tools of the gateway's registry as agents have them: what they are is the request's affair, not the code's.

An agent names a tool once, when its code is loaded. What the model is told of it, and whether at all, comes
from the door to tools of the run around it. This module knows neither Django nor the registry: also a process
that has nothing of the gateway but a connection can serve that door.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from typing import Any, NamedTuple, Protocol

from agents.tool_context import ToolContext

from agents import Agent, AgentBase, FunctionTool, RunContextWrapper, UserError
from agents_app.sdk.client_tools import graph_of

_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}\Z")
_OUTSIDE = "Tools of the gateway can be called only while an agent answers a request."


class ToolSpec(NamedTuple):
    """What a model is told of a tool; `parameters` is a JSON Schema."""

    description: str
    parameters: dict[str, Any]


class ToolDoor(Protocol):
    """The gateway's tools as one run may use them."""

    def names(self) -> Collection[str]:
        """The tools that the run's key may use."""

    def spec(self, name: str) -> ToolSpec | None:
        """What one is; None if it is none of `names`."""

    async def invoke(self, name: str, arguments_json: str, call_id: str) -> str:
        """Call one. Returns what the model is to read, also if the call failed."""


_door: ContextVar[ToolDoor] = ContextVar("agents_app_tool_door")


@contextmanager
def tools_from(door: ToolDoor) -> Iterator[None]:
    """While the block runs, and in the tasks that it starts, agents have the tools behind this door."""
    token = _door.set(door)
    try:
        yield
    finally:
        _door.reset(token)


class GatewayTool(FunctionTool):
    """A tool of the registry by its name. Its own description, if it has one, is what models are told."""

    def __init__(self, name: str, description: str | None, *, needs_approval: bool) -> None:
        super().__init__(
            name=name,
            description=description or "",
            params_json_schema={},
            on_invoke_tool=partial(_invoke, name),
            # A schema of the registry is passed on as it is.
            strict_json_schema=False,
            is_enabled=partial(_is_offered, name),
            needs_approval=needs_approval,
        )

    @property
    def description(self) -> str:
        """The agent's own words, else the registry's."""
        spec = _spec(self.name)
        return self._own_description or (spec.description if spec is not None else "")

    @description.setter
    def description(self, value: str) -> None:
        self._own_description = value

    @property
    def params_json_schema(self) -> dict[str, Any]:
        """The schema of the run's own configuration."""
        spec = _spec(self.name)
        return spec.parameters if spec is not None else {"type": "object", "properties": {}}

    @params_json_schema.setter
    def params_json_schema(self, value: dict[str, Any]) -> None:
        """The registry's is the only one."""


def use_gateway_tool(
    name: str, description: str | None = None, *, needs_approval: bool = False
) -> FunctionTool:
    """A tool of the gateway's registry, for an agent's `tools`.

    Models are told `description` instead of the registry's. A tool that the request's key may not use, or
    that is off or unknown, is not offered to the model. With `needs_approval` a run that calls it fails, as
    nobody can approve it yet.
    """
    if not isinstance(name, str) or not _NAME.match(name):
        raise UserError("use_gateway_tool: a tool's name has 1 to 64 letters, digits, '_' or '-'.")
    return GatewayTool(name, description, needs_approval=needs_approval)


def gateway_tools_of(agent: object) -> set[str]:
    """The tools of the registry that an agent names, with those of agents that it hands over to or calls."""
    found: set[str] = set()
    waiting = [agent] if isinstance(agent, Agent) else []
    seen: set[int] = set()
    while waiting:
        for one in graph_of(waiting.pop()):
            if id(one) in seen:
                continue
            seen.add(id(one))
            for tool in one.tools:
                if isinstance(tool, GatewayTool):
                    found.add(tool.name)
                elif isinstance(called := getattr(tool, "_agent_instance", None), Agent):
                    waiting.append(called)
    return found


def _spec(name: str) -> ToolSpec | None:
    door = _door.get(None)
    return None if door is None else door.spec(name)


def _is_offered(name: str, _context: RunContextWrapper[Any], _agent: AgentBase[Any]) -> bool:
    # Outside of a request the call is what fails, and says why.
    door = _door.get(None)
    return door is None or door.spec(name) is not None


async def _invoke(name: str, context: ToolContext[Any], arguments: str) -> str:
    door = _door.get(None)
    if door is None:
        raise UserError(_OUTSIDE)
    return await door.invoke(name, arguments, context.tool_call_id)
