"""Messages of a chat request as the SDK's input items, and parameters as its model settings.

The SDK refuses members that it does not know, so items are made anew from what each role may hold
(https://platform.openai.com/docs/api-reference/chat/create).
"""

from __future__ import annotations

from typing import Any

from agents import ModelSettings
from gateway_project.core.errors import InvalidRequest

# As the wire has it; the SDK checks the shape itself.
Item = dict[str, Any]
_SETTINGS = (
    "temperature",
    "top_p",
    "frequency_penalty",
    "presence_penalty",
    "max_tokens",
    "parallel_tool_calls",
    "verbosity",
)
_EXTRA = ("seed", "stop", "logit_bias", "user", "service_tier", "prediction")


def items_of(messages: Any) -> list[Item]:
    """The conversation as input items; InvalidRequest names the message that can't be one."""
    if not isinstance(messages, list):
        raise InvalidRequest("'messages' must be an array.", param="messages")
    items: list[Item] = []
    open_calls: set[str] = set()
    for number, message in enumerate(messages):
        where = f"messages[{number}]"
        if not isinstance(message, dict):
            raise InvalidRequest(f"'{where}' must be an object.", param=where)
        role = message.get("role")
        if role in ("system", "developer", "user"):
            items.append({"role": role, "content": _content(message.get("content"), where)})
        elif role == "assistant":
            items += _assistant(message, where, open_calls)
        elif role == "tool":
            items.append(_output(message, where, open_calls))
        else:
            raise InvalidRequest(
                f"'{where}.role' must be system, developer, user, assistant or tool.", param=f"{where}.role"
            )
    if open_calls:
        raise InvalidRequest("Each tool call needs a message with its result.", param="messages")
    return items


def settings_of(fields: dict[str, Any]) -> ModelSettings:
    """What the client asks of the model; explicit nulls count as absent."""
    given = {name: fields[name] for name in _SETTINGS if fields.get(name) is not None}
    if fields.get("max_completion_tokens") is not None:
        given["max_tokens"] = fields["max_completion_tokens"]
    extra = {name: fields[name] for name in _EXTRA if fields.get(name) is not None}
    if fields.get("reasoning_effort") is not None:
        extra["reasoning_effort"] = fields["reasoning_effort"]
    return ModelSettings(**given, extra_args=extra or None)


def _assistant(message: Item, where: str, open_calls: set[str]) -> list[Item]:
    items: list[Item] = []
    text = _text(message.get("content"), where)
    if text:
        items.append({"role": "assistant", "content": text})
    for number, call in enumerate(message.get("tool_calls") or []):
        place = f"{where}.tool_calls[{number}]"
        function = call.get("function") if isinstance(call, dict) else None
        if not isinstance(function, dict) or not isinstance(call.get("id"), str):
            raise InvalidRequest(f"'{place}' must have an id and a function.", param=place)
        open_calls.add(call["id"])
        items.append(
            {
                "type": "function_call",
                "call_id": call["id"],
                "name": str(function.get("name", "")),
                "arguments": str(function.get("arguments") or "{}"),
            }
        )
    return items


def _output(message: Item, where: str, open_calls: set[str]) -> Item:
    call_id = message.get("tool_call_id")
    if call_id not in open_calls:
        raise InvalidRequest(
            f"'{where}.tool_call_id' belongs to no tool call before it.", param=f"{where}.tool_call_id"
        )
    open_calls.discard(call_id)
    return {
        "type": "function_call_output",
        "call_id": call_id,
        "output": _text(message.get("content"), where),
    }


def _text(content: Any, where: str) -> str:
    if content is None or isinstance(content, str):
        return content or ""
    parts = _content(content, where)
    return "".join(part["text"] for part in parts if isinstance(part, dict) and "text" in part)


def _content(content: Any, where: str) -> str | list[Item]:
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise InvalidRequest(
            f"'{where}.content' must be a text or an array of parts.", param=f"{where}.content"
        )
    return [_part(part, f"{where}.content[{number}]") for number, part in enumerate(content)]


def _part(part: Any, where: str) -> Item:
    kind = part.get("type") if isinstance(part, dict) else None
    value = part.get(kind) if kind else None
    if kind in ("text", "refusal") and isinstance(value, str):
        return {"type": "input_text", "text": value}
    if kind == "image_url" and isinstance(value, dict) and isinstance(value.get("url"), str):
        return {"type": "input_image", "image_url": value["url"], "detail": value.get("detail") or "auto"}
    if kind == "input_audio" and isinstance(value, dict):
        return {"type": "input_audio", "input_audio": value}
    if kind == "file" and isinstance(value, dict):
        known = {name: value[name] for name in ("file_data", "file_id", "filename") if value.get(name)}
        return {"type": "input_file", **known}
    raise InvalidRequest(f"'{where}' is no part that agents take.", param=where)
