"""Answers of the fake vendor for runs of agents, plain or as a stream, and what clients make of streams."""

from __future__ import annotations

from typing import Any, NamedTuple

from openai.types.chat import ChatCompletionChunk

from tests.fakes import bodies
from tests.fakes.behaviours import Behaviour, stream
from tests.fakes.exchange import Exchange

_FRAGMENT = 5


class Called(NamedTuple):
    """One tool call of an answer."""

    id: str
    name: str
    arguments: str = "{}"


def says(text: str, *calls: Called, finish: str | None = None, **message: Any) -> Behaviour:
    """An answer with a text, tool calls, and other members of a message such as `refusal`."""
    ends = finish or ("tool_calls" if calls else "stop")

    async def behave(exchange: Exchange) -> None:
        request = exchange.request.json
        model = str(request["model"])
        if not request.get("stream"):
            await exchange.respond(200, bodies.encode(_plain(text, calls, ends, message, model)))
            return
        await stream(bodies.sse_events(_chunks(text, calls, ends, message, model)))(exchange)

    return behave


def calls(*made: Called) -> Behaviour:
    """An answer of tool calls only."""
    return says("", *made)


def _plain(
    text: str, made: tuple[Called, ...], finish: str, message: dict[str, Any], model: str
) -> dict[str, Any]:
    answer = bodies.chat_completion(text, model=model)
    full = answer["choices"][0]["message"] | {"content": text or None} | message
    if made:
        full["tool_calls"] = [
            {"id": one.id, "type": "function", "function": {"name": one.name, "arguments": one.arguments}}
            for one in made
        ]
    answer["choices"][0] |= {"message": full, "finish_reason": finish}
    return answer


def _chunks(
    text: str, made: tuple[Called, ...], finish: str, message: dict[str, Any], model: str
) -> list[dict[str, Any]]:
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
    deltas += [{name: value} for name, value in message.items()]
    words = text.split(" ")
    deltas += [{"content": f" {word}" if number else word} for number, word in enumerate(words) if text]
    for index, one in enumerate(made):
        head = {"id": one.id, "type": "function", "function": {"name": one.name, "arguments": ""}}
        deltas.append({"tool_calls": [{"index": index, **head}]})
        for start in range(0, len(one.arguments), _FRAGMENT):
            part = one.arguments[start : start + _FRAGMENT]
            deltas.append({"tool_calls": [{"index": index, "function": {"arguments": part}}]})
    chunks = [bodies.chat_chunk(delta, model=model) for delta in deltas]
    chunks.append(bodies.chat_chunk({}, model=model, finish=finish))
    return [*chunks, bodies.chat_chunk(None, model=model, usage=bodies.USAGE)]


def text_of(chunks: list[ChatCompletionChunk]) -> str:
    """The text of a stream."""
    return "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)


def finish_of(chunks: list[ChatCompletionChunk]) -> list[str]:
    """The finish reasons of a stream: one, if all is well."""
    reasons = [choice.finish_reason for chunk in chunks for choice in chunk.choices]
    return [reason for reason in reasons if reason is not None]
