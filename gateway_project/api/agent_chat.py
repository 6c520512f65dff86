"""Chat completions by an agent: the run's answer as OpenAI's objects, plain or as a stream."""

from __future__ import annotations

from time import time
from typing import TYPE_CHECKING, Any

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

if TYPE_CHECKING:
    from agents_app.sdk.runner import Outcome
    from agents_app.sdk.streaming import Piece


async def answer_by_agent(exchange: Exchange, body: bytes, entry: AgentEntry, *, is_stream: bool) -> None:
    """Run the agent on a chat request and answer with what it says."""
    context = exchange.caller()
    ticket = reserve(context.principal, entry.id)
    fields = _fields(body)
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
    prepared = run.prepare(fields)
    text = await run.answer(prepared)
    if run.door.cost_nano is not None:
        exchange.add_header(b"x-gateway-cost", usd_text(run.door.cost_nano).encode())
    outcome = prepared.outcome
    choice = {
        "index": 0,
        "message": _message(text, outcome),
        "logprobs": None,
        "finish_reason": outcome.finish_reason,
    }
    answer = {**head, "object": "chat.completion", "choices": [choice], "usage": _usage(run.door.tokens)}
    if outcome.steps:
        answer["gateway"] = {"steps": outcome.steps}
    await exchange.send_body(200, dumps(answer))


def _fields(body: bytes) -> dict[str, Any]:
    """The request's members; that it is an object is known, but not that its numbers fit."""
    try:
        fields: dict[str, Any] = loads(body)
    except ValueError as error:
        raise InvalidRequest("The body holds a number that is out of range.") from error
    return fields


def _message(text: str, outcome: Outcome) -> dict[str, Any]:
    is_empty = not text and (outcome.tool_calls or outcome.refusal)
    message: dict[str, Any] = {
        "role": "assistant",
        "content": None if is_empty else text,
        "refusal": outcome.refusal,
    }
    if outcome.reasoning:
        message["reasoning_content"] = outcome.reasoning
    if outcome.tool_calls:
        message["tool_calls"] = outcome.tool_calls
    return message


async def _stream(exchange: Exchange, run: AgentRun, fields: dict[str, Any], head: dict[str, Any]) -> None:
    def chunk(delta: dict[str, Any], finish_reason: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        return sse.event(dumps({**head, "choices": [choice]}))

    prepared = run.prepare(fields)
    exchange.expect_stream()
    is_first = True

    async def send(piece: Piece) -> None:
        nonlocal is_first
        if is_first:
            is_first = False
            await exchange.start_stream()
            await exchange.send_piece(chunk({"role": "assistant", "content": ""}))
        if piece.delta:
            await exchange.send_piece(chunk(piece.delta))
        if piece.step is not None:
            # Clients want `choices` in each chunk; it may be empty.
            step = {**head, "choices": [], "gateway": {"steps": [piece.step]}}
            await exchange.send_piece(sse.event(dumps(step)))

    await run.stream(prepared, send)
    await exchange.start_stream()
    if is_first:
        await exchange.send_piece(chunk({"role": "assistant", "content": ""}))
    last = chunk({}, prepared.outcome.finish_reason)
    if _wants_usage(fields):
        last += sse.event(dumps({**head, "choices": [], "usage": _usage(run.door.tokens)}))
    await exchange.end_stream(last + sse.DONE)


def _wants_usage(fields: dict[str, Any]) -> bool:
    """Whether the stream ends with a chunk of usage; the run's parameters were checked before."""
    return bool((fields.get("stream_options") or {}).get("include_usage"))


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
