"""Tools, the choice among them, and answers in JSON by way of one: Converse's `toolConfig`.

Source: the Converse API's reference (ToolConfiguration, ToolChoice), which has no choice "none" and no word
for one call at a time. Claude has both, in its own `tool_choice`, which Bedrock hands on.
"""

from __future__ import annotations

import re
from contextlib import suppress
from typing import Final, NamedTuple

from gateway_project.core.errors import InvalidRequest
from upstreams_app.providers.anthropic.schemas import Inexpressible, native_schema
from upstreams_app.providers.bedrock.blocks import cache_point
from upstreams_app.providers.bedrock.families import Family
from upstreams_app.providers.chat_parts import Json
from upstreams_app.providers.chat_request import ChatRequest, Schema, Tool

_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_ANSWER = "Give the answer by calling this, once; its input is the whole answer."
_ONE_BY_ONE = "This model can't be kept to one call at a time."
_ANY_OBJECT: Final[Json] = {"type": "object", "properties": {}, "additionalProperties": True}


class Tools(NamedTuple):
    """`fields` go to the model itself. `answer_tool` is what the model answers with instead of text.

    `is_forcing`: the model must call one of them.
    """

    config: Json | None = None
    fields: Json = {}
    answer_tool: str = ""
    native_schema: Json | None = None
    is_forcing: bool = False


def converse_tools(request: ChatRequest, family: Family, *, has_history: bool, is_native: bool) -> Tools:
    """The tools of a request. `has_history`: some were called before, so that Bedrock wants to know them."""
    specs = [_spec(tool, index, is_native) for index, tool in enumerate(request.tools)]
    is_off = request.choice == "none" or not specs
    if is_off and not has_history:
        specs = []
    elif not specs:
        specs = _called(request)
    is_forced = request.choice not in ("", "auto", "none")
    if is_forced and not family.can_force_calls:
        raise _unsupported("This model decides for itself whether to call a tool; use 'auto'.", "tool_choice")
    schema = request.format
    native = None
    if schema is not None and schema.schema is not None and not is_forced:
        native = _native(schema.schema) if is_native else None
        if native is None:
            return _answering(request, schema.schema, family, specs, is_off=is_off)
    if not specs:
        return Tools(native_schema=native)
    config: Json = {"tools": [block for group in specs for block in group]}
    fields = _choose(request, family, config, is_off=is_off)
    return Tools(config, fields, native_schema=native, is_forcing=is_forced)


def _native(schema: Json) -> Json | None:
    """The schema as Bedrock holds answers to it; None if it can't."""
    try:
        return native_schema(schema)
    except Inexpressible:
        return None


def _spec(tool: Tool, index: int, is_native: bool) -> list[Json]:
    if not _NAME.fullmatch(tool.name):
        raise InvalidRequest(
            "A tool's name has 1 to 64 letters, digits, '_' and '-'.", param=f"tools[{index}].function.name"
        )
    # Bedrock insists on the type; OpenAI takes it for granted.
    schema = {"type": "object", **tool.parameters}
    spec: Json = {"name": tool.name, "inputSchema": {"json": schema}}
    if tool.description.strip():
        spec["description"] = tool.description
    if tool.is_strict and is_native:
        # What can't be expressed goes without the guarantee, as with models that have none.
        with suppress(Inexpressible):
            spec |= {"inputSchema": {"json": native_schema(schema)}, "strict": True}
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
        if not family.can_name_calls:
            # Left alone, it is the only one that can be meant.
            config["tools"] = [
                block for block in config["tools"] if block.get("toolSpec", {}).get("name") == name
            ]
        config["toolChoice"] = {"tool": {"name": name}} if family.can_name_calls else {"any": {}}
    return {}


def _claudes_own(request: ChatRequest, family: Family, *, is_off: bool) -> Json:
    if family.claude is None:
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
    request: ChatRequest,
    schema: Json,
    family: Family,
    specs: list[list[Json]],
    *,
    is_off: bool,
) -> Tools:
    """The answer as the input of a tool of its own, which the model must call, unless it calls another."""
    if not family.can_force_calls:
        message = "This model can't be held to this schema: its objects must name their members."
        raise _unsupported(message, "response_format")
    if schema.get("type", "object") != "object":
        raise _unsupported("With this model the schema must be of the type object.", "response_format")
    wanted = request.format or Schema(schema)
    name = _free_name(wanted.name, request)
    spec: Json = {
        "name": name,
        "description": f"{_ANSWER} {wanted.description}".strip(),
        "inputSchema": {"json": {"type": "object", **schema}},
    }
    config: Json = {"tools": [*(block for group in specs for block in group), {"toolSpec": spec}]}
    if is_off and specs and not family.can_name_calls:
        raise _unsupported("After calls of tools this model can't answer in this form.", "response_format")
    if is_off and family.can_name_calls:
        config["toolChoice"] = {"tool": {"name": name}}
    elif request.is_parallel is False and not is_off:
        if family.claude is None:
            raise _unsupported(_ONE_BY_ONE, "parallel_tool_calls")
        own = {"tool_choice": {"type": "any", "disable_parallel_tool_use": True}}
        return Tools(config, own, name, is_forcing=True)
    else:
        config["toolChoice"] = {"any": {}}
    return Tools(config, answer_tool=name, is_forcing=True)


def _free_name(wanted: str, request: ChatRequest) -> str:
    """A name for the tool of the answer that no other tool has."""
    taken = {tool.name for tool in request.tools}
    taken |= {call.name for turn in request.turns for call in turn.calls}
    name = re.sub(r"[^a-zA-Z0-9_-]", "_", wanted)[:56] or "answer"
    while name in taken:
        name += "_"
    return name


def _unsupported(message: str, param: str) -> InvalidRequest:
    return InvalidRequest(message, param=param, code="unsupported_parameter")
