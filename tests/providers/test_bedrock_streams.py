"""ConverseStream's events as OpenAI's chunks, cut at every byte; botocore reads the same frames."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.eventstream import EventStreamBuffer
from botocore.parsers import EventStreamJSONParser
from openai.types.chat import ChatCompletionChunk

from tests.providers.bedrock_cases import WEATHER, events_of, exchange
from tests.providers.bedrock_fake import converse, stream
from tests.providers.bedrock_wire import event, exception, frame, service
from tests.providers.mind import Said
from upstreams_app.providers.bedrock.frames import Frames

LOOSE = {"type": "json_schema", "json_schema": {"name": "answer", "schema": {"type": "object"}}}
CITIES = (("get_weather", {"city": "Zürich"}), ("get_weather", {"city": "Oslo 🌍"}))
SAID = Said(text="Grüezi 🌍", reasoning="Hm, ja", calls=CITIES, end="calls", input=9, cached=4, output=20)
WHOLE = b"".join(stream(SAID))


def read(data: bytes, size: int = 0, **fields: Any) -> bytes:
    """All that becomes of a stream which comes in pieces of a size."""
    asked = exchange(stream=True, **fields)
    pieces = [data[at : at + size] for at in range(0, len(data), size)] if size else [data]
    return b"".join([asked.feed(piece) for piece in pieces]) + asked.finish()


def plain(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Events without what is different each time."""
    return [{**event, "id": "", "created": 0} for event in events]


def test_botocore_reads_what_the_fake_sends() -> None:
    buffer, shape = EventStreamBuffer(), service().operation_model("ConverseStream").output_shape
    buffer.add_data(WHOLE)
    parser = EventStreamJSONParser()

    parsed = [parser.parse(message.to_response_dict(), shape.members["stream"]) for message in buffer]

    kinds = [next(iter(event)) for event in parsed]
    assert (kinds[0], kinds[-2:]) == ("messageStart", ["messageStop", "metadata"])
    assert not any("Error" in event for event in parsed)


def test_a_stream_says_what_the_whole_answer_says() -> None:
    events = events_of(read(WHOLE, tools=[WEATHER]))
    whole = json.loads(exchange(tools=[WEATHER]).answer(json.dumps(converse(SAID)).encode()))

    for chunk in events:
        ChatCompletionChunk.model_validate(chunk, strict=True)
    deltas = [choice["delta"] for chunk in events for choice in chunk["choices"]]
    message = whole["choices"][0]["message"]
    assert deltas[0]["role"] == "assistant"
    assert "".join(delta.get("content") or "" for delta in deltas) == message["content"]
    assert "".join(delta.get("reasoning_content") or "" for delta in deltas) == message["reasoning_content"]
    assert [block for delta in deltas for block in delta.get("thinking_blocks", ())] == message[
        "thinking_blocks"
    ]
    pieces = [piece for delta in deltas for piece in delta.get("tool_calls", ())]
    for index, call in enumerate(message["tool_calls"]):
        own = [piece["function"] for piece in pieces if piece["index"] == index]
        assert own[0]["name"] == "get_weather"
        text = "".join(function["arguments"] for function in own)
        assert json.loads(text) == json.loads(call["function"]["arguments"])
    assert [piece["id"] for piece in pieces if "id" in piece] == ["tooluse_0", "tooluse_1"]
    assert events[-1]["usage"] == whole["usage"]
    assert events[-2]["choices"][0]["finish_reason"] == "tool_calls"


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 1000])
def test_pieces_of_any_size_say_the_same(size: int) -> None:
    assert plain(events_of(read(WHOLE, size))) == plain(events_of(read(WHOLE)))


def test_a_cut_at_any_byte_is_noticed() -> None:
    """All but what lies between the end of the message and the usage, which may be missing."""
    usage = list(stream(SAID))[-1]
    for cut in range(len(WHOLE)):
        asked = exchange(stream=True)
        asked.feed(WHOLE[:cut])
        if cut == len(WHOLE) - len(usage):
            assert asked.finish() == b"data: [DONE]\n\n"
            continue
        with pytest.raises(ValueError, match="broke off"):
            asked.finish()


