"""OpenAI's completion as Anthropic's message."""

from __future__ import annotations

from typing import Any, Final

from gateway_project.api.anthropic.checks import Json
from gateway_project.api.anthropic.requests import MessageRequest
from gateway_project.core.codec import dumps_loosely, loads, loads_loosely
from upstreams_app.providers.anthropic.answers import AFTER_CALLS
from usage_app.services.extraction import token_usage

TOOL_USE: Final = "tool_use"
_STOPS: Final = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": TOOL_USE,
    "function_call": TOOL_USE,
    "content_filter": "refusal",
}


def read_answer(body: bytes, request: MessageRequest, *, message_id: str) -> bytes:
    """The message for a whole completion; ValueError (or what else Python finds) if it is none."""
    answer = loads_loosely(body)
    choice: Json = answer["choices"][0]
    said: Json = choice["message"]
    thoughts = _thoughts(said, shows=request.shows_thinking)
    content = _placed(thoughts, 0)
    refusal = said.get("refusal") or ""
    if text := _text(said.get("content")) or refusal:
        content.append({"type": "text", "text": text})
    calls = said.get("tool_calls") or []
    for index, call in enumerate(calls):
        content += [_call(call, message_id, index), *_placed(thoughts, index + 1)]
    message = {
        **head(message_id, request.model),
        "content": content,
        **stopped(choice, request, has_calls=bool(calls), is_refused=bool(refusal)),
        "usage": usage(answer.get("usage")),
    }
    return dumps_loosely(message)


def head(message_id: str, model: str) -> Json:
    """What a message begins with."""
    return {"id": message_id, "type": "message", "role": "assistant", "model": model}


def _placed(thoughts: list[Json], calls: int) -> list[Json]:
    """Those of the thoughts that stood behind so many calls, without the mark that says so."""
    return [
        {name: value for name, value in block.items() if name != AFTER_CALLS}
        for block in thoughts
        if block.get(AFTER_CALLS, 0) == calls
    ]


def _thoughts(said: Json, *, shows: bool) -> list[Json]:
    """The vendor's signed blocks, which the next turn needs, or what was thought aloud."""
    blocks = [block for block in said.get("thinking_blocks") or [] if is_signed(block)]
    reasoning = reasoning_text(said)
    if blocks or not shows or not reasoning:
        return blocks
    return [{"type": "thinking", "thinking": reasoning, "signature": ""}]


def reasoning_text(said: Json) -> str:
    """What was thought; servers call it by one of two names."""
    text = said.get("reasoning_content") or said.get("reasoning")
    return text if isinstance(text, str) else ""


def is_signed(block: Any) -> bool:
    """Whether a block is one that its vendor takes back."""
    if not isinstance(block, dict):
        return False
    return block.get("type") == "redacted_thinking" or bool(block.get("signature"))


def stopped(choice: Json, request: MessageRequest, *, has_calls: bool, is_refused: bool) -> Json:
    """Why the model stopped. Some servers tell which stop sequence it was, in vLLM's `stop_reason`."""
    reason = _STOPS.get(choice.get("finish_reason") or "stop", "end_turn")
    mark = choice.get("stop_reason")
    is_mark = isinstance(mark, str) and mark in request.stop and reason == "end_turn"
    if is_refused and reason == "end_turn":
        reason = "refusal"
    elif has_calls and reason == "end_turn":
        reason = TOOL_USE
    elif is_mark:
        reason = "stop_sequence"
    return {"stop_reason": reason, "stop_sequence": mark if is_mark else None}


def usage(wire: Any) -> Json:
    """Tokens as Anthropic counts them: those of the cache beside the input, not in it."""
    tokens = token_usage(dumps_loosely(wire)) if isinstance(wire, dict) else None
    if tokens is None:
        return {"input_tokens": 0, "output_tokens": 0}
    plain = tokens.input - tokens.cached_input - tokens.cache_write
    made: Json = {
        "input_tokens": max(plain, 0),
        "cache_creation_input_tokens": tokens.cache_write,
        "cache_read_input_tokens": tokens.cached_input,
        "output_tokens": tokens.output,
    }
    if tokens.reasoning:
        made["output_tokens_details"] = {"thinking_tokens": tokens.reasoning}
    return made


def _text(content: Any) -> str:
    if isinstance(content, list):
        return "".join(part.get("text") or "" for part in content)
    return content if isinstance(content, str) else ""


def _call(call: Json, message_id: str, index: int) -> Json:
    function = call["function"]
    return {
        "type": TOOL_USE,
        "id": call.get("id") or call_id(message_id, index),
        "name": function["name"],
        "input": _arguments(function.get("arguments")),
    }


def call_id(message_id: str, index: int) -> str:
    """The id of a call to which its server gave none."""
    return f"toolu_{message_id.removeprefix('msg_')}_{index}"


def _arguments(value: Any) -> Json:
    """A call's input, which is an object always: what a model wrote instead stays readable in one."""
    try:
        value = loads(value or "{}") if isinstance(value, str) else value
    except ValueError:
        return {"arguments": value}
    return value if isinstance(value, dict) else {} if value is None else {"arguments": value}
