"""The tools that a request offers and how they may be used, checked as OpenAI checks them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final, Literal

from gateway_project.core.codec import dumps
from gateway_project.core.errors import InvalidRequest
from upstreams_app.demo.fields import JsonObject, wrong_type, wrong_value
from upstreams_app.demo.tokens import count_tokens

MAX_TOOLS: Final = 128
Mode = Literal["none", "auto", "required", "named"]
NAME: Final = re.compile(r"[\w.-]{1,128}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Tool:
    """One function that the client offers."""

    name: str
    description: str
    parameters: Any


@dataclass(frozen=True, slots=True)
class ToolPlan:
    """The tools of a request and how they may be used."""

    tools: tuple[Tool, ...]
    mode: Mode
    named: str
    is_parallel: bool
    tokens: int


def read_tools(fields: JsonObject) -> ToolPlan:
    """`tools`, `tool_choice` and `parallel_tool_calls`; raises InvalidRequest."""
    offered = fields.get("tools")
    if offered is not None and not isinstance(offered, list):
        raise wrong_type("tools", "an array of objects", offered)
    if offered and len(offered) > MAX_TOOLS:
        raise wrong_value("tools", f"expected at most {MAX_TOOLS} tools.")
    tools = tuple(_read_tool(item, f"tools[{index}]") for index, item in enumerate(offered or []))
    mode, named = _read_choice(fields.get("tool_choice"), tools)
    is_parallel = fields.get("parallel_tool_calls")
    if is_parallel is not None and not isinstance(is_parallel, bool):
        raise wrong_type("parallel_tool_calls", "a boolean", is_parallel)
    tokens = count_tokens(dumps(offered).decode()) if offered else 0
    return ToolPlan(tools, mode, named, is_parallel is not False, tokens)


def _read_tool(item: Any, param: str) -> Tool:
    if not isinstance(item, dict):
        raise wrong_type(param, "an object", item)
    if item.get("type") != "function":
        raise wrong_value(f"{param}.type", "expected 'function'.")
    function = item.get("function")
    if not isinstance(function, dict):
        raise wrong_type(f"{param}.function", "an object", function)
    name, description = function.get("name"), function.get("description")
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise wrong_value(f"{param}.function.name", "expected letters, digits, '_', '-' or '.'.")
    parameters = function.get("parameters")
    if parameters is not None and not isinstance(parameters, dict):
        raise wrong_type(f"{param}.function.parameters", "an object", parameters)
    return Tool(name, description if isinstance(description, str) else "", parameters)


def _read_choice(choice: Any, tools: tuple[Tool, ...]) -> tuple[Mode, str]:
    if choice is None or choice == "auto":
        return "auto", ""
    if choice == "none":
        return "none", ""
    if not tools:
        raise InvalidRequest("'tool_choice' is only allowed when 'tools' are specified.", param="tool_choice")
    if choice == "required":
        return "required", ""
    function = (
        choice.get("function") if isinstance(choice, dict) and choice.get("type") == "function" else None
    )
    name = function.get("name") if isinstance(function, dict) else None
    if not isinstance(name, str):
        raise wrong_value("tool_choice", "expected 'none', 'auto', 'required' or a function.")
    if all(tool.name != name for tool in tools):
        raise wrong_value("tool_choice", f"the function '{name}' is not among the tools.")
    return "named", name
