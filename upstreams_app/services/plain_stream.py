"""A plain answer as the events of a stream, for servers that ignore `stream: true`."""

from __future__ import annotations

from typing import Any

from gateway_project.core.codec import dumps, loads
from gateway_project.core.sse import event
from upstreams_app.registry import Target
from upstreams_app.services import failures


def as_events(body: bytes, target: Target, *, wants_usage: bool) -> bytes:
    """As `events_from_answer`; UpstreamFailed for what is none of the answers that were asked for."""
    try:
        return events_from_answer(body, wants_usage=wants_usage)
    except (AttributeError, TypeError, ValueError) as error:
        raise failures.unreachable(target, "the answer is not what was asked for") from error


def events_from_answer(body: bytes, *, wants_usage: bool) -> bytes:
    """Chunks in OpenAI's order, without `[DONE]`: content, finish reasons, usage if it was asked for."""
    answer: dict[str, Any] = loads(body)
    is_chat = answer.get("object") != "text_completion"
    head: dict[str, Any] = {
        key: answer[key] for key in ("id", "created", "model", "system_fingerprint") if key in answer
    }
    head["object"] = "chat.completion.chunk" if is_chat else "text_completion"
    events = []
    for choice in answer.get("choices") or []:
        index = choice.get("index", 0)
        if is_chat:
            message = dict(choice.get("message") or {})
            calls = message.get("tool_calls")
            if calls:
                message["tool_calls"] = [{"index": number, **call} for number, call in enumerate(calls)]
            content: dict[str, Any] = {"index": index, "delta": message, "finish_reason": None}
            finish: dict[str, Any] = {"index": index, "delta": {}}
        else:
            content = {"index": index, "text": choice.get("text", ""), "finish_reason": None}
            finish = {"index": index, "text": ""}
        content["logprobs"] = choice.get("logprobs")
        finish |= {"logprobs": None, "finish_reason": choice.get("finish_reason") or "stop"}
        events += [event(dumps({**head, "choices": [content]})), event(dumps({**head, "choices": [finish]}))]
    if wants_usage and answer.get("usage"):
        events.append(event(dumps({**head, "choices": [], "usage": answer["usage"]})))
    return b"".join(events)
