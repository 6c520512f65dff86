"""Anthropic's answers and errors as OpenAI's: shapes of its reference (messages, streaming, errors)."""

from __future__ import annotations

import json
from typing import Any

import pytest
from anthropic.types import Message as AnthropicMessage
from anthropic.types import RawMessageStreamEvent
from openai.types.chat import ChatCompletion
from pydantic import TypeAdapter

from tests.providers.fake_anthropic import events, message
from tests.providers.mind import Said
from upstreams_app.providers import provider_of
from upstreams_app.providers.wire import Exchange, Site
from usage_app.entry import TokenUsage
from usage_app.services.extraction import token_usage

USAGE = {
    "input_tokens": 10,
    "cache_read_input_tokens": 100,
    "cache_creation_input_tokens": 20,
    "cache_creation": {"ephemeral_5m_input_tokens": 20, "ephemeral_1h_input_tokens": 0},
    "output_tokens": 30,
    "output_tokens_details": {"thinking_tokens": 12},
    "service_tier": "standard",
}
THINKING = {"type": "thinking", "thinking": "Hm.", "signature": "c2ln"}


def exchange(**fields: Any) -> Exchange:
    """An exchange of some request."""
    provider = provider_of("anthropic")
    assert provider is not None
    asked = {"model": "x", "messages": [{"role": "user", "content": "?"}], **fields}
    model = "claude-opus-4-1" if "response_format" in fields else "claude-sonnet-4-6"
    return provider.exchange("/chat/completions", asked, model=model, site=Site({}, "key"))


def wire(content: list[Any], stop_reason: str = "end_turn", **fields: Any) -> bytes:
    """A message of the API."""
    body = {
        "id": "msg_013",
        "type": "message",
        "role": "assistant",
        "model": "claude-sonnet-4-6",
        "content": content,
        "stop_reason": stop_reason,
        "stop_sequence": None,
        "usage": USAGE,
        **fields,
    }
    AnthropicMessage.model_validate(body)
    return json.dumps(body).encode()


def answer(body: bytes, **fields: Any) -> ChatCompletion:
    """What OpenAI's client makes of it."""
    return ChatCompletion.model_validate_json(exchange(**fields).answer(body))


def test_text_thoughts_and_calls_have_their_places() -> None:
    call = {"type": "tool_use", "id": "toolu_1", "name": "get_weather", "input": {"city": "Zürich"}}
    hidden = {"type": "redacted_thinking", "data": "eA=="}
    text = [{"type": "text", "text": "Let me "}, {"type": "text", "text": "see."}]

    made = answer(wire([THINKING, hidden, *text, call], "tool_use"))

    (choice,) = made.choices
    assert (made.id, choice.finish_reason, choice.message.content) == ("msg_013", "tool_calls", "Let me see.")
    assert choice.message.model_extra == {"reasoning_content": "Hm.", "thinking_blocks": [THINKING, hidden]}
    assert choice.message.tool_calls is not None
    (made_call,) = choice.message.tool_calls
    assert made_call.type == "function"
    assert (made_call.id, made_call.function.name) == ("toolu_1", "get_weather")
    assert made_call.function.arguments == '{"city":"Zürich"}'


def test_usage_is_summed_as_openai_sums_it() -> None:
    usage = answer(wire([{"type": "text", "text": "x"}])).usage

    assert usage is not None
    assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (130, 30, 160)
    assert usage.prompt_tokens_details is not None
    assert usage.prompt_tokens_details.cached_tokens == 100
    assert (usage.prompt_tokens_details.model_extra or {})["cache_creation_tokens"] == 20
    assert usage.completion_tokens_details is not None
    assert usage.completion_tokens_details.reasoning_tokens == 12


def test_usage_tells_what_is_cached_for_an_hour_and_how_it_was_served() -> None:
    lasting = {"ephemeral_5m_input_tokens": 5, "ephemeral_1h_input_tokens": 15}

    made = json.loads(
        exchange().answer(
            wire(
                [{"type": "text", "text": "x"}],
                usage={**USAGE, "cache_creation": lasting, "service_tier": "priority"},
            )
        )
    )

    assert made["usage"]["prompt_tokens_details"]["cache_creation_token_details"] == lasting
    tokens = token_usage(json.dumps(made["usage"]).encode())
    assert tokens == TokenUsage(130, 30, 100, 20, 12, cache_write_1h=15)
    assert made["service_tier"] == "priority"
    assert "service_tier" not in json.loads(exchange().answer(wire([{"type": "text", "text": "x"}])))


