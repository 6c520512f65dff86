"""Each kind of target gets a request as it can take it: what has a meaning is said, or refused."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from gateway_project.api.anthropic.requests import read_request
from gateway_project.api.anthropic.targets import Fields
from gateway_project.core.codec import loads
from gateway_project.core.errors import InvalidRequest
from upstreams_app.registry import Target

Json = dict[str, Any]
MARK: Any = {"cache_control": {"type": "ephemeral"}}
PNG = {"type": "base64", "media_type": "image/png", "data": "iVBORw0="}
URL = "data:image/png;base64,iVBORw0="


def target(kind: str, model: str = "m", *, asks_stream_usage: bool = True) -> Target:
    """A target of an upstream of a kind."""
    upstream = SimpleNamespace(kind=kind, asks_stream_usage=asks_stream_usage)
    return cast("Target", SimpleNamespace(upstream=upstream, model=model))


def fields(kind: str, *messages: Json, model: str = "m", **more: Any) -> Json:
    """What a target of a kind is sent."""
    turns = list(messages) or [{"role": "user", "content": "Hi"}]
    request = read_request({"model": "m", "max_tokens": 9, "messages": turns, **more})
    sent = Fields(request.fields).for_target(target(kind, model))
    return {name: loads(bytes(value)) for name, value in sent.items()}


def user(*blocks: Json) -> Json:
    return {"role": "user", "content": list(blocks)}


def test_openais_wire_has_plain_messages_and_no_markers() -> None:
    sent = fields(
        "openai-compatible",
        user({"type": "text", "text": "Hi", **MARK}),
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "Hm.", "signature": "c2ln"},
                {"type": "text", "text": "I look", **MARK},
                {"type": "text", "text": " it up."},
                {"type": "tool_use", "id": "t1", "name": "f", "input": {"a": "ü"}, **MARK},
            ],
        },
        user({"type": "tool_result", "tool_use_id": "t1", "content": "no", "is_error": True, **MARK}),
        system=[{"type": "text", "text": "One.", **MARK}, {"type": "text", "text": "Two."}],
        tools=[{"name": "f", "input_schema": {"type": "object"}, **MARK}],
        **MARK,
    )

    function = {"name": "f", "parameters": {"type": "object"}}
    assert sent == {
        "model": "m",
        "max_tokens": 9,
        "messages": [
            {"role": "system", "content": "One.\n\nTwo."},
            {"role": "user", "content": "Hi"},
            {
                "role": "assistant",
                "content": "I look it up.",
                "tool_calls": [
                    {"id": "t1", "type": "function", "function": {"name": "f", "arguments": '{"a":"ü"}'}}
                ],
            },
            {"role": "tool", "tool_call_id": "t1", "content": "Error: no"},
        ],
        "tools": [{"type": "function", "function": function}],
    }


def test_images_of_results_are_shown_by_the_user() -> None:
    called: list[Json] = [{"type": "tool_use", "id": name, "name": "f", "input": {}} for name in ("t1", "t2")]
    results: list[Json] = [
        {
            "type": "tool_result",
            "tool_use_id": "t1",
            "content": [{"type": "text", "text": "Look"}, {"type": "image", "source": PNG}],
        },
        {"type": "tool_result", "tool_use_id": "t2"},
    ]

    sent = fields(
        "openai", {"role": "assistant", "content": called}, user(*results, {"type": "text", "text": "So?"})
    )
    alone = fields("openai", {"role": "assistant", "content": called}, user(*results))

    image = {"type": "image_url", "image_url": {"url": URL}}
    tools = [
        {"role": "tool", "tool_call_id": "t1", "content": "Look"},
        {"role": "tool", "tool_call_id": "t2", "content": ""},
    ]
    assert sent["messages"][1:] == [
        *tools,
        {"role": "user", "content": [image, {"type": "text", "text": "So?"}]},
    ]
    assert alone["messages"][1:] == [*tools, {"role": "user", "content": [image]}]


def test_documents_are_files_and_texts_are_texts() -> None:
    pdf = {"type": "base64", "media_type": "application/pdf", "data": "JVBERg=="}
    text = {"type": "text", "media_type": "text/plain", "data": "Ünited"}
    parts = {"type": "content", "content": [{"type": "text", "text": "a"}, {"type": "image", "source": PNG}]}

    sent = fields(
        "openai",
        user(
            {"type": "document", "source": pdf},
            {"type": "document", "source": text, "title": "Notes", "context": "Mine."},
            {"type": "document", "source": parts},
        ),
    )

    assert sent["messages"][0]["content"] == [
        {
            "type": "file",
            "file": {"filename": "document.pdf", "file_data": "data:application/pdf;base64,JVBERg=="},
        },
        {"type": "text", "text": "Mine."},
        {"type": "text", "text": "Notes\n\nÜnited"},
        {"type": "text", "text": "a"},
        {"type": "image_url", "image_url": {"url": URL}},
    ]


@pytest.mark.parametrize(
    ("budget", "effort"), [(1024, "low"), (4096, "low"), (10_000, "medium"), (31_999, "high")]
)
def test_a_budget_of_thoughts_is_an_effort_elsewhere(budget: int, effort: str) -> None:
    thinking = {"type": "enabled", "budget_tokens": budget}

    for kind in ("openai", "vllm", "gemini"):
        sent = fields(kind, thinking=thinking)
        assert sent["reasoning_effort"] == effort
        assert "thinking" not in sent
    for kind, model in (("anthropic", "other"), ("bedrock", "eu.anthropic.claude-sonnet-4-5")):
        sent = fields(kind, model=model, thinking=thinking)
        assert sent["thinking"] == thinking
        assert "reasoning_effort" not in sent


def test_thinking_as_the_model_likes_asks_for_no_effort() -> None:
    for kind in ("adaptive", "disabled"):
        assert not {"thinking", "reasoning_effort"} & fields("openai", thinking={"type": kind}).keys()
    assert fields("openai", output_config={"effort": "max"})["reasoning_effort"] == "high"


def test_where_to_run_is_refused_where_nobody_can_be_told() -> None:
    assert fields("anthropic", inference_geo="us")["inference_geo"] == "us"
    assert "inference_geo" not in fields("openai", inference_geo="global")
    for kind in ("openai", "gemini"):
        with pytest.raises(InvalidRequest, match="inference_geo"):
            fields(kind, inference_geo="us")


def test_other_vendors_are_told_of_failed_tools_in_words() -> None:
    called = {"role": "assistant", "content": [{"type": "tool_use", "id": "t1", "name": "f", "input": {}}]}
    result = user({"type": "tool_result", "tool_use_id": "t1", "content": "no", "is_error": True})

    assert fields("anthropic", called, result)["messages"][1]["is_error"] is True
    assert fields("gemini", called, result)["messages"][1] == {
        "role": "tool",
        "tool_call_id": "t1",
        "content": [{"type": "text", "text": "Error: "}, {"type": "text", "text": "no"}],
    }


def test_usage_of_streams_is_asked_for_where_that_is_understood() -> None:
    turns = [{"role": "user", "content": "Hi"}]
    request = read_request({"model": "m", "max_tokens": 9, "messages": turns, "stream": True})
    made = Fields(request.fields)

    asked = made.for_target(target("vllm"))
    silent = made.for_target(target("vllm", asks_stream_usage=False))

    assert loads(bytes(asked["stream_options"])) == {"include_usage": True}
    assert "stream_options" not in silent


def test_the_choice_of_a_tool_is_the_same_everywhere() -> None:
    tools = [{"name": "f", "input_schema": {"type": "object"}}]

    def chosen(**choice: Any) -> Json:
        sent = fields("openai", tools=tools, tool_choice=choice)
        return {name: sent[name] for name in ("tool_choice", "parallel_tool_calls") if name in sent}

    assert chosen(type="any") == {"tool_choice": "required"}
    assert chosen(type="none") == {"tool_choice": "none"}
    assert chosen(type="auto", disable_parallel_tool_use=True) == {
        "tool_choice": "auto",
        "parallel_tool_calls": False,
    }
    assert chosen(type="tool", name="f") == {"tool_choice": {"type": "function", "function": {"name": "f"}}}
