"""A fake of Amazon Bedrock: judges what it gets by botocore, and answers from the fields that it received."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from botocore.credentials import Credentials

from tests.fakes.exchange import Exchange
from tests.providers.bedrock_wire import check_signature, checked, event, exception
from tests.providers.mind import Asked, Json, Said, instance, think

KEYS = Credentials(
    "AKIDBEDROCKTESTS0001", "bedrock-secret/with+signs0123456789abcdef", "session/token+of==tests"
)
BEARER = "ABSKQmVkcm9ja0FQSUtleS10ZXN0cw=="
MODELS = ("amazon.nova-lite-v1:0", "amazon.titan-embed-text-v2:0")
PROFILES = ("eu.amazon.nova-lite-v1:0", "global.cohere.embed-v4:0")
LISTS = {
    "/foundation-models": {
        "modelSummaries": [
            {"modelId": MODELS[0], "modelName": "Nova Lite", "outputModalities": ["TEXT"]},
            {"modelId": MODELS[1], "outputModalities": ["EMBEDDING"]},
        ]
    },
    "/inference-profiles?maxResults=1000": {
        "inferenceProfileSummaries": [{"inferenceProfileId": PROFILES[0]}],
        "nextToken": "more/",
    },
    "/inference-profiles?maxResults=1000&nextToken=more%2F": {
        "inferenceProfileSummaries": [{"inferenceProfileId": PROFILES[1]}]
    },
}
# What a prompt must hold for Bedrock to fail: status, kind and message.
FAULTS = {
    "too much": (429, "ThrottlingException", "Too many tokens, please wait before trying again."),
    "too long": (400, "ValidationException", "Input is too long for requested model."),
}
_ENDS = {
    "end": "end_turn",
    "length": "max_tokens",
    "stop": "stop_sequence",
    "calls": "tool_use",
    "refused": "content_filtered",
}
_PIECE = 5


async def _fail(exchange: Exchange, fault: tuple[int, str, str]) -> None:
    """A refusal; a stream has begun by then."""
    status, kind, message = fault
    text = json.dumps({"message": message}).encode()
    if exchange.request.path.endswith("/converse"):
        await exchange.respond(status, text, headers=[("x-amzn-ErrorType", kind)])
        return
    head = [("Content-Type", "application/vnd.amazon.eventstream"), ("Transfer-Encoding", "chunked")]
    await exchange.head(200, head)
    await exchange.chunk(_event("messageStart", {"role": "assistant"}))
    await exchange.chunk(exception(kind[:1].lower() + kind[1:], text))
    await exchange.chunk(b"")


async def respond(exchange: Exchange) -> None:
    """The responder of an HttpServer; a wrong request fails the test."""
    request = exchange.request
    headers = {name.lower(): value for name, value in request.headers}
    url = f"http://{headers['host']}{request.target}"
    if headers["authorization"].startswith("Bearer "):
        assert headers["authorization"] == f"Bearer {BEARER}"
    else:
        check_signature(request.method, url, headers, request.body, KEYS)
    if request.method == "GET":
        await exchange.respond(200, json.dumps(LISTS[request.target]).encode())
        return
    body = json.loads(request.body)
    params = checked(request.path, body)
    text = asked_of(params).text
    if fault := next((fault for word, fault in FAULTS.items() if word in text), None):
        await _fail(exchange, fault)
        return
    said = answer_of(params)
    if request.path.endswith("/converse"):
        await exchange.respond(200, json.dumps(converse(said)).encode())
        return
    head = [("Content-Type", "application/vnd.amazon.eventstream"), ("Transfer-Encoding", "chunked")]
    await exchange.head(200, head)
    for piece in stream(said):
        await exchange.chunk(piece)
    await exchange.chunk(b"")


def answer_of(params: Json) -> Said:
    """What the model answers to a request in boto3's types."""
    asked = asked_of(params)
    said = think(asked)
    calls = tuple((name, _input(asked.tools[name], given)) for name, given in said.calls)
    return Said(**{**{name: getattr(said, name) for name in Said.__dataclass_fields__}, "calls": calls})


def _input(schema: Json, given: Json) -> Json:
    """What a tool is called with: a city where it wants one, else the simplest that its schema allows."""
    properties = schema.get("properties", {})
    return given if list(properties) == ["city"] else dict(instance(schema, schema))


