"""Chat completions by an agent: the run's answer as OpenAI's objects, plain or as a stream."""

from __future__ import annotations

from time import time
from typing import TYPE_CHECKING, Any, NamedTuple

from agents_app.entry import AgentEntry
from agents_app.pieces import Outcome, Piece
from agents_app.services.runs import AgentRun
from gateway_project.api.exchange import Exchange, header_value
from gateway_project.core import sse
from gateway_project.core.codec import RawFields, dumps, loads
from gateway_project.core.errors import InvalidRequest
from gateway_project.core.money import usd_text
from gateway_project.lifecycle import lifecycle
from security_app.services.reservation import Ticket, reserve
from usage_app.entry import TokenUsage

if TYPE_CHECKING:
    from agents_app.sdk.runner import Run
    from agents_app.services.isolated_runs import IsolatedRun


class AgentRequest(NamedTuple):
    """A chat request for an agent: `model` is the id that was asked for, which answers repeat.

    `wants_usage` is of streams; plain answers always tell it.
    """

    entry: AgentEntry
    model: str
    fields: RawFields
    end_user: str
    is_stream: bool
    wants_usage: bool


async def answer_by_agent(exchange: Exchange, request: AgentRequest) -> None:
    """Run the agent on a chat request and answer with what it says."""
    context, entry = exchange.caller(), request.entry
    ticket = await reserve(context, context.principal, entry.id, is_agent=True)
    try:
        exchange.add_lines(ticket.header_lines())
        await _run(exchange, request, ticket)
    finally:
        # The run has settled it, unless it never began.
        ticket.release()


async def _run(exchange: Exchange, request: AgentRequest, ticket: Ticket) -> None:
    context, entry = exchange.caller(), request.entry
    fields = _decoded(request.fields)
    run = AgentRun(
        context,
        ticket,
        entry,
        clients=lifecycle.clients,
        ticker=lifecycle.ticker,
        is_stream=request.is_stream,
    )
    run.end_user = request.end_user
    exchange.add_header(b"x-gateway-model", header_value(entry.id))
    head = {"id": f"chatcmpl-{context.request_id.hex}", "created": int(time()), "model": request.model}
    prepared = run.prepare(fields)
    if request.is_stream:
        head["object"] = "chat.completion.chunk"
        await _stream(exchange, run, prepared, head, wants_usage=request.wants_usage)
        return
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


def _decoded(fields: RawFields) -> dict[str, Any]:
    """The request's members; that they are JSON is known, but not that their numbers and texts fit."""
    decoded: dict[str, Any] = {}
    for name, raw in fields.items():
        try:
            decoded[name] = loads(memoryview(raw))
        except ValueError as error:
            message = f"'{name}' holds a number that is out of range, or half of a character."
            raise InvalidRequest(message, param=name) from error
    return decoded


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


async def _stream(
    exchange: Exchange, run: AgentRun, prepared: Run | IsolatedRun, head: dict[str, Any], *, wants_usage: bool
) -> None:
    def chunk(delta: dict[str, Any], finish_reason: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        return sse.event(dumps({**head, "choices": [choice]}))

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
    if wants_usage:
        last += sse.event(dumps({**head, "choices": [], "usage": _usage(run.door.tokens)}))
    await exchange.end_stream(last + sse.DONE)


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
