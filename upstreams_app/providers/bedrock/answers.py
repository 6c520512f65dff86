"""Converse's answers as OpenAI's.

Source: the Converse API's reference (ConverseResponse, StopReason, TokenUsage). `inputTokens` are those that
were neither read from the cache nor written to it: the prompt is all three (User Guide, prompt caching).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from gateway_project.core.codec import dumps_loosely, loads_loosely
from upstreams_app.providers.answers import (
    CONTENT_FILTER,
    LENGTH,
    STOP,
    TOOL_CALLS,
    Json,
    Message,
    Usage,
    completion,
)
from upstreams_app.providers.bedrock.blocks import thinking_block

FINISH_REASONS: Final = {
    "end_turn": STOP,
    "stop_sequence": STOP,
    "max_tokens": LENGTH,
    "model_context_window_exceeded": LENGTH,
    "tool_use": TOOL_CALLS,
    "guardrail_intervened": CONTENT_FILTER,
    "content_filtered": CONTENT_FILTER,
    # Claude's own word, which Bedrock's reference does not list.
    "refusal": CONTENT_FILTER,
}
# The model wrote what is neither text nor a call: nobody may take that for an answer.
MALFORMED: Final = frozenset({"malformed_model_output", "malformed_tool_use"})


def finish_reason(stop_reason: str, *, has_calls: bool) -> str:
    """OpenAI's word for it; some models end their turn with a call and don't say so."""
    reason = FINISH_REASONS.get(stop_reason, STOP)
    if reason == TOOL_CALLS or (reason == STOP and has_calls):
        # What calls only the tool for the answer has given its answer.
        return TOOL_CALLS if has_calls else STOP
    return reason


def read_usage(usage: Mapping[str, Any], service_tier: Any) -> Usage:
    """Converse's tokens, counted as OpenAI does; reasoning is in the output, untold.

    `service_tier` is what the answer says of how it was served, which has prices of its own.
    """
    tier = service_tier.get("type") if isinstance(service_tier, dict) else ""
    cached = usage.get("cacheReadInputTokens") or 0
    written = usage.get("cacheWriteInputTokens") or 0
    return Usage(
        input=usage["inputTokens"] + cached + written,
        output=usage["outputTokens"],
        cached=cached,
        cache_written=written,
        cache_written_1h=min(_written_for_an_hour(usage.get("cacheDetails")), written),
        service_tier=tier if tier in ("flex", "priority") else "",
    )


def _written_for_an_hour(details: Any) -> int:
    """Of `CacheDetail`s, each with the life of what was written."""
    return sum(item.get("inputTokens") or 0 for item in details or () if item.get("ttl") == "1h")


def converse_answer(body: bytes, *, model: str, answer_tool: str) -> bytes:
    """A whole answer; ValueError if it is none."""
    answer = loads_loosely(body)
    stop_reason = answer["stopReason"]
    if stop_reason in MALFORMED:
        raise ValueError("the model's answer is malformed")
    message = Message()
    for block in answer["output"]["message"]["content"]:
        _add(message, block, answer_tool)
    reason = finish_reason(stop_reason, has_calls=bool(message.calls))
    if reason == CONTENT_FILTER:
        message.calls.clear()
    return completion("", model, [(message, reason)], read_usage(answer["usage"], answer.get("serviceTier")))


def _add(message: Message, block: Json, answer_tool: str) -> None:
    if "text" in block:
        message.text += block["text"]
    elif use := block.get("toolUse"):
        if use["name"] == answer_tool:
            message.text += dumps_loosely(use["input"]).decode()
        else:
            message.call(use["toolUseId"], use["name"], use["input"])
    elif reasoning := block.get("reasoningContent"):
        message.reasoning += (reasoning.get("reasoningText") or {}).get("text", "")
        if thought := thinking_block(reasoning):
            message.thinking.append(thought)
    elif cited := block.get("citationsContent"):
        _add_cited(message, cited)


def _add_cited(message: Message, cited: Json) -> None:
    """Text that names its sources; those on the web are what OpenAI's annotations can tell."""
    start = len(message.text)
    message.text += "".join(piece.get("text", "") for piece in cited.get("content") or ())
    for citation in cited.get("citations") or ():
        web = (citation.get("location") or {}).get("web") or {}
        if url := web.get("url"):
            annotation = {
                "url": url,
                "title": citation.get("title") or web.get("domain") or url,
                "start_index": start,
                "end_index": len(message.text),
            }
            message.annotations.append({"type": "url_citation", "url_citation": annotation})
