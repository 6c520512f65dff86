"""Requests as Anthropic's API takes them: shapes of its reference, each checked by the SDK's types."""

from __future__ import annotations

import json
from base64 import b64encode
from typing import Any

import pytest

from gateway_project.core.errors import InvalidRequest
from tests.providers.fake_anthropic import checked
from tests.providers.prompts import PIXEL, WEATHER
from upstreams_app.providers import provider_of
from upstreams_app.providers.wire import Site, WireRequest

SONNET = "claude-sonnet-4-6"
EPHEMERAL = {"type": "ephemeral", "ttl": "1h"}


def sent(
    messages: Any = "Hello", *, model: str = SONNET, options: dict[str, Any] | None = None, **fields: Any
) -> WireRequest:
    """The call for a request, which the fake of the API would take."""
    turns = [{"role": "user", "content": messages}] if isinstance(messages, str) else messages
    provider = provider_of("anthropic")
    assert provider is not None
    site = Site(options or {}, "key")
    exchange = provider.exchange(
        "/chat/completions", {"model": "x", "messages": turns, **fields}, model=model, site=site
    )
    return exchange.request


def body(messages: Any = "Hello", **fields: Any) -> dict[str, Any]:
    """Its body."""
    request = sent(messages, **fields)
    return checked(json.loads(request.body), request.headers["anthropic-version"])


def refusal(messages: Any = "Hello", **fields: Any) -> str | None:
    """The parameter that a refused request is refused for."""
    with pytest.raises(InvalidRequest) as caught:
        sent(messages, **fields)
    return caught.value.param


def calls(*ids: str) -> dict[str, Any]:
    """An assistant's message with calls."""
    function = {"name": "get_weather", "arguments": '{"city": "Oslo"}'}
    return {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": call_id, "type": "function", "function": function} for call_id in ids],
    }


def result(call_id: str, text: str = "3 °C") -> dict[str, Any]:
    """A tool's message."""
    return {"role": "tool", "tool_call_id": call_id, "content": text}


def test_a_plain_request_has_a_model_a_limit_and_blocks() -> None:
    request = sent("Hello")

    assert request.path == "/messages"
    assert request.headers == {"anthropic-version": "2026-10-21"}
    assert json.loads(request.body) == {
        "model": SONNET,
        "max_tokens": 32_000,
        "messages": [{"role": "user", "content": [{"type": "text", "text": "Hello"}]}],
    }


@pytest.mark.parametrize(
    ("model", "limit"),
    [
        ("claude-opus-latest", 32_000),
        ("claude-haiku-4-5-20251001", 32_000),
        ("claude-sonnet-4-20250514", 8192),
        ("claude-3-7-sonnet-20250219", 8192),
        ("claude-3-haiku-20240307", 4096),
        ("kimi-k3", 8192),
    ],
)
def test_a_limit_is_always_sent(model: str, limit: int) -> None:
    assert body(model=model)["max_tokens"] == limit
    assert body(model=model, max_tokens=5)["max_tokens"] == 5
    assert body(model=model, options={"max_tokens": 9})["max_tokens"] == 9


def test_turns_of_one_role_become_one_message_and_results_come_first() -> None:
    turns = [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": "One"},
        {"role": "user", "content": "Two"},
        calls("a", "b"),
        result("b", "two"),
        {"role": "user", "content": "Three"},
        result("a", "one"),
    ]

    made = body(turns, tools=[WEATHER])

    assert made["system"] == [{"type": "text", "text": "Be brief."}]
    assert [turn["role"] for turn in made["messages"]] == ["user", "assistant", "user"]
    assert made["messages"][0]["content"] == [
        {"type": "text", "text": "One"},
        {"type": "text", "text": "Two"},
    ]
    assert made["messages"][1]["content"][0] == {
        "type": "tool_use",
        "id": "a",
        "name": "get_weather",
        "input": {"city": "Oslo"},
    }
    assert made["messages"][2]["content"] == [
        {"type": "tool_result", "tool_use_id": "b", "content": "two"},
        {"type": "tool_result", "tool_use_id": "a", "content": "one"},
        {"type": "text", "text": "Three"},
    ]


