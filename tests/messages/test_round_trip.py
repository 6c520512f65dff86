"""A request and an answer of Anthropic's, to OpenAI's form and back, lose nothing that has a meaning."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Iterator
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway_project.api.anthropic.answers import read_answer
from gateway_project.api.anthropic.requests import MessageRequest, read_request
from gateway_project.api.anthropic.streams import MessageStream
from gateway_project.core.codec import dumps, loads
from tests.messages.reading import message_of
from upstreams_app.providers.anthropic.answers import read_answer as read_vendors_answer
from upstreams_app.providers.anthropic.requests import wire_call
from upstreams_app.providers.anthropic.streams import StreamReader

Json = dict[str, Any]
MODEL = "claude-opus-5"
EXAMPLES = 50

words = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=20).map(
    lambda text: f"w{text}w"
)
names = st.from_regex(r"[a-zA-Z][a-zA-Z0-9_-]{0,12}", fullmatch=True)
markers = st.sampled_from(
    [{}, {"cache_control": {"type": "ephemeral"}}, {"cache_control": {"type": "ephemeral", "ttl": "1h"}}]
)
inputs = st.dictionaries(names, words | st.integers(-9, 9) | st.booleans() | st.none(), max_size=3)
thoughts = st.one_of(
    st.builds(lambda text: {"type": "thinking", "thinking": text, "signature": "c2ln"}, words),
    st.builds(lambda text: {"type": "redacted_thinking", "data": text}, words),
)
texts = st.builds(lambda text, marker: {"type": "text", "text": text, **marker}, words, markers)


def base64(data: bytes) -> str:
    return b64encode(data).decode()


sources = st.one_of(
    st.builds(
        lambda data: {"type": "base64", "media_type": "image/png", "data": base64(data)},
        st.binary(min_size=1, max_size=9),
    ),
    st.builds(lambda name: {"type": "url", "url": f"https://example.com/{name}"}, names),
)
images = st.builds(lambda source, marker: {"type": "image", "source": source, **marker}, sources, markers)
document_sources = st.one_of(
    st.builds(
        lambda data: {"type": "base64", "media_type": "application/pdf", "data": base64(data)},
        st.binary(min_size=1, max_size=9),
    ),
    st.builds(lambda text: {"type": "text", "media_type": "text/plain", "data": text}, words),
    st.builds(lambda name: {"type": "url", "url": f"https://example.com/{name}.pdf"}, names),
)
documents = st.builds(
    lambda source, title, marker: {"type": "document", "source": source, **title, **marker},
    document_sources,
    st.sampled_from([{}, {"title": "A title"}]),
    markers,
)
user_blocks = st.lists(texts | images | documents, min_size=1, max_size=3)
calls = st.lists(st.tuples(names, inputs, markers), min_size=1, max_size=3)


@st.composite
def results(draw: st.DrawFn, call_ids: list[str]) -> list[Json]:
    """A result for each call."""
    made: list[Json] = []
    for call_id in call_ids:
        block: Json = {"type": "tool_result", "tool_use_id": call_id, **draw(markers)}
        if draw(st.booleans()):
            block["is_error"] = True
        plain = draw(st.lists(texts | images, max_size=2))
        bare = [{name: part[name] for name in part if name != "cache_control"} for part in plain]
        if bare or "cache_control" in block:
            only_text = len(bare) < 2 and all(part["type"] == "text" for part in bare)
            block["content"] = (bare[0]["text"] if bare else "x") if only_text else bare
        made.append(block)
    return made


@st.composite
def conversations(draw: st.DrawFn) -> list[Json]:
    """Turns as Anthropic's API wants them: in turn, each call with its result."""
    turns: list[Json] = [{"role": "user", "content": draw(user_blocks)}]
    for number in range(draw(st.integers(0, 3))):
        content = draw(st.lists(thoughts, max_size=2)) + draw(st.lists(texts, max_size=2))
        made = draw(calls) if draw(st.booleans()) or not content else []
        ids = [f"toolu_{number}_{index}" for index in range(len(made))]
        for call_id, (name, value, marker) in zip(ids, made, strict=True):
            content.append({"type": "tool_use", "id": call_id, "name": name, "input": value, **marker})
            content += draw(st.lists(thoughts, max_size=1)) if call_id != ids[-1] else []
        turns.append({"role": "assistant", "content": content})
        follow = draw(results(ids)) + (draw(user_blocks) if not ids or draw(st.booleans()) else [])
        turns.append({"role": "user", "content": follow})
    return turns


tools = st.lists(
    st.builds(
        lambda name, text, marker: {
            "name": name,
            "description": text,
            "input_schema": {"type": "object", "properties": {"a": {"type": "string"}}},
            **marker,
        },
        names,
        words,
        markers,
    ),
    min_size=1,
    max_size=3,
    unique_by=lambda tool: tool["name"],
)
options = st.fixed_dictionaries(
    {},
    optional={
        "system": st.lists(texts, min_size=1, max_size=2),
        "stop_sequences": st.lists(words, min_size=1, max_size=3),
        "thinking": st.sampled_from([{"type": "adaptive"}, {"type": "enabled", "budget_tokens": 2000}]),
        "output_config": st.sampled_from(
            [{"effort": effort} for effort in ("low", "medium", "xhigh", "max")]
        ),
        "metadata": st.builds(lambda name: {"user_id": name}, names),
        "service_tier": st.just("standard_only"),
        "cache_control": st.just({"type": "ephemeral"}),
        "inference_geo": st.just("us"),
        "speed": st.just("fast"),
    },
)
choices = st.sampled_from([{"type": "auto", "disable_parallel_tool_use": True}, {"type": "none"}])


