"""A fake of Anthropic's Messages API: it checks what it gets, and answers from the fields that it got.

Written from Anthropic's API reference (messages, streaming, errors, models), without a line of the gateway's.
"""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Iterator
from typing import Any, get_type_hints

from anthropic.types.message_create_params import MessageCreateParamsStreaming
from pydantic import TypeAdapter, ValidationError

from tests.fakes.behaviours import stream
from tests.fakes.exchange import Exchange, Gate, Step
from tests.fakes.http_server import HttpServer
from tests.providers.mind import Asked, Json, Said, think

PARAMETERS: TypeAdapter[Any] = TypeAdapter(MessageCreateParamsStreaming)
SAMPLING = {"temperature", "top_p", "top_k"}
# Questions that bring the API to its knees: before its answer, and in the middle of it.
OVERLOAD, BREAK = "overload yourself", "break off"
# One that it never answers to the end.
LINGER = "take your time"
SIGNATURE = "c2lnbmF0dXJl"
STOPS = {
    "end": "end_turn",
    "length": "max_tokens",
    "stop": "stop_sequence",
    "calls": "tool_use",
    "refused": "refusal",
}
MODELS = tuple(f"claude-fake-{number}" for number in range(1, 4))


class Refused(Exception):
    """What the API answers with a 400."""


class FakeAnthropic(HttpServer):
    """The API on the loopback address. An answer that breaks off waits at the `gate` before it does."""

    def __init__(self) -> None:
        super().__init__(self._behave)
        self.gate = Gate()

    @property
    def url(self) -> str:
        """Scheme, host and port."""
        return f"http://127.0.0.1:{self.port}"

    async def _behave(self, exchange: Exchange) -> None:
        request = exchange.request
        if not request.header("x-api-key") and not request.header("authorization"):
            await respond(exchange, 401, error("authentication_error", "x-api-key header is required"))
        elif request.path == "/v1/models":
            await respond(exchange, 200, models_page(request.target))
        else:
            await self._answer(exchange)

    async def _answer(self, exchange: Exchange) -> None:
        version = exchange.request.header("anthropic-version") or ""
        await converse(exchange, exchange.request.json, version, gate=self.gate)


async def converse(exchange: Exchange, wire: Json, version: str, *, gate: Gate) -> None:
    """Answer a message, if the API would take it."""
    try:
        wire = checked(wire, version)
    except Refused as refused:
        await respond(exchange, 400, error("invalid_request_error", str(refused)))
        return
    question = asked(wire)
    said = think(question)
    if OVERLOAD in question.text:
        await respond(exchange, 529, error("overloaded_error", "Overloaded"))
        return
    if not wire.get("stream"):
        await respond(exchange, 200, message(wire, said))
        return
    sent: list[Step] = [b"".join(map(sse, events(wire, said)))]
    if BREAK in question.text:
        begun = b"".join(map(sse, list(events(wire, said))[:-3]))
        sent = [begun, gate, sse(error("overloaded_error", "Overloaded"))]
    elif LINGER in question.text:
        sent = [b"".join(map(sse, list(events(wire, said))[:-3])), Gate()]
    await stream(sent)(exchange)


async def respond(exchange: Exchange, status: int, content: Json) -> None:
    await exchange.respond(status, json.dumps(content).encode(), content_type="application/json")


def error(kind: str, text: str) -> Json:
    """An error's body."""
    return {"type": "error", "error": {"type": kind, "message": text}, "request_id": "req_fake"}


def models_page(target: str) -> Json:
    """One model a page."""
    after = target.partition("after_id=")[2].partition("&")[0]
    index = MODELS.index(after) + 1 if after else 0
    name = MODELS[index]
    item = {
        "type": "model",
        "id": name,
        "display_name": name.title(),
        "created_at": "2026-10-07T00:00:00Z",
        "lifecycle": "active",
        "max_input_tokens": 1_000_000,
        "max_tokens": 128_000,
    }
    return {"data": [item], "has_more": index + 1 < len(MODELS), "first_id": name, "last_id": name}


