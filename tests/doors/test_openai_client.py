"""The official `openai` client sees what it would see at OpenAI."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from openai.types.chat import ChatCompletionChunk, ChatCompletionMessageParam
from pydantic import BaseModel

from tests.doors.gateway import Gateway
from tests.doors.rows import EMBEDDING_MODEL, KEY, MODEL
from tests.fakes import bodies
from tests.fakes.behaviours import json_answer, stream
from tests.fakes.vendor import FakeVendor

HELLO: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Hello"}]
TEXT = "Hello from the fake 🌍"


@pytest.fixture
def ai(gateway: Gateway) -> Iterator[OpenAI]:
    """The client as people make it: nothing but an address and a key."""
    with OpenAI(base_url=f"{gateway.url}/v1", api_key=KEY) as client:
        yield client


@pytest.fixture
def async_ai(gateway: Gateway) -> AsyncOpenAI:
    """Its async twin; each test closes it on its own loop."""
    return AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key=KEY)


def chat_answer(message: dict[str, Any], **choice: Any) -> dict[str, Any]:
    """A chat answer with this message."""
    answer = bodies.chat_completion("", model="fake-chat")
    answer["choices"][0] |= {"message": {"role": "assistant", **message}, **choice}
    return answer


def text_of(chunks: list[ChatCompletionChunk]) -> str:
    return "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)


def test_a_chat_is_answered_under_the_name_that_was_asked(vendor: FakeVendor, ai: OpenAI) -> None:
    answer = ai.chat.completions.create(model=MODEL, messages=HELLO)

    assert answer.choices[0].message.content == TEXT
    assert answer.model == MODEL
    assert answer.usage is not None
    assert answer.usage.total_tokens == 14
    assert vendor.requests[0].json["model"] == "fake-chat"


def test_a_stream_without_usage_has_chunks_and_nothing_else(vendor: FakeVendor, ai: OpenAI) -> None:
    chunks = list(ai.chat.completions.create(model=MODEL, messages=HELLO, stream=True))

    assert text_of(chunks) == TEXT
    assert {chunk.model for chunk in chunks} == {MODEL}
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert all(chunk.usage is None and chunk.choices for chunk in chunks)
    assert vendor.requests[0].json["stream_options"] == {"include_usage": True}


def test_a_stream_with_usage_ends_with_finish_then_usage(vendor: FakeVendor, ai: OpenAI) -> None:
    options: Any = {"include_usage": True}
    chunks = list(
        ai.chat.completions.create(model=MODEL, messages=HELLO, stream=True, stream_options=options)
    )

    assert chunks[-2].choices[0].finish_reason == "stop"
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.prompt_tokens == 11
    assert [chunk.usage for chunk in chunks[:-1]] == [None] * (len(chunks) - 1)


async def test_the_async_client_chats_and_streams(vendor: FakeVendor, async_ai: AsyncOpenAI) -> None:
    async with async_ai as ai:
        plain = await ai.chat.completions.create(model=MODEL, messages=HELLO)
        streamed = await ai.chat.completions.create(model=MODEL, messages=HELLO, stream=True)
        chunks = [chunk async for chunk in streamed]

    assert plain.choices[0].message.content == text_of(chunks) == TEXT


def test_the_streaming_helper_collects_a_completion(vendor: FakeVendor, ai: OpenAI) -> None:
    with ai.chat.completions.stream(model=MODEL, messages=HELLO) as events:
        kinds = {event.type for event in events}
        final = events.get_final_completion()

    assert {"chunk", "content.delta", "content.done"} <= kinds
    assert final.choices[0].message.content == TEXT


class Weather(BaseModel):
    """What a structured answer is parsed into."""

    city: str
    celsius: float


def test_structured_answers_are_parsed(vendor: FakeVendor, ai: OpenAI) -> None:
    vendor.script(json_answer(chat_answer({"content": '{"city":"Zürich","celsius":21.5}'})))

    answer = ai.chat.completions.parse(model=MODEL, messages=HELLO, response_format=Weather)

    assert answer.choices[0].message.parsed == Weather(city="Zürich", celsius=21.5)
    sent = vendor.requests[0].json["response_format"]
    assert sent["type"] == "json_schema"
    assert sent["json_schema"]["strict"] is True


def test_tool_calls_come_whole_and_in_pieces(vendor: FakeVendor, ai: OpenAI) -> None:
    function = {"name": "get_weather", "arguments": '{"city":"Zürich"}'}
    call = {"id": "call_1", "type": "function", "function": function}
    deltas: list[dict[str, Any]] = [
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{**call, "index": 0, "function": {**function, "arguments": ""}}],
        },
        {"tool_calls": [{"index": 0, "function": {"arguments": '{"city":'}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": '"Zürich"}'}}]},
    ]
    chunks = [bodies.chat_chunk(delta, model="fake-chat") for delta in deltas]
    chunks.append(bodies.chat_chunk({}, model="fake-chat", finish="tool_calls"))
    plain = chat_answer({"content": None, "tool_calls": [call]}, finish_reason="tool_calls")
    vendor.script(json_answer(plain), stream(bodies.sse_events(chunks)))
    tools: Any = [{"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object"}}}]

    answer = ai.chat.completions.create(model=MODEL, messages=HELLO, tools=tools, tool_choice="auto")
    pieces = list(ai.chat.completions.create(model=MODEL, messages=HELLO, tools=tools, stream=True))

    assert answer.choices[0].message.to_dict()["tool_calls"] == [call]
    calls = [part for chunk in pieces for part in chunk.choices[0].delta.tool_calls or []]
    assert [part.index for part in calls] == [0, 0, 0]
    assert calls[0].id == "call_1"
    assert "".join(part.function.arguments or "" for part in calls if part.function) == function["arguments"]
    assert pieces[-1].choices[0].finish_reason == "tool_calls"
    assert vendor.requests[0].json["tools"] == vendor.requests[1].json["tools"] == tools


def test_several_choices_logprobs_and_reasoning_pass(vendor: FakeVendor, ai: OpenAI) -> None:
    logprobs = {
        "content": [{"token": "Hi", "logprob": -0.5, "bytes": [72, 105], "top_logprobs": []}],
        "refusal": None,
    }
    answer = chat_answer({"content": "Hi", "reasoning_content": "I greet."}, logprobs=logprobs)
    answer["choices"].append({**answer["choices"][0], "index": 1})
    streamed = [
        bodies.chat_chunk({"role": "assistant", "reasoning_content": "I "}, model="fake-chat"),
        bodies.chat_chunk({"reasoning_content": "greet."}, model="fake-chat"),
        bodies.chat_chunk({"content": "Hi"}, model="fake-chat"),
        bodies.chat_chunk({}, model="fake-chat", finish="stop"),
    ]
    vendor.script(json_answer(answer), stream(bodies.sse_events(streamed)))

    plain = ai.chat.completions.create(model=MODEL, messages=HELLO, n=2, logprobs=True, top_logprobs=1)
    chunks = list(ai.chat.completions.create(model=MODEL, messages=HELLO, stream=True))

    assert [choice.index for choice in plain.choices] == [0, 1]
    assert plain.choices[1].logprobs is not None
    assert plain.choices[1].logprobs.to_dict() == logprobs
    assert plain.choices[0].message.to_dict()["reasoning_content"] == "I greet."
    thoughts = [chunk.choices[0].delta.to_dict().get("reasoning_content", "") for chunk in chunks]
    assert "".join(str(thought) for thought in thoughts) == "I greet."


def test_images_reach_the_vendor_byte_for_byte(vendor: FakeVendor, ai: OpenAI) -> None:
    url = "data:image/png;base64," + "iVBORw0KGgo+/=" * 5000
    content: Any = [{"type": "text", "text": "What is it?"}, {"type": "image_url", "image_url": {"url": url}}]

    ai.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": content}])

    assert vendor.requests[0].json["messages"][0]["content"] == content


def test_reasoning_in_the_history_is_accepted(vendor: FakeVendor, ai: OpenAI) -> None:
    history: Any = [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hi", "reasoning_content": "I greet."},
        {"role": "user", "content": "Again"},
    ]

    ai.chat.completions.create(model=MODEL, messages=history, tools=[])

    assert vendor.requests[0].json["messages"] == history


def test_raw_answers_show_the_gateways_headers(vendor: FakeVendor, ai: OpenAI, gateway: Gateway) -> None:
    raw = ai.chat.completions.with_raw_response.create(
        model="alias", messages=HELLO, extra_headers={"x-client-request-id": "my-own-id"}
    )

    assert raw.parse().model == "alias"
    assert raw.headers["x-request-id"].startswith("req_")
    assert raw.headers["x-client-request-id"] == "my-own-id"
    assert raw.headers["openai-processing-ms"].isdecimal()
    assert raw.headers["x-gateway-model"] == "alias"
    assert raw.headers["x-gateway-upstream"] == "fake"
    assert raw.headers["x-gateway-attempts"] == "1"
    # 11 input tokens at $2.50 and 3 output tokens at $10 a million.
    assert raw.headers["x-gateway-cost"] == "0.0000575"
    record = gateway.record(raw.headers["x-request-id"])
    assert (record["model"], record["route"], record["cost"]) == ("alias", "alias", 57_500)
    assert record["correlation_id"] == "my-own-id"


def test_streams_show_the_gateways_headers_too(vendor: FakeVendor, ai: OpenAI, gateway: Gateway) -> None:
    raw = ai.chat.completions.with_raw_response.create(model=MODEL, messages=HELLO, stream=True)
    chunks = list(raw.parse())

    assert text_of(chunks) == TEXT
    assert raw.headers["content-type"].startswith("text/event-stream")
    assert raw.headers["x-accel-buffering"] == "no"
    assert raw.headers["x-gateway-upstream"] == "fake"
    record = gateway.record(raw.headers["x-request-id"])
    assert (record["status"], record["state"], record["cost"]) == (200, "reported", 57_500)
    assert (record["input_tokens"], record["cached_input_tokens"], record["reasoning_tokens"]) == (11, 4, 1)


def test_embeddings_come_in_both_encodings(vendor: FakeVendor, ai: OpenAI) -> None:
    packed = ai.embeddings.create(model=EMBEDDING_MODEL, input=["a", "b"])
    floats = ai.embeddings.create(model=EMBEDDING_MODEL, input="a", encoding_format="float", dimensions=3)

    # The client asks for base64 by itself and unpacks it.
    assert vendor.requests[0].json["encoding_format"] == "base64"
    assert packed.data[1].embedding == pytest.approx([0.6, -0.8, 0.0])
    assert floats.data[0].embedding == [0.6, -0.8, 0.0]
    assert packed.model == floats.model == EMBEDDING_MODEL
    assert vendor.requests[1].json["dimensions"] == 3


def test_text_completions_come_plain_and_as_a_stream(vendor: FakeVendor, ai: OpenAI) -> None:
    plain = ai.completions.create(model=MODEL, prompt="Say")
    pieces = list(ai.completions.create(model=MODEL, prompt="Say", stream=True))

    assert plain.choices[0].text == "".join(piece.choices[0].text for piece in pieces) == TEXT
    assert plain.model == pieces[0].model == MODEL
    assert pieces[-1].choices[0].finish_reason == "stop"


def test_models_are_listed_and_found_by_any_spelling(ai: OpenAI) -> None:
    listed = list(ai.models.list())

    ids = [model.id for model in listed]
    assert {MODEL, "pair", "tëst/route ✓", "fake/org/with slash"} <= set(ids)
    assert len(ids) == len(set(ids))
    for model_id in (MODEL, "pair", "tëst/route ✓", "fake/org/with slash"):
        # The client percent-encodes the slash.
        found = ai.models.retrieve(model_id)
        assert found.id == model_id
    item = listed[0].to_dict()
    assert {"id", "object", "created", "owned_by", "name", "description"} <= item.keys()
    # Pricing is on every item or on none; not all of these have a price.
    assert all("pricing" not in model.to_dict() for model in listed)


def test_an_unknown_model_cannot_be_retrieved(ai: OpenAI) -> None:
    with pytest.raises(openai.NotFoundError):
        ai.models.retrieve("fake/nothing")


def test_a_user_is_kept_in_the_ledger_and_forwarded(vendor: FakeVendor, ai: OpenAI, gateway: Gateway) -> None:
    raw = ai.chat.completions.with_raw_response.create(model=MODEL, messages=HELLO, user="ünser Gast")

    assert gateway.record(raw.headers["x-request-id"])["end_user"] == "ünser Gast"
    assert vendor.requests[0].json["user"] == "ünser Gast"


def test_extra_body_fields_pass(vendor: FakeVendor, ai: OpenAI) -> None:
    extra = {"top_k": 40, "chat_template_kwargs": {"enable_thinking": False}}

    ai.chat.completions.create(model=MODEL, messages=HELLO, extra_body=extra)

    sent = json.loads(vendor.requests[0].body)
    assert {name: sent[name] for name in extra} == extra