def asked_of(params: Json) -> Asked:
    """A request as the model understands it."""
    names: dict[str, str] = {}
    texts: list[str] = []
    media: list[str] = []
    results: list[tuple[str, str]] = []
    has_marker = "cachePoint" in json.dumps(params, default=str)
    for message in params["messages"]:
        said, media, results = [], [], []
        for block in message["content"]:
            if "text" in block:
                said.append(block["text"])
            elif use := block.get("toolUse"):
                names[use["toolUseId"]] = use["name"]
            elif result := block.get("toolResult"):
                texts_of = [part["text"] for part in result["content"]]
                results.append((names[result["toolUseId"]], "".join(texts_of)))
            elif image := block.get("image"):
                media.append(f"image/{image['format']} of {len(image['source']['bytes'])} bytes")
            elif document := block.get("document"):
                media.append(f"{document['name']}.{document['format']} of {len(document['source']['bytes'])}")
        texts.append(" ".join(said))
    config = params.get("toolConfig", {})
    more = params.get("additionalModelRequestFields", {})
    limits = params.get("inferenceConfig", {})
    return Asked(
        text=texts[-1],
        system=" ".join(block["text"] for block in params.get("system", ()) if "text" in block),
        history=tuple(text for text in texts[:-1] if text),
        results=tuple(results),
        media=tuple(media),
        tools={
            tool["toolSpec"]["name"]: tool["toolSpec"]["inputSchema"]["json"]
            for tool in config.get("tools", ())
            if "toolSpec" in tool
        },
        choice=_choice(config.get("toolChoice", {}), more.get("tool_choice", {})),
        is_parallel=not more.get("tool_choice", {}).get("disable_parallel_tool_use", False),
        schema=_schema(params),
        effort=_effort(params, more),
        stop=tuple(limits.get("stopSequences", ())),
        max_tokens=limits.get("maxTokens"),
        has_cache_marker=has_marker,
    )


def _choice(choice: Json, own: Json) -> str:
    if own.get("type", "auto") != "auto":
        return str(own.get("name", own["type"]))
    if "tool" in choice:
        return str(choice["tool"]["name"])
    return "any" if "any" in choice else "auto"


def _schema(params: Json) -> Any:
    form = params.get("outputConfig", {}).get("textFormat")
    return None if form is None else json.loads(form["structure"]["jsonSchema"]["schema"])


def _effort(params: Json, more: Json) -> str:
    thinking = more.get("thinking", {"type": "disabled"})
    if thinking["type"] == "disabled":
        return ""
    return str(thinking.get("budget_tokens") or params["outputConfig"]["effort"])


def blocks_of(said: Said) -> list[Json]:
    """The blocks of an answer."""
    blocks: list[Json] = []
    if said.reasoning:
        text = {"text": said.reasoning, "signature": f"signed {said.reasoning}"}
        blocks.append({"reasoningContent": {"reasoningText": text}})
    if said.text:
        blocks.append({"text": said.text})
    for number, (name, given) in enumerate(said.calls):
        blocks.append({"toolUse": {"toolUseId": f"tooluse_{number}", "name": name, "input": given}})
    return blocks


def usage_of(said: Said) -> Json:
    """Bedrock's counts: those of the cache beside the others."""
    plain = said.input - said.cached
    return {
        "inputTokens": plain,
        "outputTokens": said.output,
        "totalTokens": said.input + said.output,
        "cacheReadInputTokens": said.cached,
        "cacheWriteInputTokens": 0,
    }


def converse(said: Said) -> Json:
    """Converse's answer."""
    return {
        "output": {"message": {"role": "assistant", "content": blocks_of(said)}},
        "stopReason": _ENDS[said.end],
        "usage": usage_of(said),
        "metrics": {"latencyMs": 12},
    }


def stream(said: Said) -> Iterator[bytes]:
    """ConverseStream's events."""
    yield _event("messageStart", {"role": "assistant"})
    for index, block in enumerate(blocks_of(said)):
        if use := block.get("toolUse"):
            start = {"toolUse": {"toolUseId": use["toolUseId"], "name": use["name"]}}
            yield _event("contentBlockStart", {"start": start, "contentBlockIndex": index})
        for delta in _deltas(block):
            yield _event("contentBlockDelta", {"delta": delta, "contentBlockIndex": index})
        yield _event("contentBlockStop", {"contentBlockIndex": index})
    yield _event("messageStop", {"stopReason": _ENDS[said.end]})
    yield _event("metadata", {"usage": usage_of(said), "metrics": {"latencyMs": 12}})


def _deltas(block: Json) -> Iterator[Json]:
    if "text" in block:
        yield from ({"text": piece} for piece in _pieces(block["text"]))
    elif use := block.get("toolUse"):
        text = json.dumps(use["input"], ensure_ascii=False)
        yield from ({"toolUse": {"input": piece}} for piece in _pieces(text))
    else:
        thought = block["reasoningContent"]["reasoningText"]
        yield from ({"reasoningContent": {"text": piece}} for piece in _pieces(thought["text"]))
        yield {"reasoningContent": {"signature": thought["signature"]}}


def _pieces(text: str) -> Iterator[str]:
    return (text[at : at + _PIECE] for at in range(0, len(text), _PIECE))


def _event(kind: str, payload: Json) -> bytes:
    # Bedrock pads its events to hide how long the pieces are.
    return event(kind, json.dumps({**payload, "p": "abcdefgh"}, ensure_ascii=False).encode())