@settings(max_examples=EXAMPLES, deadline=None)
@given(conversations(), tools, options, st.none() | choices)
def test_a_request_reaches_claude_as_it_was_written(
    turns: list[Json], tools: list[Json], options: Json, choice: Json | None
) -> None:
    chosen = {} if choice is None else {"tool_choice": choice}
    asked: Json = {"model": MODEL, "max_tokens": 5000, "messages": turns, "tools": tools, **options, **chosen}

    fields = loads(dumps(read_request(asked).fields))
    sent = wire_call(fields, model=MODEL, options={}).body

    # An effort alone has the upstream's model think as it does by itself.
    if "thinking" not in asked:
        sent.pop("thinking", None)
    assert sent == asked


def answers(content: list[Json], reason: str) -> Json:
    """A message of the vendor's."""
    usage = {
        "input_tokens": 5,
        "cache_read_input_tokens": 7,
        "cache_creation_input_tokens": 2,
        "output_tokens": 9,
        "output_tokens_details": {"thinking_tokens": 3},
    }
    head = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": content}
    return {
        **head,
        "stop_reason": reason,
        "stop_sequence": "END" if reason == "stop_sequence" else None,
        "usage": usage,
    }


@st.composite
def messages(draw: st.DrawFn) -> Json:
    """An answer as Anthropic gives it: thoughts, a text, calls with thoughts between them."""
    content: list[Json] = draw(st.lists(thoughts, max_size=2))
    if draw(st.booleans()):
        content.append({"type": "text", "text": draw(words)})
    made = draw(calls) if draw(st.booleans()) or not content else []
    for number, (name, value, _) in enumerate(made):
        content.append({"type": "tool_use", "id": f"toolu_{number}", "name": name, "input": value})
        content += draw(st.lists(thoughts, max_size=1))
    reasons = ["tool_use"] if made else ["end_turn", "max_tokens", "stop_sequence"]
    return answers(content, draw(st.sampled_from(reasons)))


def request() -> MessageRequest:
    """A request that such an answer may follow."""
    turns = [{"role": "user", "content": "x"}]
    return read_request({"model": "m", "max_tokens": 9, "messages": turns, "stop_sequences": ["END"]})


@settings(max_examples=EXAMPLES, deadline=None)
@given(messages())
def test_an_answer_of_claudes_comes_back_as_it_was(message: Json) -> None:
    completion = read_vendors_answer(dumps(message), answer_tool="")

    assert loads(read_answer(completion, request(), message_id="msg_1")) == message


def sse(message: Json) -> Iterator[bytes]:
    """The answer as the vendor streams it."""
    head = {**message, "content": [], "stop_reason": None, "stop_sequence": None}
    yield event("message_start", message=head)
    for index, block in enumerate(message["content"]):
        yield from block_events(index, block)
    delta = {name: message[name] for name in ("stop_reason", "stop_sequence")}
    yield event("message_delta", delta=delta, usage=message["usage"])
    yield event("message_stop")


def event(kind: str, **members: Any) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **members})}\n\n".encode()


def block_events(index: int, block: Json) -> Iterator[bytes]:
    start, deltas = dict(block), []
    if block["type"] == "text":
        start["text"] = ""
        deltas = [{"type": "text_delta", "text": sign} for sign in block["text"]]
    elif block["type"] == "thinking":
        start |= {"thinking": "", "signature": ""}
        deltas = [{"type": "thinking_delta", "thinking": sign} for sign in block["thinking"]]
        deltas.append({"type": "signature_delta", "signature": block["signature"]})
    elif block["type"] == "tool_use":
        start["input"] = {}
        text = json.dumps(block["input"])
        deltas = [
            {"type": "input_json_delta", "partial_json": text[at : at + 4]} for at in range(0, len(text), 4)
        ]
    yield event("content_block_start", index=index, content_block=start)
    for delta in deltas:
        yield event("content_block_delta", index=index, delta=delta)
    yield event("content_block_stop", index=index)


@settings(max_examples=EXAMPLES, deadline=None)
@given(messages(), st.integers(1, 200))
def test_a_stream_of_claudes_comes_back_as_it_was(message: Json, size: int) -> None:
    stream = b"".join(sse(message))
    vendors, ours = (
        StreamReader("m", answer_tool=""),
        MessageStream(request(), message_id="msg_1", input_tokens=1),
    )

    pieces = [stream[at : at + size] for at in range(0, len(stream), size)]
    read = b"".join([*(ours.feed(vendors.feed(piece)) for piece in pieces), ours.feed(vendors.finish())])

    assert message_of(read) == message
