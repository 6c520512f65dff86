"""Converse's answers and errors as OpenAI's; botocore reads the same answers without complaint."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.parsers import create_parser
from openai.types.chat import ChatCompletion

from tests.providers.bedrock_cases import LLAMA, WEATHER, answered, exchange
from tests.providers.bedrock_wire import service
from upstreams_app.providers.wire import ReadsHead

LOOSE = {"type": "json_schema", "json_schema": {"name": "answer", "schema": {"type": "object"}}}


def converse(*blocks: dict[str, Any], stop: str = "end_turn", **usage: int) -> dict[str, Any]:
    """An answer as the API reference shows it."""
    answer = {
        "output": {"message": {"role": "assistant", "content": list(blocks)}},
        "stopReason": stop,
        "usage": {"inputTokens": 10, "outputTokens": 5, "totalTokens": 15, **usage},
        "metrics": {"latencyMs": 250},
    }
    shape = service().operation_model("Converse").output_shape
    raw = {"body": json.dumps(answer).encode(), "headers": {}, "status_code": 200}
    parsed = create_parser("rest-json").parse(raw, shape)
    assert [next(iter(block)) for block in parsed["output"]["message"]["content"]] == [
        next(iter(block)) for block in blocks
    ]
    return answer


def choice_of(answer: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """The one choice of the translated answer, which OpenAI's own types take."""
    whole = answered(answer, **fields)
    ChatCompletion.model_validate(whole, strict=True)
    (choice,) = whole["choices"]
    return dict(choice)


def test_a_text() -> None:
    whole = answered(converse({"text": "Hel"}, {"text": "lo"}))

    assert whole["choices"][0]["message"]["content"] == "Hello"
    assert whole["choices"][0]["finish_reason"] == "stop"
    assert whole["usage"] == {
        "prompt_tokens": 10,
        "completion_tokens": 5,
        "total_tokens": 15,
        "prompt_tokens_details": {"cached_tokens": 0},
    }


def test_tokens_of_the_cache_are_part_of_the_prompt() -> None:
    """Bedrock counts them beside the others."""
    usage = answered(converse({"text": "a"}, cacheReadInputTokens=100, cacheWriteInputTokens=30))["usage"]

    assert usage["prompt_tokens"] == 140
    assert usage["total_tokens"] == 145
    assert usage["prompt_tokens_details"] == {"cached_tokens": 100, "cache_creation_tokens": 30}


def test_calls_of_tools() -> None:
    uses = [
        {"toolUse": {"toolUseId": f"tooluse_{city}", "name": "get_weather", "input": {"city": city}}}
        for city in ("Oslo", "Zürich")
    ]

    choice = choice_of(converse({"text": "Let me see"}, *uses, stop="tool_use"), tools=[WEATHER])

    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"]["content"] == "Let me see"
    assert [
        (call["id"], json.loads(call["function"]["arguments"])) for call in choice["message"]["tool_calls"]
    ] == [
        ("tooluse_Oslo", {"city": "Oslo"}),
        ("tooluse_Zürich", {"city": "Zürich"}),
    ]


def test_an_answer_by_a_tool_is_text() -> None:
    use = {"toolUse": {"toolUseId": "t", "name": "answer", "input": {"city": "Zürich"}}}

    choice = choice_of(converse(use, stop="tool_use"), response_format=LOOSE)

    assert json.loads(choice["message"]["content"]) == {"city": "Zürich"}
    assert choice["finish_reason"] == "stop"
    assert "tool_calls" not in choice["message"]


def test_what_was_thought_comes_beside_the_text_and_with_its_signature() -> None:
    thought = {"reasoningContent": {"reasoningText": {"text": "Hm", "signature": "c2ln"}}}
    hidden = {"reasoningContent": {"redactedContent": "cmVk"}}

    message = choice_of(converse(thought, hidden, {"text": "Hi"}))["message"]

    assert message["reasoning_content"] == "Hm"
    assert message["thinking_blocks"] == [
        {"type": "thinking", "thinking": "Hm", "signature": "c2ln"},
        {"type": "redacted_thinking", "data": "cmVk"},
    ]


def test_a_thought_without_a_signature_is_not_wanted_again() -> None:
    thought = {"reasoningContent": {"reasoningText": {"text": "Hm"}}}

    message = choice_of(converse(thought, {"text": "Hi"}), model=LLAMA)["message"]

    assert message["reasoning_content"] == "Hm"
    assert "thinking_blocks" not in message


