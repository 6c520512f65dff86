"""What OpenAI's clients get for what Google answers, whole or streamed; Google's own SDK reads it as well.

Sources of the shapes: GenerateContentResponse, FinishReason, BlockedReason and UsageMetadata in the
references of the Gemini API (v1beta) and of Vertex AI (v1); streams as `alt=sse` gives them, and as an array
without it.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from google.genai import types
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from gateway_project.core import sse
from tests.providers.google_fake import answer_of, decoded, parts_of, stream_of
from tests.providers.mind import Said
from upstreams_app.providers.call_ids import split_id
from upstreams_app.providers.gemini import provider
from upstreams_app.providers.wire import Exchange, ReadsHead, Site

SIGNATURE = "+/8="
Json = dict[str, Any]


def _exchange(*, is_stream: bool = False, **fields: Any) -> Exchange:
    asked = {"messages": [{"role": "user", "content": "Hello"}], "stream": is_stream, **fields}
    return provider().exchange("/chat/completions", asked, model="gemini-x", site=Site({}, ""))


def _answered(answer: Json, **fields: Any) -> ChatCompletion:
    types.GenerateContentResponse.model_validate(answer)
    return ChatCompletion.model_validate_json(_exchange(**fields).answer(json.dumps(answer).encode()))


def _candidate(*parts: Json, **more: Any) -> Json:
    return {"candidates": [{"content": {"role": "model", "parts": [*parts]}, "finishReason": "STOP", **more}]}


def _streamed(body: bytes, size: int, **fields: Any) -> list[Any]:
    """The events of a stream that comes in pieces of a size; `[DONE]` is the last."""
    exchange = _exchange(is_stream=True, **fields)
    made = b"".join(exchange.feed(body[at : at + size]) for at in range(0, len(body), size))
    data = [data for _, data in sse.iter_events(made + exchange.finish()) if data]
    assert data.pop() == b"[DONE]"
    return [json.loads(item) for item in data]


def _sse(pieces: list[Json], end: str = "\r\n\r\n") -> bytes:
    return "".join(f"data: {json.dumps(piece, ensure_ascii=False)}{end}" for piece in pieces).encode()


def _message(chunks: list[ChatCompletionChunk]) -> tuple[str, str, list[tuple[str, str, str]], list[str]]:
    """Text, thoughts, calls (id, name, arguments) and finish reasons."""
    deltas = [choice.delta for chunk in chunks for choice in chunk.choices]
    calls = [call for delta in deltas for call in delta.tool_calls or []]
    return (
        "".join(delta.content or "" for delta in deltas),
        "".join(getattr(delta, "reasoning_content", "") or "" for delta in deltas),
        [
            (str(call.id), str(call.function.name), str(call.function.arguments))
            for call in calls
            if call.function
        ],
        [choice.finish_reason for chunk in chunks for choice in chunk.choices if choice.finish_reason],
    )


def test_text_thoughts_and_usage() -> None:
    answer = _candidate({"text": "Hmm.", "thought": True}, {"text": "Hel"}, {"text": "lo"})
    answer["usageMetadata"] = {
        "promptTokenCount": 100,
        "cachedContentTokenCount": 40,
        "toolUsePromptTokenCount": 5,
        "candidatesTokenCount": 7,
        "thoughtsTokenCount": 11,
        "totalTokenCount": 123,
        "promptTokensDetails": [
            {"modality": "TEXT", "tokenCount": 90},
            {"modality": "AUDIO", "tokenCount": 10},
            {"modality": "IMAGE", "tokenCount": 3},
        ],
        "candidatesTokensDetails": [{"modality": "IMAGE", "tokenCount": 6}],
    }
    answer["responseId"] = "r-1"

    made = _answered(answer)

    assert made.id == "r-1"
    assert made.choices[0].message.content == "Hello"
    assert made.choices[0].message.model_extra == {"reasoning_content": "Hmm."}
    assert made.choices[0].finish_reason == "stop"
    assert made.usage is not None
    assert made.usage.model_dump(exclude_none=True) == {
        "prompt_tokens": 105,
        "completion_tokens": 18,
        "total_tokens": 123,
        "prompt_tokens_details": {"cached_tokens": 40, "audio_tokens": 10, "image_tokens": 3},
        "completion_tokens_details": {"reasoning_tokens": 11, "image_tokens": 6},
    }


def test_thoughts_that_are_counted_already_are_not_counted_twice() -> None:
    usage = {
        "promptTokenCount": 10,
        "candidatesTokenCount": 20,
        "thoughtsTokenCount": 15,
        "totalTokenCount": 30,
    }

    made = _answered({**_candidate({"text": "a"}), "usageMetadata": usage})

    assert made.usage is not None
    assert (made.usage.prompt_tokens, made.usage.completion_tokens, made.usage.total_tokens) == (10, 20, 30)


def test_calls_carry_their_signature_in_their_ids() -> None:
    made = _answered(
        _candidate(
            {"functionCall": {"name": "f", "args": {"a": 1}, "id": "x1"}, "thoughtSignature": SIGNATURE},
            {"functionCall": {"name": "g"}},
            finishReason="STOP",
        )
    )

    first, second = made.choices[0].message.tool_calls or []
    assert made.choices[0].finish_reason == "tool_calls"
    assert made.choices[0].message.content is None
    assert first.type == second.type == "function"
    assert (first.id, first.function.name, first.function.arguments) == ("x1__signed_-_8", "f", '{"a":1}')
    assert decoded(split_id(first.id).signature) == b"\xfb\xff"
    assert second.id.startswith("call_")
    assert len(second.id) <= 40
    assert second.function.arguments == "{}"


def test_one_call_at_a_time_where_that_is_wanted() -> None:
    parts: list[Json] = [{"functionCall": {"name": name, "args": {}}} for name in ("f", "g")]

    made = _answered(_candidate(*parts), parallel_tool_calls=False)
    chunks = _streamed(_sse([_candidate(*parts)]), 10_000, parallel_tool_calls=False)

    assert [
        call.function.name for call in made.choices[0].message.tool_calls or [] if call.type == "function"
    ] == ["f"]
    assert [
        call[1] for call in _message([ChatCompletionChunk.model_validate(item) for item in chunks])[2]
    ] == ["f"]


@pytest.mark.parametrize(
    ("reason", "text", "expected"),
    [
        ("STOP", "a", "stop"),
        ("STOP", "", "stop"),
        ("MAX_TOKENS", "a", "length"),
        ("SAFETY", "a", "content_filter"),
        ("RECITATION", "", "content_filter"),
        ("LANGUAGE", "", "content_filter"),
        ("BLOCKLIST", "", "content_filter"),
        ("PROHIBITED_CONTENT", "", "content_filter"),
        ("SPII", "", "content_filter"),
        ("IMAGE_SAFETY", "", "content_filter"),
        ("MODEL_ARMOR", "", "content_filter"),
        ("MALFORMED_FUNCTION_CALL", "", "content_filter"),
        ("MALFORMED_FUNCTION_CALL", "a", "stop"),
        ("UNEXPECTED_TOOL_CALL", "", "content_filter"),
        ("OTHER", "a", "stop"),
        ("OTHER", "", "content_filter"),
        ("SOMETHING_NEW", "", "content_filter"),
    ],
)
def test_each_finish_reason_has_its_word(reason: str, text: str, expected: str) -> None:
    answer = _candidate(*([{"text": text}] if text else []), finishReason=reason, finishMessage="Because.")

    made = _exchange().answer(json.dumps(answer).encode())
    events = _streamed(_sse([answer]), 10_000)

    choice = ChatCompletion.model_validate_json(made).choices[0]
    assert choice.finish_reason == expected
    assert _message([ChatCompletionChunk.model_validate(item) for item in events])[3] == [expected]
    is_refused = reason not in ("STOP", "MAX_TOKENS")
    assert choice.message.refusal == (f"The answer ended early: {reason}. Because." if is_refused else None)


@pytest.mark.parametrize("reason", ["SAFETY", "BLOCKLIST", "PROHIBITED_CONTENT", "OTHER"])
def test_a_blocked_prompt_is_filtered_content(reason: str) -> None:
    answer = {
        "promptFeedback": {"blockReason": reason},
        "usageMetadata": {"promptTokenCount": 9, "totalTokenCount": 9},
    }

    made = _answered(answer)
    chunks = [ChatCompletionChunk.model_validate(item) for item in _streamed(_sse([answer]), 7)]

    assert made.choices[0].finish_reason == "content_filter"
    assert made.choices[0].message.refusal == f"The prompt was blocked: {reason}."
    assert made.usage is not None
    assert made.usage.prompt_tokens == 9
    assert _message(chunks)[3] == ["content_filter"]
    assert chunks[-1].usage is not None


@pytest.mark.parametrize("body", [b"", b"[]", b"<html>", b"{}", b'{"candidates":[]}', b'"a"', b"null"])
def test_what_is_no_answer_is_an_error(body: bytes) -> None:
    with pytest.raises((AttributeError, KeyError, TypeError, ValueError)):
        _exchange().answer(body)


def test_several_candidates_are_choices_in_their_order() -> None:
    answer = answer_of([{"text": "a"}], Said(), count=2)
    answer["candidates"].reverse()

    made = _answered(answer)

    assert [choice.index for choice in made.choices] == [0, 1]


SAID = Said(
    text='Grüße, "Welt" 🌍 {[\\]}',
    reasoning="Let me think.",
    calls=(("f", {"a": '}"{', "b": [1, {"c": None}]}), ("g", {})),
    end="calls",
    input=5,
    output=9,
    thought=3,
)


def _forms() -> dict[str, bytes]:
    pieces = stream_of(SAID, signs=True)
    for piece in pieces:
        types.GenerateContentResponse.model_validate(piece)
    return {
        "sse": _sse(pieces),
        "sse with line feeds": _sse(pieces, "\n\n"),
        "sse without a last blank line": _sse(pieces).rstrip(),
        "array": json.dumps(pieces, ensure_ascii=False).encode(),
        "indented array": json.dumps(pieces, indent=2).replace("},\n", "}\n,\r\n").encode(),
    }


@pytest.mark.parametrize("form", _forms())
def test_a_stream_means_the_same_however_it_is_cut(form: str) -> None:
    body = _forms()[form]

    for size in (1, 2, 3, 7, 64, len(body)):
        events = _streamed(body, size)
        chunks = [ChatCompletionChunk.model_validate(item) for item in events]

        text, thoughts, calls, ends = _message(chunks)
        assert text == SAID.text
        assert thoughts == SAID.reasoning
        assert [(name, json.loads(arguments)) for _, name, arguments in calls] == list(SAID.calls)
        assert calls[0][0].startswith("fc-0__signed_")
        assert calls[1][0] == "fc-1"
        assert ends == ["tool_calls"]
        assert {chunk.id for chunk in chunks} == {"resp-1"}
        assert [chunk.choices[0].delta.role for chunk in chunks[:2]] == ["assistant", None]
        assert chunks[-1].usage is not None
        assert (chunks[-1].usage.prompt_tokens, chunks[-1].usage.completion_tokens) == (5, 9)


@pytest.mark.parametrize("form", _forms())
def test_tokens_flow_at_once(form: str) -> None:
    body = _forms()[form]
    half = body[: body.index(b"think.")]

    assert b'"reasoning_content":"Let "' in _exchange(is_stream=True).feed(half)


@pytest.mark.parametrize("form", ["sse", "array"])
def test_a_stream_that_breaks_off_is_no_answer(form: str) -> None:
    body = _forms()[form]
    end = body.index(b'"finishReason"')

    for cut in range(0, end, 37):
        exchange = _exchange(is_stream=True)
        exchange.feed(body[:cut])
        with pytest.raises(ValueError, match=r"."):
            exchange.finish()


@pytest.mark.parametrize(
    "form",
    [
        lambda error: _sse([error]),
        lambda error: json.dumps([error]).encode(),
        lambda e: json.dumps(e).encode(),
    ],
)
def test_an_error_in_a_stream_is_an_event(form: Any) -> None:
    error = {"error": {"code": 503, "message": "The model is overloaded.", "status": "UNAVAILABLE"}}
    exchange = _exchange(is_stream=True)

    made = exchange.feed(_sse([_candidate({"text": "Hel"}, finishReason=None)])) if form is None else b""
    made += exchange.feed(form(error))

    ((_, data),) = sse.iter_events(made)
    assert data is not None
    assert json.loads(data)["error"]["status"] == 503
    with pytest.raises(ValueError, match="broke off"):
        exchange.finish()


def test_signed_parts_of_text_give_text_only() -> None:
    made = _answered(_candidate({"text": "a"}, {"text": "", "thoughtSignature": SIGNATURE}))

    assert made.choices[0].message.content == "a"


def test_pictures_come_beside_the_text() -> None:
    answer = _candidate({"inlineData": {"mimeType": "image/png", "data": "AAAA"}})

    made = _answered(answer)
    chunks = _streamed(_sse([answer]), 11)

    images = [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]
    assert made.choices[0].message.model_extra == {"images": images}
    assert made.choices[0].finish_reason == "stop"
    assert [chunk["choices"][0]["delta"].get("images") for chunk in chunks[:1]] == [images]


def test_the_function_that_answers_is_text() -> None:
    fields: Json = {
        "tools": [{"type": "function", "function": {"name": "answer"}}],
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "a", "schema": {"properties": {"a": {"type": "string"}}}},
        },
    }
    answer = _candidate({"functionCall": {"name": "answer_", "args": {"a": "é"}}})
    exchange = provider().exchange(
        "/chat/completions",
        {"messages": [{"role": "user", "content": "Hello"}], **fields},
        model="gemini-2.5-pro",
        site=Site({}, ""),
    )

    made = ChatCompletion.model_validate_json(exchange.answer(json.dumps(answer).encode()))
    events = exchange.feed(_sse([answer])) + exchange.finish()

    assert made.choices[0].message.content == '{"a":"é"}'
    assert made.choices[0].message.tool_calls is None
    assert made.choices[0].finish_reason == "stop"
    assert '"content":"{\\"a\\":\\"é\\"}"' in events.decode()
    assert b'"finish_reason":"stop"' in events


def test_half_an_emoji_is_no_end() -> None:
    body = b'{"candidates":[{"content":{"parts":[{"text":"a\\ud83c"}]},"finishReason":"STOP"}]}'

    assert ChatCompletion.model_validate_json(_exchange().answer(body)).choices[0].message.content == "a?"


def test_the_fake_signs_its_first_call_only() -> None:
    first, second = [part for part in parts_of(SAID, signs=True) if "functionCall" in part]

    assert "thoughtSignature" in first
    assert "thoughtSignature" not in second


@pytest.mark.parametrize(
    ("asked", "head", "traffic", "tier"),
    [
        ("flex", {}, None, "flex"),
        ("priority", {"x-gemini-service-tier": "standard"}, None, None),
        ("default", {}, None, None),
        ("priority", {}, "ON_DEMAND", None),
        ("default", {}, "ON_DEMAND_PRIORITY", "priority"),
        ("flex", {"x-gemini-service-tier": "flex"}, "ON_DEMAND_FLEX", "flex"),
    ],
)
def test_the_way_of_service_is_the_one_that_it_was(
    asked: str, head: dict[str, str], traffic: str | None, tier: str | None
) -> None:
    usage = {"promptTokenCount": 1, "candidatesTokenCount": 1, "totalTokenCount": 2}
    answer = {
        **_candidate({"text": "Hi"}),
        "usageMetadata": usage | ({"trafficType": traffic} if traffic else {}),
    }
    plain, stream = _exchange(service_tier=asked), _exchange(is_stream=True, service_tier=asked)
    for exchange in (plain, stream):
        assert isinstance(exchange, ReadsHead)
        exchange.read_head(head)

    whole = json.loads(plain.answer(json.dumps(answer).encode()))
    events = stream.feed(b"data: " + json.dumps(answer).encode() + b"\n\n") + stream.finish()

    assert whole.get("service_tier") == tier
    assert (b'"service_tier":"%s"' % (tier or "x").encode() in events) == bool(tier)
