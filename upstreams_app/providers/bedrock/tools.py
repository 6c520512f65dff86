"""Tools, the choice among them, and answers in JSON by way of one: Converse's `toolConfig`.

Source: the Converse API's reference (ToolConfiguration, ToolChoice), which has no choice "none" and no word
for one call at a time. Claude has both, in its own `tool_choice`, which Bedrock hands on.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from gateway_project.core.errors import InvalidRequest
from upstreams_app.providers.bedrock.blocks import cache_point
from upstreams_app.providers.bedrock.families import Family
from upstreams_app.providers.chat_parts import Json
from upstreams_app.providers.chat_request import ChatRequest, Schema, Tool

_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_ANSWER = "Give the answer by calling this, once; its input is the whole answer."
_ONE_BY_ONE = "This model can't be kept to one call at a time."
_ANY_OBJECT: Final[Json] = {"type": "object", "properties": {}, "additionalProperties": True}


class Tools(NamedTuple):
    """`fields` go to the model itself. `answer_tool` is what the model answers with instead of text."""

    config: Json | None = None
    fields: Json = {}
    answer_tool: str = ""
    has_native_schema: bool = False


def converse_tools(
    request: ChatRequest, family: Family, *, has_history: bool, is_native: bool, is_thinking: bool
) -> Tools:
    """The tools of a request. `has_history`: some were called before, so that Bedrock wants to know them."""
    schema = request.format
    takes_schema = schema is not None and _takes_natively(schema, is_native, is_thinking=is_thinking)
    specs = [_spec(tool, index, is_native) for index, tool in enumerate(request.tools)]
    is_off = request.choice == "none" or not specs
    if is_off and has_history and not specs:
        specs = _called(request)
    config: Json = {"tools": [block for group in specs for block in group]}
    if schema is not None and not takes_schema and not request.choice.startswith(("required", "tool:")):
        if is_thinking and family.kind == "claude":
            raise _unsupported(
                "This model can't reason and answer in this form at once; a strict schema may help.",
                "response_format",
            )
        return _answering(request, schema, family, [] if is_off and not has_history else specs, is_off=is_off)
    if is_off and not has_history:
        return Tools(has_native_schema=takes_schema)
    fields = _choose(request, family, config, is_off=is_off)
    return Tools(config, fields, has_native_schema=takes_schema)


def _takes_natively(schema: Schema, is_native: bool, *, is_thinking: bool) -> bool:
    """What is not strict may hold what Bedrock's own schemas can't; thinking leaves nothing else, though."""
    return is_native and schema.schema is not None and (schema.is_strict or is_thinking)


def _spec(tool: Tool, index: int, is_native: bool) -> list[Json]:
    if not _NAME.fullmatch(tool.name):
        raise InvalidRequest(
            "A tool's name has 1 to 64 letters, digits, '_' and '-'.", param=f"tools[{index}].function.name"
        )
    # Bedrock insists on the type; OpenAI takes it for granted.
    spec: Json = {"name": tool.name, "inputSchema": {"json": {"type": "object", **tool.parameters}}}
    if tool.description.strip():
        spec["description"] = tool.description
    if tool.is_strict and is_native:
        spec["strict"] = True
    return [{"toolSpec": spec}, *([] if tool.cache is None else [cache_point(tool.cache)])]


def _called(request: ChatRequest) -> list[list[Json]]:
    """The tools that earlier turns called, where the request names none."""
    names = dict.fromkeys(call.name for turn in request.turns for call in turn.calls)
    return [[{"toolSpec": {"name": name, "inputSchema": {"json": _ANY_OBJECT}}}] for name in names]


def _choose(request: ChatRequest, family: Family, config: Json, *, is_off: bool) -> Json:
    """Writes the choice into `config`, or returns it as Claude's own."""
    choice = request.choice
    if is_off or request.is_parallel is False:
        return _claudes_own(request, family, is_off=is_off)
    if choice == "required":
        config["toolChoice"] = {"any": {}}
    elif choice.startswith("tool:"):
        name = choice.removeprefix("tool:")
        if not family.can_force_a_tool and len(request.tools) > 1:
            # Left alone, it is the only one that can be meant.
            config["tools"] = [
                block for block in config["tools"] if block.get("toolSpec", {}).get("name") == name
            ]
        config["toolChoice"] = {"tool": {"name": name}} if family.can_force_a_tool else {"any": {}}
    return {}


def _claudes_own(request: ChatRequest, family: Family, *, is_off: bool) -> Json:
    if family.kind != "claude":
        if is_off:
            param = "tool_choice" if request.choice == "none" else "tools"
            raise _unsupported("After calls of tools this model can't be kept from more of them.", param)
        raise _unsupported(_ONE_BY_ONE, "parallel_tool_calls")
    if is_off:
        return {"tool_choice": {"type": "none"}}
    choice: Json = {"type": "auto", "disable_parallel_tool_use": True}
    if request.choice == "required":
        choice["type"] = "any"
    elif request.choice.startswith("tool:"):
        choice |= {"type": "tool", "name": request.choice.removeprefix("tool:")}
    return {"tool_choice": choice}


def _answering(
    request: ChatRequest, schema: Schema, family: Family, specs: list[list[Json]], *, is_off: bool
) -> Tools:
    """The answer as the input of a tool of its own, which the model must call, unless it calls another."""
    taken = {tool.name for tool in request.tools} | {
        call.name for turn in request.turns for call in turn.calls
    }
    name = re.sub(r"[^a-zA-Z0-9_-]", "_", schema.name)[:56] or "answer"
    while name in taken:
        name += "_"
    spec: Json = {
        "name": name,
        "description": f"{_ANSWER} {schema.description}".strip(),
        "inputSchema": {
            "json": _ANY_OBJECT if schema.schema is None else {"type": "object", **schema.schema}
        },
    }
    config: Json = {"tools": [*(block for group in specs for block in group), {"toolSpec": spec}]}
    if family.can_force_a_tool and (is_off or not specs):
        config["toolChoice"] = {"tool": {"name": name}}
    elif not is_off and request.is_parallel is False:
        if family.kind != "claude":
            raise _unsupported(_ONE_BY_ONE, "parallel_tool_calls")
        return Tools(config, {"tool_choice": {"type": "any", "disable_parallel_tool_use": True}}, name)
    elif is_off and specs:
        raise _unsupported("After calls of tools this model can't answer in this form.", "response_format")
    else:
        config["toolChoice"] = {"any": {}}
    return Tools(config, answer_tool=name)


def _unsupported(message: str, param: str) -> InvalidRequest:
    return InvalidRequest(message, param=param, code="unsupported_parameter")