def test_ids_that_the_api_refuses_are_replaced_and_used_ones_told_apart() -> None:
    turns = [
        {"role": "user", "content": "?"},
        calls("call:0"),
        result("call:0"),
        calls("call:0"),
        result("call:0"),
    ]

    made = body(turns, tools=[WEATHER])

    uses = [turn["content"][0]["id"] for turn in made["messages"] if turn["role"] == "assistant"]
    results = [turn["content"][0]["tool_use_id"] for turn in made["messages"][2::2]]
    assert uses == results == ["call_0", "call_0-2"]


def test_a_result_without_a_call_and_a_call_without_a_result_are_named() -> None:
    ask = {"role": "user", "content": "?"}

    assert refusal([ask, result("a")]) == "messages[1].tool_call_id"
    assert refusal([ask, calls("a"), result("a"), result("a")]) == "messages[3].tool_call_id"
    assert refusal([ask, calls("a")]) == "messages[1].tool_calls"
    assert refusal([ask, calls("a"), ask]) == "messages[1].tool_calls"


def test_calls_in_the_history_bring_a_tool_where_the_request_has_none() -> None:
    made = body([{"role": "user", "content": "?"}, calls("a"), result("a")])

    assert [tool["name"] for tool in made["tools"]] == ["get_weather"]
    assert made["tool_choice"] == {"type": "none"}


def test_what_says_nothing_is_left_out_and_a_user_begins() -> None:
    made = body(
        [
            {"role": "assistant", "content": "Hi! "},
            {"role": "user", "content": [{"type": "text", "text": " "}, {"type": "text", "text": "Hello"}]},
            {"role": "assistant", "content": ""},
            {"role": "user", "content": "?"},
            {"role": "assistant", "content": "I say \n"},
        ]
    )

    assert [turn["role"] for turn in made["messages"]] == ["user", "assistant", "user", "assistant"]
    assert [block["text"] for block in made["messages"][2]["content"]] == ["Hello", "?"]
    assert made["messages"][3]["content"] == [{"type": "text", "text": "I say"}]
    assert refusal("  ") == "messages"


@pytest.mark.parametrize(
    ("fields", "choice"),
    [
        ({}, None),
        ({"tool_choice": "auto"}, {"type": "auto"}),
        ({"tool_choice": "none", "parallel_tool_calls": False}, {"type": "none"}),
        ({"tool_choice": "required"}, {"type": "any"}),
        ({"parallel_tool_calls": False}, {"type": "auto", "disable_parallel_tool_use": True}),
        (
            {
                "tool_choice": {"type": "function", "function": {"name": "get_weather"}},
                "parallel_tool_calls": False,
            },
            {"type": "tool", "name": "get_weather", "disable_parallel_tool_use": True},
        ),
    ],
)
def test_a_choice_of_tools_is_anthropics(fields: dict[str, Any], choice: Any) -> None:
    made = body(tools=[WEATHER], **fields)

    assert made.get("tool_choice") == choice
    assert made["tools"][0]["input_schema"] == WEATHER["function"]["parameters"]


def test_newest_models_can_not_be_made_to_call_a_tool() -> None:
    for model in ("claude-opus-5-5", "claude-sonnet-5-5", "claude-fable-5-1", "claude-opus-latest"):
        assert refusal(model=model, tools=[WEATHER], tool_choice="required") == "tool_choice"
    assert body(model="claude-haiku-5-5", tools=[WEATHER], tool_choice="required")["tool_choice"]


def test_a_strict_tool_is_strict_where_the_model_can() -> None:
    tool = {"type": "function", "function": {**WEATHER["function"], "strict": True}}

    assert body(tools=[tool])["tools"][0]["strict"] is True
    assert "strict" not in body(tools=[tool], model="claude-opus-4-1")["tools"][0]


