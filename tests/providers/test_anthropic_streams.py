"""Anthropic's event stream as OpenAI's chunks, wherever the bytes are cut."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types.chat import ChatCompletionChunk

from gateway_project.core import sse
from tests.providers.fake_anthropic import events
from tests.providers.fake_anthropic import sse as wire_event
from tests.providers.mind import Said
from tests.providers.test_anthropic_answers import exchange

SAID = Said(
    text="Hello 🌍",
    reasoning="Hm, 🤔.",
    calls=(("get_weather", {"city": "Zürich"}), ("get_weather", {"city": "Oslo"}), ("noop", {})),
    end="calls",
    input=20,
    cached=7,
    output=9,
    thought=2,
)
WHOLE = b"".join(wire_event(event) for event in events({"model": "claude-sonnet-4-6"}, SAID))


def read(*pieces: bytes, **fields: Any) -> bytes:
    """What a stream in these pieces becomes."""
    reading = exchange(stream=True, **fields)
    return b"".join([reading.feed(piece) for piece in pieces]) + reading.finish()


def data(stream: bytes) -> list[Any]:
    """The events' JSON, without `[DONE]`, which is the last."""
    values = [value for _, value in sse.iter_events(stream) if value]
    assert values[-1] == b"[DONE]"
    return [json.loads(value) for value in values[:-1]]


def without_time(stream: bytes) -> list[Any]:
    """The events, whenever they were made."""
    return [{**event, "created": 0} for event in data(stream)]


def chunk(*made: dict[str, Any]) -> bytes:
    """Events of the API."""
    return b"".join(wire_event(event) for event in made)


def start(**usage: int) -> dict[str, Any]:
    """A stream's first event."""
    counts = {"input_tokens": 1, "output_tokens": 1, **usage}
    return {"type": "message_start", "message": {"id": "msg_1", "usage": counts}}


def end(reason: str = "end_turn", **fields: Any) -> list[dict[str, Any]]:
    """A stream's last events."""
    delta = {"stop_reason": reason, "stop_sequence": None, **fields}
    return [
        {"type": "message_delta", "delta": delta, "usage": {"output_tokens": 5}},
        {"type": "message_stop"},
    ]


def test_thoughts_text_and_calls_come_in_openais_chunks() -> None:
    chunks = [ChatCompletionChunk.model_validate(event) for event in data(read(WHOLE))]

    deltas = [choice.delta for made in chunks for choice in made.choices]
    extras = [delta.model_extra or {} for delta in deltas]
    calls = [call for delta in deltas for call in delta.tool_calls or []]
    assert deltas[0].role == "assistant"
    assert "".join(extra.get("reasoning_content", "") for extra in extras) == "Hm, 🤔."
    (thinking,) = [extra["thinking_blocks"] for extra in extras if "thinking_blocks" in extra]
    assert thinking == [{"type": "thinking", "thinking": "Hm, 🤔.", "signature": "c2lnbmF0dXJl"}]
    assert "".join(delta.content or "" for delta in deltas) == "Hello 🌍"
    assert [(call.index, call.id) for call in calls if call.id] == [
        (0, "toolu_0"),
        (1, "toolu_1"),
        (2, "toolu_2"),
    ]
    arguments = ["", "", ""]
    for call in calls:
        assert call.function is not None
        arguments[call.index] += call.function.arguments or ""
    assert [json.loads(text) for text in arguments] == [{"city": "Zürich"}, {"city": "Oslo"}, {}]
    assert [c.finish_reason for made in chunks for c in made.choices if c.finish_reason] == ["tool_calls"]
    assert chunks[-1].usage is not None
    assert (chunks[-1].usage.prompt_tokens, chunks[-1].usage.completion_tokens) == (20, 9)
    assert {made.id for made in chunks} == {"msg_fake"}