@pytest.mark.parametrize(
    ("reason", "finish"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("pause_turn", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("refusal", "content_filter"),
    ],
)
def test_each_reason_to_stop_has_openais_word(reason: str, finish: str) -> None:
    assert answer(wire([{"type": "text", "text": "x"}], reason)).choices[0].finish_reason == finish


def test_a_refusal_says_why() -> None:
    details = {"type": "refusal", "category": "cyber", "explanation": "It is harmful."}

    made = answer(wire([], "refusal", stop_details=details))

    assert made.choices[0].message.refusal == "It is harmful."
    assert made.choices[0].message.content == ""


def test_the_input_of_the_answer_tool_is_the_answer() -> None:
    schema: Any = {"type": "object", "properties": {"city": {"type": "string"}}}
    fields = {
        "response_format": {"type": "json_schema", "json_schema": {"name": "weather", "schema": schema}}
    }
    block = {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"city": "Oslo"}}

    made = answer(wire([block], "tool_use"), **fields)

    assert made.choices[0].finish_reason == "stop"
    assert made.choices[0].message.content == '{"city":"Oslo"}'
    assert made.choices[0].message.tool_calls is None


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"{}", b'{"type": "message"}', b'{"type": "error"}'])
def test_what_is_no_message_is_not_taken_for_one(body: bytes) -> None:
    with pytest.raises((AttributeError, KeyError, TypeError, ValueError)):
        exchange().answer(body)


@pytest.mark.parametrize(
    ("status", "kind", "text", "expected", "param", "code"),
    [
        (
            400,
            "invalid_request_error",
            "max_tokens: 9 > 8, which is ...",
            400,
            "max_tokens",
            "invalid_request_error",
        ),
        (
            400,
            "invalid_request_error",
            "messages.0.content.1.text: empty",
            400,
            "messages",
            "invalid_request_error",
        ),
        (400, "invalid_request_error", "stop_sequences.0: empty", 400, "stop", "invalid_request_error"),
        (
            400,
            "invalid_request_error",
            "output_config.effort: no",
            400,
            "reasoning_effort",
            "invalid_request_error",
        ),
        (
            400,
            "invalid_request_error",
            "output_config.format.schema: no",
            400,
            "response_format",
            "invalid_request_error",
        ),
        (
            400,
            "invalid_request_error",
            "prompt is too long: 2 > 1 maximum",
            400,
            "messages",
            "context_length_exceeded",
        ),
        (
            400,
            "invalid_request_error",
            "input length and `max_tokens` exceed context limit: 1 + 2 > 2",
            400,
            "messages",
            "context_length_exceeded",
        ),
        (
            400,
            "invalid_request_error",
            "Your credit balance is too low to access the Anthropic API.",
            403,
            None,
            "invalid_request_error",
        ),
        (
            400,
            "invalid_request_error",
            "You have reached your specified API usage limits. You will regain access on 2026-12-01.",
            429,
            None,
            "invalid_request_error",
        ),
        (401, "authentication_error", "invalid x-api-key", 401, None, "authentication_error"),
        (403, "permission_error", "no", 403, None, "permission_error"),
        (404, "not_found_error", "model: claude-x", 404, "model", "not_found_error"),
        (413, "request_too_large", "too large", 413, None, "request_too_large"),
        (429, "rate_limit_error", "slow down", 429, None, "rate_limit_error"),
        (500, "api_error", "oh", 500, None, "api_error"),
        (529, "overloaded_error", "Overloaded", 503, None, "overloaded_error"),
    ],
)
def test_an_error_keeps_its_message_and_names_the_parameter(
    status: int, kind: str, text: str, expected: int, param: str | None, code: str
) -> None:
    body = {"type": "error", "error": {"type": kind, "message": text}, "request_id": "req_1"}

    made, raw = exchange().error(status, json.dumps(body).encode())

    error = json.loads(raw)["error"]
    assert made == expected
    assert (error["message"], error["param"], error["code"]) == (text, param, code)


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"error": null}', b'{"error": []}', b"null"])
def test_an_error_without_a_known_body_keeps_its_status(body: bytes) -> None:
    status, raw = exchange().error(502, body)

    assert status == 502
    assert json.loads(raw)["error"]["message"]


@pytest.mark.parametrize(
    "said",
    [
        Said(text="Hello", input=3, output=2),
        Said(reasoning="Hm.", calls=(("get_weather", {"city": "Oslo"}), ("noop", {})), end="calls"),
        Said(text="No.", end="refused"),
    ],
)
def test_the_sdk_reads_what_the_fake_of_the_api_sends(said: Said) -> None:
    request = {"model": "claude-sonnet-4-6"}
    adapter: TypeAdapter[Any] = TypeAdapter(RawMessageStreamEvent)

    AnthropicMessage.model_validate(message(request, said))
    kinds = [
        adapter.validate_python(event).type for event in events(request, said) if event["type"] != "ping"
    ]

    assert kinds[0] == "message_start"
    assert kinds[-2:] == ["message_delta", "message_stop"]


def test_usage_that_nobody_tells_is_estimated() -> None:
    wire = {"type": "message", "id": "m", "model": "x", "content": [], "stop_reason": "end_turn"}

    answer = json.loads(exchange().answer(json.dumps(wire).encode()))

    assert "usage" not in answer
