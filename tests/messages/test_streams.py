"""OpenAI's chunks become Anthropic's events: in order, however they arrive."""

from __future__ import annotations

from typing import Any

from gateway_project.api.anthropic.requests import MessageRequest, read_request
from gateway_project.api.anthropic.streams import MessageStream
from tests.fakes import bodies
from tests.messages.reading import events_of, message_of

Json = dict[str, Any]
USAGE = {
    "prompt_tokens": 30,
    "completion_tokens": 9,
    "prompt_tokens_details": {"cached_tokens": 8, "cache_creation_tokens": 12},
    "completion_tokens_details": {"reasoning_tokens": 4},
}


def request(**fields: Any) -> MessageRequest:
    """A request whose thoughts are shown."""
    thinking = {"type": "enabled", "budget_tokens": 1024}
    body = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "x"}], "stream": True}
    return read_request({**body, "thinking": thinking, **fields})


def chunks(*deltas: Json, finish: str = "stop", usage: Json | None = USAGE, **ending: Any) -> bytes:
    """A stream of these deltas."""
    made = [bodies.chat_chunk(delta, model="m") for delta in ({"role": "assistant", "content": ""}, *deltas)]
    last = bodies.chat_chunk({}, model="m", finish=finish)
    last["choices"][0] |= ending
    made.append(last)
    if usage is not None:
        made.append({**bodies.chat_chunk(None, model="m"), "choices": [], "usage": usage})
    return b"".join(bodies.sse_events(made))


def read(stream: bytes, asked: MessageRequest | None = None) -> Json:
    """The message that a client sees."""
    return message_of(translate(stream, asked))


def translate(*pieces: bytes | MessageRequest | None) -> bytes:
    asked = next((piece for piece in pieces if isinstance(piece, MessageRequest)), None)
    reader = MessageStream(asked or request(), message_id="msg_1", input_tokens=5)
    return b"".join(reader.feed(piece) for piece in pieces if isinstance(piece, bytes))


def call(index: int, arguments: str = "", **head: Any) -> Json:
    """A piece of a call."""
    function = {"arguments": arguments} | ({"name": head.pop("name")} if "name" in head else {})
    return {"tool_calls": [{"index": index, "function": function, **head}]}


EVERYTHING = chunks(
    {"reasoning_content": "Hm 🤔"},
    {"reasoning_content": "."},
    {"thinking_blocks": [{"type": "thinking", "thinking": "Hm 🤔.", "signature": "c2ln"}]},
    {"thinking_blocks": [{"type": "redacted_thinking", "data": "cmVk"}]},
    {"content": "Zürich "},
    {"content": "it is."},
    call(0, id="call_1", name="weather"),
    call(0, '{"city": "Zü'),
    call(0, 'rich"}'),
    call(1, "{}", id="call_2", name="clock"),
    finish="tool_calls",
)


def test_every_kind_of_block_comes_in_order_with_the_usage() -> None:
    assert read(EVERYTHING) == {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "m",
        "content": [
            {"type": "thinking", "thinking": "Hm 🤔.", "signature": "c2ln"},
            {"type": "redacted_thinking", "data": "cmVk"},
            {"type": "text", "text": "Zürich it is."},
            {"type": "tool_use", "id": "call_1", "name": "weather", "input": {"city": "Zürich"}},
            {"type": "tool_use", "id": "call_2", "name": "clock", "input": {}},
        ],
        "stop_reason": "tool_use",
        "stop_sequence": None,
        "usage": {
            "input_tokens": 10,
            "cache_read_input_tokens": 8,
            "cache_creation_input_tokens": 12,
            "output_tokens": 9,
            "output_tokens_details": {"thinking_tokens": 4},
        },
    }


def test_a_stream_cut_at_every_byte_is_the_same() -> None:
    whole = translate(EVERYTHING)

    for cut in range(1, len(EVERYTHING)):
        assert translate(EVERYTHING[:cut], EVERYTHING[cut:]) == whole
    assert translate(*(EVERYTHING[at : at + 1] for at in range(len(EVERYTHING)))) == whole


def test_text_goes_on_at_once() -> None:
    reader = MessageStream(request(), message_id="msg_1", input_tokens=5)

    first = events_of(reader.feed(bodies.sse_event(bodies.chat_chunk({"content": "Hel"}, model="m"))))

    assert [event["type"] for event in first] == [
        "message_start",
        "content_block_start",
        "content_block_delta",
    ]
    assert first[0]["message"]["usage"] == {"input_tokens": 5, "output_tokens": 0}
    assert first[2]["delta"] == {"type": "text_delta", "text": "Hel"}


def test_calls_that_come_interleaved_become_blocks_one_after_another() -> None:
    stream = chunks(
        call(0, '{"a"', id="one", name="f"),
        call(1, '{"b"', id="two", name="g"),
        call(0, ": 1}"),
        call(1, ": 2}"),
        call(2, "{}", id="three", name="h"),
        finish="tool_calls",
    )

    content = read(stream)["content"]

    assert [(block["id"], block["name"], block["input"]) for block in content] == [
        ("one", "f", {"a": 1}),
        ("two", "g", {"b": 2}),
        ("three", "h", {}),
    ]


def test_a_call_without_an_id_gets_one_and_a_name_may_come_late() -> None:
    message = read(chunks(call(0, '{"a": '), call(0, "1}", name="f"), finish="stop"))

    assert message["stop_reason"] == "tool_use"
    assert message["content"] == [{"type": "tool_use", "id": "toolu_1_0", "name": "f", "input": {"a": 1}}]


def test_thoughts_are_shown_only_to_whoever_asked_but_signed_ones_always() -> None:
    signed = {"type": "thinking", "thinking": "Hm.", "signature": "c2ln", "after_calls": 1}
    aloud = chunks({"reasoning_content": "Hm."}, {"content": "x"})
    kept = chunks({"reasoning_content": "Hm."}, {"thinking_blocks": [signed]}, {"content": "x"})
    unasked = request(thinking=None)

    assert [block["type"] for block in read(aloud)["content"]] == ["thinking", "text"]
    assert [block["type"] for block in read(aloud, unasked)["content"]] == ["text"]
    assert read(kept, unasked)["content"][0] == {"type": "thinking", "thinking": "Hm.", "signature": "c2ln"}


def test_why_it_stopped_is_told() -> None:
    asked = request(stop_sequences=["END"])

    assert read(chunks({"content": "x"}, finish="length"))["stop_reason"] == "max_tokens"
    assert read(chunks({"content": "x"}, finish="content_filter"))["stop_reason"] == "refusal"
    assert read(chunks({"refusal": "No."}))["stop_reason"] == "refusal"
    assert read(chunks({"content": "x"}, stop_reason="other"), asked)["stop_reason"] == "end_turn"
    stopped = read(chunks({"content": "x"}, stop_reason="END"), asked)
    assert (stopped["stop_reason"], stopped["stop_sequence"]) == ("stop_sequence", "END")


def test_without_usage_the_estimate_of_the_input_stands() -> None:
    message = read(chunks({"content": "x"}, usage=None))

    assert message["usage"] == {"input_tokens": 5, "output_tokens": 0}


def test_a_stream_that_breaks_off_has_no_end() -> None:
    cut = translate(EVERYTHING.removesuffix(bodies.DONE))

    assert events_of(cut)[-1]["type"] not in ("message_delta", "message_stop")
