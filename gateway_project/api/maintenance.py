"""The answer of a route that is in maintenance: a chat completion like any other, without an upstream."""

from __future__ import annotations

from gateway_project.api.exchange import Exchange
from gateway_project.core import sse
from gateway_project.core.codec import dumps
from upstreams_app.services.calls import Call
from upstreams_app.services.plain_stream import events_from_answer
from usage_app.entry import TokenUsage


async def answer_in_maintenance(exchange: Exchange, call: Call, text: str) -> None:
    """Send the text, plain or as a stream; the ledger has the request, which costs nothing."""
    body = dumps(_completion(call, text))
    call.settlement.tokens = TokenUsage()
    call.settlement.complete()
    if not call.is_stream:
        await exchange.send_body(200, body)
        return
    exchange.expect_stream()
    await exchange.start_stream()
    await exchange.send_piece(events_from_answer(body, wants_usage=call.wants_usage))
    await exchange.end_stream(sse.DONE)


def _completion(call: Call, text: str) -> dict[str, object]:
    return {
        "id": "chatcmpl-" + call.context.request_id.hex,
        "object": "chat.completion",
        "created": (call.context.request_id.int >> 80) // 1000,
        "model": call.entry.id,
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": text},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0},
    }
