"""Tools and the choice among them. Tools that run at Anthropic, or that only its models know, are refused.

Source: Anthropic's API reference (messages, tool use).
"""

from __future__ import annotations

from typing import Any, Final

from gateway_project.api.anthropic.checks import (
    Json,
    cache_marker,
    filled_text,
    flag,
    items,
    json_object,
    only,
    optional_text,
    unsupported,
    wrong,
)
from gateway_project.core.codec import dumps_loosely

_KNOWN: Final = (
    "type", "name", "description", "input_schema", "cache_control", "strict", "input_examples",
    "allowed_callers", "defer_loading", "eager_input_streaming",
)  # fmt: skip
_CHOICES: Final = {"auto": "auto", "any": "required", "none": "none"}


def read_tools(value: Any) -> list[Json]:
    """The functions that the model may call."""
    return [_tool(tool, path) for path, tool in items(value, "tools")]


def _tool(value: Any, path: str) -> Json:
    kind = json_object(value, path).get("type")
    if kind not in (None, "custom"):
        kind, name = str(kind)[:64], str(value.get("name") or kind)[:64]
        raise unsupported(
            path,
            f"'{name}' ({kind}) is a tool of Anthropic's own, which is not served here; "
            "give tools of your own, with an input_schema.",
        )
    only(value, _KNOWN, path)
    if flag(value.get("defer_loading"), f"{path}.defer_loading"):
        raise unsupported(f"{path}.defer_loading", "tools that load later are not served here.")
    if value.get("allowed_callers") not in (None, ["direct"]):
        raise unsupported(f"{path}.allowed_callers", "only the model itself can call tools here.")
    function: Json = {"name": filled_text(value.get("name"), f"{path}.name")}
    if description := _description(value, path):
        function["description"] = description
    function["parameters"] = json_object(value.get("input_schema"), f"{path}.input_schema")
    if flag(value.get("strict"), f"{path}.strict"):
        function["strict"] = True
    return {"type": "function", "function": function, **cache_marker(value, path)}


def _description(tool: Json, path: str) -> str:
    """The description; examples of input have no field of their own elsewhere."""
    description = optional_text(tool.get("description"), f"{path}.description")
    examples = tool.get("input_examples")
    if not examples:
        return description
    texts = [
        dumps_loosely(json_object(example, at)).decode()
        for at, example in items(examples, f"{path}.input_examples")
    ]
    return "\n\n".join([description, "Examples of input:", *texts]).lstrip()


def read_choice(value: Any, tools: list[Json]) -> Json:
    """`tool_choice` and `parallel_tool_calls`."""
    path = "tool_choice"
    choice = json_object(value, path)
    only(choice, ("type", "name", "disable_parallel_tool_use"), path)
    kind = choice.get("type")
    if not tools and kind != "none":
        raise wrong(path, "none, for there are no tools")
    made: Json = {}
    if kind == "tool":
        name = filled_text(choice.get("name"), f"{path}.name")
        if name not in {tool["function"]["name"] for tool in tools}:
            raise wrong(f"{path}.name", "the name of one of the tools")
        made["tool_choice"] = {"type": "function", "function": {"name": name}}
    elif isinstance(kind, str) and kind in _CHOICES:
        if tools:
            made["tool_choice"] = _CHOICES[kind]
    else:
        raise wrong(f"{path}.type", "auto, any, tool or none")
    if flag(choice.get("disable_parallel_tool_use"), f"{path}.disable_parallel_tool_use") and tools:
        made["parallel_tool_calls"] = False
    return made