def test_an_answer_by_a_tool_is_text() -> None:
    said = Said(calls=(("answer", {"city": "Zürich"}),), end="calls", input=3, output=5)

    events = events_of(read(b"".join(stream(said)), response_format=LOOSE))

    deltas = [choice["delta"] for chunk in events for choice in chunk["choices"]]
    assert json.loads("".join(delta.get("content") or "" for delta in deltas)) == {"city": "Zürich"}
    assert not any("tool_calls" in delta for delta in deltas)
    assert events[-2]["choices"][0]["finish_reason"] == "stop"


def test_redacted_thoughts_are_kept() -> None:
    data = b"".join(
        [
            event("contentBlockDelta", b'{"delta":{"reasoningContent":{"redactedContent":"cmVk"}}}'),
            event("contentBlockStop", b"{}"),
        ]
    )

    (chunk,) = events_of(exchange(stream=True).feed(data))

    assert chunk["choices"][0]["delta"]["thinking_blocks"] == [{"type": "redacted_thinking", "data": "cmVk"}]


@pytest.mark.parametrize(
    ("kind", "message", "status", "code"),
    [
        (
            "throttlingException",
            "Too many tokens, please wait before trying again.",
            429,
            "rate_limit_exceeded",
        ),
        ("modelStreamErrorException", "The model broke", 502, None),
        ("modelTimeoutException", "Too slow", 504, None),
        ("serviceUnavailableException", "Later", 503, None),
        ("internalServerException", "Oh", 500, None),
        ("validationException", "Input is too long for requested model.", 400, "context_length_exceeded"),
        ("somethingNewException", "What", 500, None),
    ],
)
def test_exceptions_in_a_stream_are_errors(kind: str, message: str, status: int, code: str | None) -> None:
    start = b"".join(list(stream(SAID))[:3])

    events = events_of(read(start + exception(kind, json.dumps({"message": message}).encode())))

    error = events[-1]["error"]
    assert (error["status"], error["code"], error["message"]) == (status, code, message)


def test_an_error_message_of_the_transport() -> None:
    headers = {":message-type": "error", ":error-code": "InternalError", ":error-message": "Broken"}

    (told,) = events_of(read(frame(b"", headers)))

    assert told["error"]["message"] == "Broken"


def test_nothing_follows_an_error() -> None:
    text = read(exception("throttlingException", b"{}") + WHOLE)

    assert len(events_of(text)) == 1
    assert b"[DONE]" not in text


def test_a_malformed_answer_is_an_error() -> None:
    (told,) = events_of(read(event("messageStop", b'{"stopReason":"malformed_tool_use"}')))

    assert told["error"]["status"] == 502


def test_what_is_new_is_passed_over() -> None:
    assert exchange(stream=True).feed(event("somethingNew", b'{"a":1}')) == b""


@pytest.mark.parametrize(
    "data",
    [
        WHOLE[:8] + b"\0\0\0\0" + WHOLE[12:],
        WHOLE[:40] + b"\xff" + WHOLE[41:],
        b"data: {}\n\n" * 3,
        frame(b"{}", {":message-type": "other"}),
        event("metadata", b'{"usage":{"inputTokens":1,"outputTokens":1,"totalTokens":2}}'),
        event("contentBlockDelta", b'{"delta":{"toolUse":{"input":"{}"}}}'),
        event("contentBlockDelta", b"no JSON"),
    ],
)
def test_what_is_no_stream_of_bedrocks_is_an_error(data: bytes) -> None:
    with pytest.raises(ValueError):
        exchange(stream=True).feed(data)


def test_headers_of_all_types_are_read_over() -> None:
    import struct
    from binascii import crc32

    values = {
        0: b"",
        1: b"",
        2: b"a",
        3: b"ab",
        4: b"abcd",
        5: b"12345678",
        6: b"\0\2xy",
        8: b"12345678",
        9: b"u" * 16,
    }
    head = b"".join(
        bytes([1]) + b"abcdefghi"[kind % 9 :][:1] + bytes([kind]) + value for kind, value in values.items()
    )
    head += b"\x04name\x07\0\5value"
    prelude = struct.pack("!II", 16 + len(head), len(head))
    start = prelude + struct.pack("!I", crc32(prelude)) + head

    (read_frame,) = Frames().feed(start + struct.pack("!I", crc32(start)))

    assert read_frame.headers == {"name": "value"}
