"""The demo upstream's chat: what it says, its limits, its usage, its streams and its errors."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.upstreams.demo_client import ask, chat, reassembled, stream
from upstreams_app.demo import MODELS, answer
from upstreams_app.demo.tokens import split_tokens

USER = [{"role": "user", "content": "Hello"}]
TOOLS = [{"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}]
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=200)


def test_the_models_are_listed_in_openais_form() -> None:
    listing = ask("/models").content

    assert [model["id"] for model in listing["data"]] == [model.name for model in MODELS]
    assert {model["object"] for model in listing["data"]} == {"model"}


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("Hello there!", "Hello! How can I help you?"),
        ("What is 12 * 3.5?", "12 * 3.5 = 42"),
        ("2-5", "2 - 5 = -3"),
        ("7/2 please", "7 / 2 = 3.5"),
        ("Count to 5", "1, 2, 3, 4, 5"),
        ("Say exactly: pong", "pong"),
    ],
)
def test_chat_answers_by_its_rules(question: str, expected: str) -> None:
    assert chat(question).message["content"] == expected


@given(texts.filter(bool))
def test_echo_repeats_the_last_user_message(text: str) -> None:
    reply = chat(text, model="echo")

    assert reply.message == {"role": "assistant", "content": text, "refusal": None}


def test_all_roles_and_content_parts_are_read() -> None:
    parts = [
        {"type": "text", "text": "What is 1+1?"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
    ]
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    messages: list[dict[str, Any]] = [
        {"role": "system", "content": "Be kind."},
        {"role": "developer", "content": [{"type": "text", "text": "Be short."}]},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "done"},
        {"role": "assistant", "content": "Fine", "reasoning_content": "hm"},
        {"role": "function", "name": "old", "content": "x"},
        {"role": "user", "content": parts},
    ]

    reply = ask("/chat/completions", model="chat", messages=messages, seed=1, unknown_field={"a": 1})

    assert reply.message["content"] == "I see an image. 1 + 1 = 2"


def test_stop_ends_the_text_before_the_sequence() -> None:
    reply = chat("one two three four", model="echo", stop=["three", " two"])

    assert reply.message["content"] == "one"
    assert reply.content["choices"][0]["finish_reason"] == "stop"


@pytest.mark.parametrize("field", ["max_tokens", "max_completion_tokens"])
def test_a_token_limit_cuts_the_text_and_says_so(field: str) -> None:
    seven: dict[str, Any] = {field: 7}
    five: dict[str, Any] = {field: 5}

    cut = chat("Count to 50", **seven)
    whole = chat("Count to 3", **five)

    assert cut.message["content"] == "1, 2, 3, 4"
    assert cut.content["choices"][0]["finish_reason"] == "length"
    assert cut.content["usage"]["completion_tokens"] == 7
    assert whole.content["choices"][0]["finish_reason"] == "stop"


def test_reasoning_comes_apart_and_is_counted() -> None:
    reply = chat("Hello", model="reasoning")
    silent = chat("Hello", model="reasoning", reasoning_effort="none")

    usage = reply.content["usage"]
    thoughts = len(split_tokens(reply.message["reasoning_content"]))
    assert usage["completion_tokens_details"]["reasoning_tokens"] == thoughts > 0
    assert usage["completion_tokens"] == thoughts + len(split_tokens(reply.message["content"]))
    assert "reasoning_content" not in silent.message


def test_logprobs_cover_each_token() -> None:
    reply = chat("Grüße, 世界", model="echo", logprobs=True, top_logprobs=2)

    tokens = reply.content["choices"][0]["logprobs"]["content"]
    assert "".join(token["token"] for token in tokens) == "Grüße, 世界"
    assert all(bytes(token["bytes"]).decode() == token["token"] for token in tokens)
    assert all(len(token["top_logprobs"]) == 2 and token["logprob"] <= 0 for token in tokens)


@given(
    text=texts,
    model=st.sampled_from(["chat", "echo", "reasoning"]),
    options=st.fixed_dictionaries(
        {},
        optional={
            "n": st.integers(1, 3),
            "stop": st.sampled_from([" ", "e", ["You", "a"]]),
            "max_tokens": st.integers(1, 40),
            "logprobs": st.just(True),
            "tools": st.just(TOOLS),
            "tool_choice": st.just("none"),
            "response_format": st.just({"type": "json_object"}),
        },
    ).filter(lambda options: "tools" in options or "tool_choice" not in options),
)
def test_a_stream_adds_up_to_the_plain_answer(text: str, model: str, options: dict[str, Any]) -> None:
    fields = {"model": model, "messages": [{"role": "user", "content": text}], **options}

    plain = ask("/chat/completions", **fields).content
    chunks = stream("/chat/completions", **fields, stream_options={"include_usage": True})

    assert len(plain["choices"]) == options.get("n", 1)
    for choice in plain["choices"]:
        assert without_ids(reassembled(chunks, choice["index"])) == without_ids(choice)
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"] == plain["usage"]
    assert all(chunk["usage"] is None for chunk in chunks[:-1])


def without_ids(choice: dict[str, Any]) -> dict[str, Any]:
    """A choice without the ids of its calls and without the difference of no and empty logprobs."""
    calls = [call["function"] for call in choice["message"].get("tool_calls", ())]
    logprobs = (choice["logprobs"] or {}).get("content") or None
    return {**choice, "message": {**choice["message"], "tool_calls": calls}, "logprobs": logprobs}


def test_a_stream_has_openais_order_of_chunks() -> None:
    chunks = stream("/chat/completions", model="chat", messages=USER)

    deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
    assert deltas[0] == {"role": "assistant", "content": "", "refusal": None}
    assert deltas[-1] == {}
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks] == [None] * (len(chunks) - 1) + ["stop"]
    assert len({chunk["id"] for chunk in chunks}) == 1
    assert all("usage" not in chunk for chunk in chunks)


def test_the_same_request_gets_the_same_answer_under_a_new_id() -> None:
    first, second = chat("Tell me about Mars").content, chat("Tell me about Mars").content

    assert first.pop("id") != second.pop("id")
    assert abs(first.pop("created") - second.pop("created")) <= 1
    assert first == second


async def test_slow_takes_its_time_for_each_token() -> None:
    body = json.dumps({"model": "slow", "stream": True, "messages": USER}).encode()
    answered = await answer("/chat/completions", body)
    assert answered.events is not None

    began = time.monotonic()
    arrivals = [time.monotonic() - began async for _ in answered.events]

    assert arrivals[0] >= 0.045
    assert arrivals[3] >= 0.18


async def test_a_stream_can_be_left_early() -> None:
    body = json.dumps({"model": "slow", "stream": True, "messages": USER}).encode()
    answered = await answer("/chat/completions", body)
    assert answered.events is not None

    reading = asyncio.ensure_future(anext(aiter(answered.events)))
    await asyncio.sleep(0)
    reading.cancel()

    with pytest.raises(asyncio.CancelledError):
        await reading


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"model": None}, "model"),
        ({"model": "embedding"}, "model"),
        ({"messages": None}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": "hi"}, "messages"),
        ({"messages": ["hi"]}, "messages[0]"),
        ({"messages": [{"role": "boss", "content": "hi"}]}, "messages[0].role"),
        ({"messages": [{"role": "user"}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": [{"type": "x"}]}]}, "messages[0].content[0].type"),
        ({"messages": [{"role": "tool", "content": "x", "tool_call_id": "a"}]}, "messages[0].role"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].tool_call_id"),
        ({"n": 0}, "n"),
        ({"n": True}, "n"),
        ({"temperature": 3}, "temperature"),
        ({"max_tokens": "many"}, "max_tokens"),
        ({"max_tokens": 1, "max_completion_tokens": 1}, "max_tokens"),
        ({"stop": [1]}, "stop"),
        ({"stream": "yes"}, "stream"),
        ({"stream_options": {"include_usage": True}}, "stream_options"),
        ({"top_logprobs": 2}, "top_logprobs"),
        ({"reasoning_effort": "huge"}, "reasoning_effort"),
        ({"response_format": {"type": "xml"}}, "response_format.type"),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema"),
        ({"tools": {}}, "tools"),
        ({"tools": [{"type": "function"}]}, "tools[0].function"),
        ({"tool_choice": "required"}, "tool_choice"),
    ],
)
def test_wrong_input_is_refused_by_the_fields_name(fields: dict[str, Any], param: str) -> None:
    reply = ask("/chat/completions", **{"model": "chat", "messages": USER, **fields})

    assert reply.status == 400
    assert reply.error["type"] == "invalid_request_error"
    assert reply.error["param"] == param


def test_an_unanswered_tool_call_is_refused() -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    messages = [*USER, {"role": "assistant", "tool_calls": [call]}, *USER]

    reply = ask("/chat/completions", model="chat", messages=messages)

    assert reply.status == 400
    assert "c1" in reply.error["message"]


def test_an_unknown_model_or_path_is_not_found() -> None:
    assert ask("/chat/completions", model="gpt", messages=USER).error["code"] == "model_not_found"
    assert ask("/images", model="chat").status == 404


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff", b'{"model": "\\ud800"}', b"[" * 100_000])
async def test_what_is_no_json_object_is_refused(body: bytes) -> None:
    assert (await answer("/chat/completions", body)).status == 400