def checked(wire: Json, version: str) -> Json:
    """The request, if the API would take it."""
    known = set(get_type_hints(MessageCreateParamsStreaming))
    if version not in ("2023-06-01", "2026-10-21"):
        raise Refused("anthropic-version: header is required")
    for name in wire.keys() - known - (SAMPLING if version == "2023-06-01" else set()):
        raise Refused(f"{name}: Extra inputs are not permitted")
    try:
        PARAMETERS.validate_python({"stream": True, **wire})
    except ValidationError as invalid:
        first = invalid.errors()[0]
        raise Refused(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    _check_turns(wire)
    if wire["max_tokens"] > 128_000:
        raise Refused(f"max_tokens: {wire['max_tokens']} > 128000, which is the maximum allowed number")
    return wire


def _check_turns(wire: Json) -> None:
    messages = wire["messages"]
    if messages[0]["role"] != "user":
        raise Refused("messages: first message must use the user role")
    waiting: set[str] = set()
    for number, turn in enumerate(messages):
        content = turn["content"]
        results = {block["tool_use_id"] for block in content if block["type"] == "tool_result"}
        if results != waiting or [b["type"] for b in content[: len(results)]] != ["tool_result"] * len(
            results
        ):
            raise Refused(f"messages.{number}: `tool_use` ids were found without `tool_result` blocks")
        if number and messages[number - 1]["role"] == turn["role"]:
            raise Refused("messages: roles must alternate")
        if any(block["type"] == "text" and not block["text"].strip() for block in content):
            raise Refused(f"messages.{number}.content: text content blocks must contain non-whitespace text")
        waiting = {block["id"] for block in content if block["type"] == "tool_use"}
    if waiting and not wire.get("tools"):
        raise Refused("tools: Requests which include `tool_use` blocks must define tools")


def asked(wire: Json) -> Asked:
    """What the request asks."""
    names = {
        block["id"]: block["name"]
        for turn in wire["messages"]
        for block in turn["content"]
        if block["type"] == "tool_use"
    }
    last = wire["messages"][-1]["content"]
    choice = wire.get("tool_choice", {"type": "auto"})
    config = wire.get("output_config") or {}
    thinking = wire.get("thinking") or {"type": "disabled"}
    effort = (
        config.get("effort", "high") if thinking["type"] == "adaptive" else str(thinking.get("budget_tokens"))
    )
    # A model that is held to one tool gives what that tool takes.
    forced = next((t for t in wire.get("tools", ()) if t["name"] == choice.get("name")), None)
    is_answer = forced is not None and forced["name"] != "get_weather"
    return Asked(
        text=_texts(last)[-1] if _texts(last) else "",
        system=" ".join(_texts(wire.get("system", []))),
        history=tuple(text for turn in wire["messages"][:-1] for text in _texts(turn["content"])),
        results=tuple(
            (names[block["tool_use_id"]], _result(block)) for block in last if block["type"] == "tool_result"
        ),
        media=tuple(_media(block) for block in last if block["type"] in ("image", "document")),
        tools={} if is_answer else {tool["name"]: tool["input_schema"] for tool in wire.get("tools", ())},
        choice=choice.get("name", choice["type"]),
        is_parallel=not choice.get("disable_parallel_tool_use", False),
        schema=forced["input_schema"] if is_answer and forced else (config.get("format") or {}).get("schema"),
        effort="" if thinking["type"] == "disabled" else effort,
        stop=tuple(wire.get("stop_sequences", ())),
        max_tokens=wire["max_tokens"],
        has_cache_marker="cache_control" in json.dumps(wire),
    )


def _texts(content: Any) -> list[str]:
    return [block["text"] for block in content if block["type"] == "text"]


def _result(block: Json) -> str:
    content = block.get("content", "")
    return content if isinstance(content, str) else " ".join(_texts(content))


def _media(block: Json) -> str:
    source = block["source"]
    if source["type"] == "url":
        return f"{block['type']} at {source['url']}"
    data = b64decode(source["data"]) if source["type"] == "base64" else source["data"].encode()
    return f"{source['media_type']} of {len(data)} bytes"


def blocks(wire: Json, said: Said) -> list[Json]:
    """The content of the answer."""
    made: list[Json] = []
    if said.reasoning:
        made.append({"type": "thinking", "thinking": said.reasoning, "signature": SIGNATURE})
    name = wire.get("tool_choice", {}).get("name")
    if name and name != "get_weather":
        made.append({"type": "tool_use", "id": "toolu_answer", "name": name, "input": json.loads(said.text)})
    elif said.text:
        made.append({"type": "text", "text": said.text})
    for number, (called, arguments) in enumerate(said.calls):
        made.append({"type": "tool_use", "id": f"toolu_{number}", "name": called, "input": arguments})
    return made


def usage(said: Said) -> Json:
    """The `usage` of the answer."""
    return {
        "input_tokens": said.input - said.cached,
        "cache_read_input_tokens": said.cached,
        "cache_creation_input_tokens": 0,
        "output_tokens": said.output,
        "output_tokens_details": {"thinking_tokens": said.thought},
        "service_tier": "standard",
    }


def stopped(said: Said, content: list[Json]) -> Json:
    """Why the answer ended."""
    is_call = any(block["type"] == "tool_use" for block in content)
    details = {"type": "refusal", "category": "general_harms", "explanation": "It is harmful."}
    return {
        "stop_reason": "tool_use" if is_call else STOPS[said.end],
        "stop_sequence": said.stop or None,
        "stop_details": details if said.end == "refused" else None,
    }


def message(wire: Json, said: Said) -> Json:
    """A whole answer."""
    content = blocks(wire, said)
    return {
        "id": "msg_fake",
        "type": "message",
        "role": "assistant",
        "model": wire["model"],
        "content": content,
        **stopped(said, content),
        "usage": usage(said),
    }


def sse(event: Json) -> bytes:
    """An event as it is sent."""
    return f"event: {event['type']}\ndata: {json.dumps(event, ensure_ascii=False)}\n\n".encode()


def events(wire: Json, said: Said) -> Iterator[Json]:
    """The answer as a stream."""
    content = blocks(wire, said)
    head = {
        **message(wire, said),
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "stop_details": None,
    }
    yield {"type": "message_start", "message": {**head, "usage": {**usage(said), "output_tokens": 1}}}
    yield {"type": "ping"}
    for index, block in enumerate(content):
        yield from _block_events(index, block)
    delta = stopped(said, content)
    yield {"type": "message_delta", "delta": delta, "usage": {"output_tokens": said.output, **_details(said)}}
    yield {"type": "message_stop"}


def _details(said: Said) -> Json:
    return {"output_tokens_details": {"thinking_tokens": said.thought}}


def _block_events(index: int, block: Json) -> Iterator[Json]:
    kind = block["type"]
    start: Json
    if kind == "text":
        start, field, pieces = {"type": "text", "text": ""}, "text", _pieces(block["text"])
        deltas = [{"type": "text_delta", field: piece} for piece in pieces]
    elif kind == "thinking":
        start = {"type": "thinking", "thinking": "", "signature": ""}
        deltas = [{"type": "thinking_delta", "thinking": piece} for piece in _pieces(block["thinking"])]
        deltas.append({"type": "signature_delta", "signature": block["signature"]})
    else:
        start = {**block, "input": {}}
        text = json.dumps(block["input"], ensure_ascii=False)
        deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in ["", *_pieces(text)]]
    yield {"type": "content_block_start", "index": index, "content_block": start}
    for delta in deltas:
        yield {"type": "content_block_delta", "index": index, "delta": delta}
    yield {"type": "content_block_stop", "index": index}


def _pieces(text: str) -> list[str]:
    return [text[start : start + 5] for start in range(0, len(text), 5)]
