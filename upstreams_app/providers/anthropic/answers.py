"""Anthropic's message as OpenAI's chat completion."""

from __future__ import annotations

from typing import Any, Final

from gateway_project.core.codec import dumps_loosely, loads
from upstreams_app.providers.answers import (
    CONTENT_FILTER,
    LENGTH,
    STOP,
    TOOL_CALLS,
    Message,
    Usage,
    completion,
)
from upstreams_app.providers.chat_parts import Json

# Our own member of `thinking_blocks`; it comes back with them and is taken out again.
AFTER_CALLS: Final = "after_calls"
_FINISH: Final = {
    "end_turn": STOP,
    "stop_sequence": STOP,
    "pause_turn": STOP,
    "max_tokens": LENGTH,
    "model_context_window_exceeded": LENGTH,
    "tool_use": TOOL_CALLS,
    "refusal": CONTENT_FILTER,
}


def read_answer(body: bytes, *, answer_tool: str) -> bytes:
    """The completion for a whole message; ValueError (or what else Python finds) if it is none."""
    wire: Json = loads(body)
    if wire["type"] != "message":
        raise ValueError("no message")
    message = Message()
    for block in wire["content"]:
        _add_block(message, block, answer_tool)
    reason = finish_reason(wire["stop_reason"], has_calls=bool(message.calls))
    if reason == CONTENT_FILTER:
        message.refusal = explanation(wire.get("stop_details"))
    message.stop = wire.get("stop_sequence") or ""
    usage = None
    if isinstance(told := wire.get("usage"), dict):
        usage = Usage()
        add_usage(usage, told)
    return completion(wire["id"], wire["model"], [(message, reason)], usage)


def _add_block(message: Message, block: Json, answer_tool: str) -> None:
    kind = block["type"]
    if kind == "text":
        message.text += block["text"]
    elif kind == "thinking":
        message.reasoning += block["thinking"]
        message.thinking.append(placed(block, len(message.calls)))
    elif kind == "redacted_thinking":
        message.thinking.append(placed(block, len(message.calls)))
    elif kind == "tool_use" and block["name"] == answer_tool:
        message.text = input_text(block["input"])
    elif kind == "tool_use":
        message.call(block["id"], block["name"], block["input"])


def placed(block: Json, calls: int) -> Json:
    """A block of thinking with its place, if calls stood before it: OpenAI's messages have none to keep."""
    return {**block, AFTER_CALLS: calls} if calls else block


def input_text(value: Json) -> str:
    """A tool's input as the text of an answer."""
    return dumps_loosely(value).decode()


def finish_reason(reason: str | None, *, has_calls: bool) -> str:
    """OpenAI's word for why a model stopped; calls of tools decide where the answer itself was one."""
    if reason == "tool_use":
        return TOOL_CALLS if has_calls else STOP
    return _FINISH.get(reason or "", STOP)


def explanation(details: Any) -> str:
    """Why the model refused, if it says so."""
    text = details.get("explanation") if isinstance(details, dict) else None
    return text if isinstance(text, str) else ""


def add_usage(usage: Usage, wire: Json) -> None:
    """What a `usage` says; in streams later ones hold the sums so far, and not all of the members.

    Anthropic counts the input beside the cache: OpenAI's count holds both.
    """
    known = usage.cached, usage.cache_written
    plain = _count(wire, "input_tokens", usage.input - sum(known))
    usage.cached = _count(wire, "cache_read_input_tokens", usage.cached)
    usage.cache_written = _count(wire, "cache_creation_input_tokens", usage.cache_written)
    lasting = wire.get("cache_creation")
    if isinstance(lasting, dict):
        known_1h = _count(lasting, "ephemeral_1h_input_tokens", usage.cache_written_1h)
        usage.cache_written_1h = min(known_1h, usage.cache_written)
    usage.input = plain + usage.cached + usage.cache_written
    usage.output = _count(wire, "output_tokens", usage.output)
    if wire.get("speed") == "fast":
        usage.service_tier = "fast"
    elif wire.get("service_tier") in ("priority", "batch"):
        usage.service_tier = wire["service_tier"]
    details = wire.get("output_tokens_details")
    if isinstance(details, dict):
        usage.reasoning = _count(details, "thinking_tokens", usage.reasoning or 0)


def _count(wire: Json, name: str, known: int) -> int:
    value = wire.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else known