def test_sources_on_the_web_are_annotations() -> None:
    web = {"web": {"url": "https://example.com/a", "domain": "example.com"}}
    cited = {
        "content": [{"text": "It is so."}],
        "citations": [{"title": "A", "location": web}, {"title": "B"}],
    }

    message = choice_of(converse({"text": "Well: "}, {"citationsContent": cited}))["message"]

    assert message["content"] == "Well: It is so."
    (annotation,) = message["annotations"]
    assert annotation["url_citation"] == {
        "url": "https://example.com/a",
        "title": "A",
        "start_index": 6,
        "end_index": 15,
    }


@pytest.mark.parametrize(
    ("stop", "reason"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("guardrail_intervened", "content_filter"),
        ("content_filtered", "content_filter"),
        ("refusal", "content_filter"),
        ("something_new", "stop"),
    ],
)
def test_why_an_answer_ends(stop: str, reason: str) -> None:
    assert choice_of(converse({"text": "a"}, stop=stop))["finish_reason"] == reason


def test_a_call_at_the_end_of_a_turn_is_a_call() -> None:
    use = {"toolUse": {"toolUseId": "t", "name": "get_weather", "input": {}}}

    assert choice_of(converse(use), tools=[WEATHER])["finish_reason"] == "tool_calls"


@pytest.mark.parametrize("stop", ["malformed_model_output", "malformed_tool_use"])
def test_what_is_malformed_is_no_answer(stop: str) -> None:
    with pytest.raises(ValueError, match="malformed"):
        answered(converse({"text": "{"}, stop=stop))


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"output": {}}', b"<html>"])
def test_what_is_no_answer_is_an_error(body: bytes) -> None:
    with pytest.raises((KeyError, TypeError, ValueError)):
        exchange().answer(body)


@pytest.mark.parametrize(
    ("status", "message", "expected", "code", "param"),
    [
        (400, "Input is too long for requested model.", 400, "context_length_exceeded", "messages"),
        (
            400,
            "prompt is too long: 200001 tokens > 200000 maximum",
            400,
            "context_length_exceeded",
            "messages",
        ),
        (
            400,
            "input length and `max_tokens` exceed context limit: 199000 + 8000 > 200000",
            400,
            "context_length_exceeded",
            "messages",
        ),
        (400, "The provided model identifier is invalid.", 404, "model_not_found", "model"),
        (
            400,
            "Invocation of model ID x with on-demand throughput isn't supported.",
            400,
            None,
            "model",
        ),
        (400, "The maximum tokens you requested exceeds the model limit of 8192.", 400, None, "max_tokens"),
        (400, "The value at toolConfig.tools.0 is wrong", 400, None, "tools"),
        (400, "messages.1.content.0: Invalid `signature` in `thinking` block", 400, None, "reasoning_effort"),
        (400, "The security token included in the request is expired", 403, None, None),
        (403, "You don't have access to the model with the specified model ID.", 403, None, None),
        (404, "Model not found", 404, "model_not_found", "model"),
        (408, "Model timed out", 504, None, None),
        (424, "The model failed", 502, None, None),
        (429, "Too many requests, please wait before trying again.", 429, "rate_limit_exceeded", None),
        (500, "Internal", 500, None, None),
        (503, "Bedrock is unable to process your request.", 503, None, None),
    ],
)
def test_errors(status: int, message: str, expected: int, code: str | None, param: str | None) -> None:
    told, body = exchange().error(status, json.dumps({"message": message}).encode())

    error = json.loads(body)["error"]
    assert (told, error["code"], error["param"], error["message"]) == (expected, code, param, message)


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"message": 5}'])
def test_an_error_without_words(body: bytes) -> None:
    status, text = exchange().error(503, body)

    assert status == 503
    assert json.loads(text)["error"]["message"] == "Bedrock answered with status 503."


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("ServiceQuotaExceededException:http://internal.amazon.com/", 429),
        ("IncompleteSignatureException", 403),
        ("ValidationException", 400),
    ],
)
def test_the_head_tells_what_a_status_does_not(kind: str, status: int) -> None:
    asked = exchange()
    assert isinstance(asked, ReadsHead)
    asked.read_head({"x-amzn-ErrorType": kind})

    assert asked.error(400, b"{}")[0] == status


@pytest.mark.parametrize(
    ("told", "tier"),
    [({"type": "flex"}, "flex"), ({"type": "priority"}, "priority"), ({"type": "default"}, None)],
)
def test_the_way_of_service_is_told(told: dict[str, str], tier: str | None) -> None:
    whole = answered({**converse({"text": "Hi"}), "serviceTier": told})

    assert whole.get("service_tier") == tier
