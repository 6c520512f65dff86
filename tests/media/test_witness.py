"""What an answer says of its usage is seen as it passes, whatever its size and however it is cut."""

from __future__ import annotations

import json
from typing import Any

import pytest

from upstreams_app.services.witness import Witness
from usage_app.entry import TokenUsage

CHAT = {"model": "gpt", "usage": {"prompt_tokens": 9, "completion_tokens": 5, "total_tokens": 14}}
ANTHROPIC = {
    "model": "claude",
    "content": [{"type": "text", "text": 'not "usage": {"input_tokens": 1000}'}],
    "usage": {"input_tokens": 7, "cache_read_input_tokens": 2, "output_tokens": 5},
}
GEMINI = {"usageMetadata": {"promptTokenCount": 9, "candidatesTokenCount": 5, "totalTokenCount": 14}}
STARTED = {
    "type": "message_start",
    "message": {"model": "claude", "usage": {"input_tokens": 9, "output_tokens": 1}},
}
ENDED = {"type": "message_delta", "usage": {"output_tokens": 5}}
RESPONSES = {"type": "response.completed", "response": {"usage": {"input_tokens": 9, "output_tokens": 5}}}


def events(*content: Any) -> bytes:
    return b"".join(b"event: x\ndata: " + json.dumps(one).encode() + b"\n\n" for one in content)


def seen(body: bytes, content_type: str, step: int) -> tuple[int, int]:
    witness = Witness(content_type)
    for start in range(0, len(body), step):
        witness.feed(body[start : start + step])
    tokens = witness.finish() or TokenUsage()
    return tokens.input, tokens.output


@pytest.mark.parametrize("step", [1, 7, 100_000])
@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/json", json.dumps(CHAT).encode()),
        ("application/json", json.dumps(ANTHROPIC).encode()),
        ("application/json; charset=utf-8", json.dumps(GEMINI, indent=2).encode()),
        ("application/json", json.dumps({**CHAT, "usage": CHAT["usage"], "data": ""}).encode()),
        ("text/event-stream", events({"usage": None}, CHAT) + b"data: [DONE]\n\n"),
        ("application/json", b'{"usage":{"inputTokens":9,"outputTokens":5,"totalTokens":14}}'),
        ("application/vnd.amazon.eventstream", b'\0\0{"usage":{"inputTokens":9,"outputTokens":5}}\0\x7f'),
        ("text/event-stream", events(STARTED, {"type": "ping"}, ENDED)),
        ("text/event-stream; charset=utf-8", events(RESPONSES)),
        ("text/event-stream", events({**GEMINI, "x": 1}, GEMINI).replace(b"\n", b"\r\n")),
    ],
)
def test_each_vendors_usage_is_seen(content_type: str, body: bytes, step: int) -> None:
    assert seen(body, content_type, step) == (9, 5)


def test_a_long_answer_tells_at_its_end_or_at_its_beginning() -> None:
    usage = {"usage": CHAT["usage"]}
    late = json.dumps({"data": "x" * 500_000, **usage}).encode()
    early = json.dumps({**usage, "data": "x" * 500_000}).encode()

    assert seen(late, "application/json", 4096) == (9, 5)
    assert seen(early, "application/json", 4096) == (9, 5)
    assert seen(events({"b64_json": "x" * 500_000, **usage}), "text/event-stream", 4096) == (9, 5)


def test_what_is_no_text_is_not_read() -> None:
    assert seen(json.dumps(CHAT).encode(), "audio/mpeg", 100) == (0, 0)


@pytest.mark.parametrize(
    "usage", [7, [], {}, {"prompt_tokens": "x"}, {"promptTokenCount": []}, {"total_tokens": -1}]
)
def test_odd_usage_is_none(usage: Any) -> None:
    assert seen(json.dumps({"usage": usage}).encode(), "application/json", 100) == (0, 0)


def test_a_transcripts_length_counts_where_no_usage_is_told() -> None:
    witness = Witness("application/json")
    witness.feed(b'{"task":"transcribe","language":"english","duration":2.5,"text":"Hi"}')

    assert witness.finish() == TokenUsage(audio_ms=2500)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"model":"m","service_tier":"flex","usage":{"prompt_tokens":1}}', "flex"),
        (b'{"model":"m","usage":{"input_tokens":1,"service_tier":"priority"}}', "priority"),
        (b'{"model":"m","service_tier":"default","usage":{"prompt_tokens":1}}', ""),
        (b'{"text":"\\"service_tier\\":\\"priority\\"","usage":{"prompt_tokens":1}}', ""),
    ],
)
def test_how_an_answer_was_served_is_noted(body: bytes, expected: str) -> None:
    witness = Witness("application/json")

    witness.feed(body)

    assert witness.finish() is not None
    assert witness.service_tier == expected


def test_a_stream_was_served_as_it_says_at_last() -> None:
    witness = Witness("text/event-stream")

    for tier in (b"auto", b"priority"):
        witness.feed(b'data: {"service_tier":"' + tier + b'","usage":{"input_tokens":1}}\n\n')

    witness.finish()
    assert witness.service_tier == "priority"


@pytest.mark.parametrize(
    ("answer", "tier"),
    [
        ({"usage": {"inputTokens": 9, "outputTokens": 5}, "serviceTier": {"type": "flex"}}, "flex"),
        ({"usageMetadata": {**GEMINI["usageMetadata"], "trafficType": "ON_DEMAND_PRIORITY"}}, "priority"),
        ({"usageMetadata": {**GEMINI["usageMetadata"], "trafficType": "ON_DEMAND"}}, ""),
    ],
)
def test_the_way_of_service_is_seen_in_each_vendors_words(answer: Any, tier: str) -> None:
    witness = Witness("application/json")
    witness.feed(json.dumps(answer).encode())

    assert witness.finish() is not None
    assert witness.service_tier == tier


def test_bedrocks_tokens_of_the_cache_are_beside_its_input() -> None:
    usage = {"inputTokens": 9, "outputTokens": 5, "cacheReadInputTokens": 100, "cacheWriteInputTokens": 20}
    witness = Witness("application/json")
    witness.feed(json.dumps({"usage": usage}).encode())

    assert witness.finish() == TokenUsage(input=129, output=5, cached_input=100, cache_write=20)


@pytest.mark.parametrize("step", [1000, 1_000_000])
def test_the_kind_of_pictures_is_seen_in_streams(step: int) -> None:
    made = {"quality": "high", "size": "1536x1024", "usage": {"input_tokens": 9, "output_tokens": 5}}
    first = {"type": "image_generation.partial_image", "b64_json": "A" * 90_000}
    body = events(first, {"type": "image_generation.completed", "b64_json": "A" * 90_000, **made})
    witness = Witness("text/event-stream")
    for start in range(0, len(body), step):
        witness.feed(body[start : start + step])

    assert witness.finish() == TokenUsage(9, 5)
    assert (witness.quality_of_pictures, witness.size_of_pictures) == ("high", "1536x1024")


def test_the_kind_of_pictures_is_seen() -> None:
    witness = Witness("application/json")
    witness.feed(
        json.dumps({"data": [{"b64_json": "A" * 100_000}], "quality": "high", "size": "1536x1024"}).encode()
    )

    witness.finish()

    assert (witness.quality_of_pictures, witness.size_of_pictures) == ("high", "1536x1024")
