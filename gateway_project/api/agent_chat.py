"""Chat completions by an agent: the run's answer as OpenAI's objects, plain or as a stream."""

from __future__ import annotations

from time import time
from typing import Any

from agents_app.entry import AgentEntry
from agents_app.services.runs import AgentRun
from gateway_project.api.exchange import Exchange, header_value
from gateway_project.core import sse
from gateway_project.core.codec import dumps, loads
from gateway_project.core.errors import InvalidRequest
from gateway_project.core.money import usd_text
from gateway_project.lifecycle import lifecycle
from security_app.services.reservation import reserve
from usage_app.entry import TokenUsage


async def answer_by_agent(exchange: Exchange, body: bytes, entry: AgentEntry, *, is_stream: bool) -> None:
    """Run the agent on a chat request and answer with what it says."""
    context = exchange.caller()
    ticket = reserve(context.principal, entry.id)
    fields: dict[str, Any] = loads(body)
    run = AgentRun(
        context, ticket, entry, clients=lifecycle.clients, ticker=lifecycle.ticker, is_stream=is_stream
    )
    user = fields.get("user")
    run.end_user = user[:256] if isinstance(user, str) else ""
    exchange.add_header(b"x-gateway-model", header_value(entry.id))
    head = {"id": f"chatcmpl-{context.request_id.hex}", "created": int(time()), "model": entry.id}
    if is_stream:
        await _stream(exchange, run, fields, {**head, "object": "chat.completion.chunk"})
        return
    text = await run.answer(run.prepare(fields))
    if run.door.cost_nano is not None:
        exchange.add_header(b"x-gateway-cost", usd_text(run.door.cost_nano).encode())
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": text, "refusal": None},
        "logprobs": None,
        "finish_reason": _finish_reason(run),
    }
    answer = {**head, "object": "chat.completion", "choices": [choice], "usage": _usage(run.door.tokens)}
    await exchange.send_body(200, dumps(answer))


async def _stream(exchange: Exchange, run: AgentRun, fields: dict[str, Any], head: dict[str, Any]) -> None:
    def chunk(delta: dict[str, Any], finish_reason: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        return sse.event(dumps({**head, "choices": [choice]}))

    prepared = run.prepare(fields)
    exchange.expect_stream()
    is_first = True
    async for piece in run.pieces(prepared):
        if is_first:
            is_first = False
            await exchange.start_stream()
            await exchange.send_piece(chunk({"role": "assistant", "content": ""}))
        await exchange.send_piece(chunk({piece.member: piece.text}))
    await exchange.start_stream()
    last = chunk({}, _finish_reason(run))
    if _wants_usage(fields):
        last += sse.event(dumps({**head, "choices": [], "usage": _usage(run.door.tokens)}))
    await exchange.end_stream(last + sse.DONE)


def _wants_usage(fields: dict[str, Any]) -> bool:
    options = fields.get("stream_options")
    if options is not None and not isinstance(options, dict):
        raise InvalidRequest("'stream_options' must be an object.", param="stream_options")
    return bool(options and options.get("include_usage"))


def _finish_reason(run: AgentRun) -> str:
    reason = run.door.finish_reason
    return reason if reason in ("length", "content_filter") else "stop"


def _usage(tokens: TokenUsage) -> dict[str, Any]:
    """The tokens of all calls of the run; input counts the conversation once for each turn."""
    return {
        "prompt_tokens": tokens.input,
        "completion_tokens": tokens.output,
        "total_tokens": tokens.input + tokens.output,
        "prompt_tokens_details": {"cached_tokens": tokens.cached_input, "audio_tokens": tokens.input_audio},
        "completion_tokens_details": {
            "reasoning_tokens": tokens.reasoning,
            "audio_tokens": tokens.output_audio,
        },
    }