def test_images_and_documents_are_blocks() -> None:
    pdf = b64encode(b"%PDF-1.7").decode()
    made = body(
        [
            {
                "role": "user",
                "content": [
                    {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}},
                    {"type": "image_url", "image_url": {"url": "https://example.com/a.png", "detail": "low"}},
                    {
                        "type": "file",
                        "file": {"filename": "a.pdf", "file_data": f"data:application/pdf;base64,{pdf}"},
                    },
                    {"type": "file", "file": {"file_data": "data:text/markdown,%23%20Hi"}},
                    {"type": "text", "text": "Look", "cache_control": EPHEMERAL},
                ],
            }
        ]
    )

    assert made["messages"][0]["content"] == [
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}},
        {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}},
        {
            "type": "document",
            "source": {"type": "base64", "media_type": "application/pdf", "data": pdf},
            "title": "a.pdf",
        },
        {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "# Hi"}},
        {"type": "text", "text": "Look", "cache_control": EPHEMERAL},
    ]


@pytest.mark.parametrize(
    ("role", "part", "param"),
    [
        ("user", {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}, "input_audio"),
        ("user", {"type": "image_url", "image_url": "data:image/tiff;base64,AAAA"}, "image_url.url"),
        (
            "user",
            {"type": "file", "file": {"file_data": "data:application/zip;base64,AAAA"}},
            "file.file_data",
        ),
        ("user", {"type": "file", "file": {"file_data": "data:text/plain;base64,/w=="}}, "file.file_data"),
        ("assistant", {"type": "image_url", "image_url": "https://example.com/a.png"}, "image_url.url"),
    ],
)
def test_what_has_no_block_is_refused_by_its_path(role: str, part: Any, param: str) -> None:
    turns = [{"role": "user", "content": "?"}, {"role": role, "content": [part]}]

    assert refusal(turns) == f"messages[1].content[0].{param}"


def test_cache_markers_stay_on_system_tools_and_results() -> None:
    turns = [
        {"role": "system", "content": [{"type": "text", "text": "Rules", "cache_control": EPHEMERAL}]},
        {"role": "user", "content": "?"},
        calls("a"),
        {
            "role": "tool",
            "tool_call_id": "a",
            "content": [{"type": "text", "text": "x", "cache_control": EPHEMERAL}],
        },
    ]

    made = body(turns, tools=[{**WEATHER, "cache_control": EPHEMERAL}])

    assert made["system"][0]["cache_control"] == EPHEMERAL
    assert made["tools"][0]["cache_control"] == EPHEMERAL
    assert made["messages"][-1]["content"] == [
        {"type": "tool_result", "tool_use_id": "a", "content": "x", "cache_control": EPHEMERAL}
    ]


def test_harmless_members_are_mapped_or_left_out() -> None:
    made = body(
        user="u-1",
        service_tier="default",
        seed=7,
        store=True,
        metadata={"a": "b"},
        logprobs=False,
        presence_penalty=0,
        stop="END",
        max_completion_tokens=50,
        prompt_cache_key="k",
        stream=True,
        stream_options={"include_usage": True},
        modalities=["text"],
    )

    assert {name: made[name] for name in made.keys() - {"messages", "model"}} == {
        "max_tokens": 50,
        "stop_sequences": ["END"],
        "metadata": {"user_id": "u-1"},
        "service_tier": "standard_only",
        "stream": True,
    }


@pytest.mark.parametrize(
    "fields",
    [
        {"n": 2},
        {"logprobs": True},
        {"top_logprobs": 2},
        {"logit_bias": {"1": 1}},
        {"frequency_penalty": 0.1},
        {"presence_penalty": -1},
        {"modalities": ["audio"]},
        {"audio": {"voice": "alloy"}},
        {"prediction": {"type": "content", "content": "x"}},
        {"web_search_options": {"user_location": {}}},
        {"verbosity": "low"},
        {"service_tier": "flex"},
        {"stop": [" "]},
        {"temperature": 1.5},
        {"top_k": "many"},
        {"thinking": "much"},
    ],
)
def test_what_it_has_nothing_for_is_refused_before_any_call(fields: dict[str, Any]) -> None:
    (name,) = fields

    assert refusal(**fields) == name


def test_other_endpoints_are_refused() -> None:
    provider = provider_of("anthropic")
    assert provider is not None

    with pytest.raises(InvalidRequest):
        provider.exchange("/embeddings", {"input": "x"}, model=SONNET, site=Site({}, ""))