def test_a_cut_at_any_byte_changes_nothing() -> None:
    expected = without_time(read(WHOLE))

    for cut in range(1, len(WHOLE), 1):
        assert without_time(read(WHOLE[:cut], WHOLE[cut:])) == expected, cut


def test_single_bytes_and_other_line_ends_change_nothing() -> None:
    expected = without_time(read(WHOLE))

    assert without_time(read(*(WHOLE[at : at + 1] for at in range(len(WHOLE))))) == expected
    assert without_time(read(WHOLE.replace(b"\n", b"\r\n"))) == expected


@settings(max_examples=60)
@given(st.integers(0, len(WHOLE) - 1))
def test_a_stream_that_breaks_off_is_no_whole_answer(cut: int) -> None:
    # The last line end may be missing: the last event is known to be over without it.
    if len(WHOLE) - cut <= 2:
        return

    with pytest.raises(ValueError, match=r"."):
        read(WHOLE[:cut])


def test_tokens_flow_at_once() -> None:
    reading = exchange(stream=True)
    block = {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
    reading.feed(chunk(start(), block))

    delta = {"type": "text_delta", "text": "Hi"}
    made = reading.feed(chunk({"type": "content_block_delta", "index": 0, "delta": delta}))

    assert b'"Hi"' in made


def test_the_end_is_said_before_the_connection_closes_and_only_once() -> None:
    reading = exchange(stream=True)

    made = reading.feed(chunk(start(), *end()))

    assert made.endswith(sse.DONE)
    assert reading.feed(chunk(*end(), {"type": "ping"})) == b""
    assert reading.finish() == b""


def test_a_message_that_stops_without_a_reason_is_not_over() -> None:
    reading = exchange(stream=True)
    reading.feed(chunk(start(), {"type": "message_stop"}))

    with pytest.raises(ValueError, match="message_stop"):
        reading.finish()


def test_thoughts_between_calls_keep_their_place_until_they_come_back() -> None:
    def thought(text: str) -> Any:
        return {"type": "thinking", "thinking": text, "signature": "c2ln"}

    def use(number: int) -> Any:
        return {"type": "tool_use", "id": f"toolu_{number}", "name": "get_weather", "input": {}}

    content = [thought("a"), use(1), thought("b"), thought("c"), use(2), thought("d")]
    body = {
        "id": "m",
        "type": "message",
        "model": "x",
        "content": content,
        "stop_reason": "tool_use",
        "usage": {},
    }
    pieces = [{"type": "content_block_start", "content_block": block} for block in content]
    stops = [{"type": "content_block_stop"}] * len(content)
    both = [event for pair in zip(pieces, stops, strict=True) for event in pair]

    whole = json.loads(exchange().answer(json.dumps(body).encode()))["choices"][0]["message"]
    streamed = data(read(chunk(start(), *both, *end("tool_use"))))
    deltas = [event["choices"][0]["delta"] for event in streamed if event["choices"]]
    results = [{"role": "tool", "tool_call_id": f"toolu_{number}", "content": "x"} for number in (1, 2)]
    sent = exchange(messages=[{"role": "user", "content": "?"}, whole, *results]).request

    assert json.loads(sent.body)["messages"][1]["content"] == content
    assert [block for delta in deltas for block in delta.get("thinking_blocks", [])] == whole[
        "thinking_blocks"
    ]


def test_pings_and_unknown_events_and_blocks_are_passed_over() -> None:
    new = {"type": "content_block_start", "index": 0, "content_block": {"type": "hologram", "light": 1}}
    delta = {"type": "content_block_delta", "index": 0, "delta": {"type": "light_delta", "light": 2}}
    stop = {"type": "content_block_stop", "index": 0}

    made = data(read(chunk({"type": "ping"}, start(), {"type": "novelty"}, new, delta, stop, *end())))

    assert [event["choices"][0]["finish_reason"] for event in made if event["choices"]] == ["stop"]


def test_the_input_of_the_answer_tool_streams_as_text() -> None:
    schema = {"name": "weather", "schema": {"type": "object", "properties": {"city": {"type": "string"}}}}
    block = {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {}}
    pieces = [
        {
            "type": "content_block_delta",
            "index": 0,
            "delta": {"type": "input_json_delta", "partial_json": text},
        }
        for text in ("", '{"ci', 'ty": "Oslo"}')
    ]
    head = {"type": "content_block_start", "index": 0, "content_block": block}

    made = data(
        read(
            chunk(start(), head, *pieces, {"type": "content_block_stop", "index": 0}, *end("tool_use")),
            response_format={"type": "json_schema", "json_schema": schema},
        )
    )

    texts = [event["choices"][0]["delta"].get("content", "") for event in made if event["choices"]]
    assert json.loads("".join(texts)) == {"city": "Oslo"}
    assert made[-2]["choices"][0]["finish_reason"] == "stop"
    assert not any("tool_calls" in event["choices"][0]["delta"] for event in made if event["choices"])


def test_input_that_is_told_at_the_beginning_is_the_calls_arguments() -> None:
    block = {"type": "tool_use", "id": "t1", "name": "get_weather", "input": {"city": "Zürich"}}
    whole = chunk(
        start(),
        {"type": "content_block_start", "index": 0, "content_block": block},
        {"type": "content_block_stop", "index": 0},
        *end("tool_use"),
    )

    deltas = [choice["delta"] for event in data(read(whole)) for choice in event["choices"]]

    pieces = [call["function"]["arguments"] for delta in deltas for call in delta.get("tool_calls", ())]
    assert json.loads("".join(pieces)) == {"city": "Zürich"}


def test_usage_that_nobody_tells_is_estimated() -> None:
    begun = {"type": "message_start", "message": {"id": "msg_1"}}
    ended = [{key: item for key, item in event.items() if key != "usage"} for event in end()]

    events = data(read(chunk(begun, *ended)))

    assert not any("usage" in event for event in events)


def test_usage_is_the_last_that_was_told() -> None:
    first = start(cache_read_input_tokens=50, cache_creation_input_tokens=3)
    last = end()
    last[0]["usage"] = {"input_tokens": 2, "output_tokens": 9, "cache_read_input_tokens": 60}

    usage = data(read(chunk(first, *last)))[-1]["usage"]

    assert (usage["prompt_tokens"], usage["completion_tokens"]) == (65, 9)
    assert usage["prompt_tokens_details"] == {"cached_tokens": 60, "cache_creation_tokens": 3}


def test_a_refusal_in_a_stream_says_why() -> None:
    details = {"type": "refusal", "category": None, "explanation": "It is harmful."}

    made = data(read(chunk(start(), *end("refusal", stop_details=details))))

    assert made[0]["choices"][0]["delta"]["refusal"] == "It is harmful."
    assert made[1]["choices"][0]["finish_reason"] == "content_filter"


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("overloaded_error", None),
        ("rate_limit_error", 429),
        ("invalid_request_error", 400),
        ("api_error", None),
    ],
)
def test_an_error_in_a_stream_is_an_event_of_its_own(kind: str, status: int | None) -> None:
    reading = exchange(stream=True)

    made = reading.feed(chunk(start(), {"type": "error", "error": {"type": kind, "message": "Oh."}}))

    ((_, value),) = sse.iter_events(made)
    error = json.loads(value or b"")["error"]
    assert (error["message"], error["code"], error.get("status")) == ("Oh.", kind, status)
    with pytest.raises(ValueError, match="message_stop"):
        reading.finish()


@pytest.mark.parametrize("piece", [b"data: {\n\n", b"data: []\n\n", b'data: {"type": "message_start"}\n\n'])
def test_what_is_no_event_of_this_kind_is_an_error(piece: bytes) -> None:
    with pytest.raises((AttributeError, KeyError, TypeError, ValueError)):
        exchange(stream=True).feed(piece)
