"""OpenAI's requests as Converse's. Each is judged by botocore's service model of bedrock-runtime as well."""

from __future__ import annotations

from typing import Any

import pytest

from gateway_project.core.errors import InvalidRequest
from tests.providers.bedrock_cases import (
    CALLED,
    HELLO,
    LLAMA,
    NOVA,
    PROFILE,
    SITE,
    SONNET,
    WEATHER,
    exchange,
    sent,
)


def refused(model: str = SONNET, **fields: Any) -> InvalidRequest:
    """The error for a request that Bedrock has nothing for."""
    with pytest.raises(InvalidRequest) as caught:
        exchange(model, **fields)
    return caught.value


def test_a_chat_in_full() -> None:
    """The shape of the API reference's example for Converse."""
    turns = [
        {"role": "system", "content": "Be brief."},
        HELLO,
        {"role": "assistant", "content": "Hi"},
        {"role": "user", "content": "Go on"},
    ]

    body = sent(
        NOVA, messages=turns, max_completion_tokens=99, temperature=0.5, top_p=0.9, stop=["END", "."], seed=7
    )

    assert body == {
        "system": [{"text": "Be brief."}],
        "messages": [
            {"role": "user", "content": [{"text": "Hello"}]},
            {"role": "assistant", "content": [{"text": "Hi"}]},
            {"role": "user", "content": [{"text": "Go on"}]},
        ],
        "inferenceConfig": {"maxTokens": 99, "temperature": 0.5, "topP": 0.9, "stopSequences": ["END", "."]},
    }


@pytest.mark.parametrize("is_stream", [False, True])
def test_the_models_name_is_quoted_once_in_the_path(is_stream: bool) -> None:
    request = exchange(PROFILE, stream=is_stream).request

    operation = "converse-stream" if is_stream else "converse"
    assert request.path == (
        "/model/arn%3Aaws%3Abedrock%3Aeu-central-1%3A123456789012%3Aapplication-inference-profile%2F"
        f"a1b2c3d4e5f6/{operation}"
    )
    assert request.headers["Accept"] == (
        "application/vnd.amazon.eventstream" if is_stream else "application/json"
    )


def test_neighbours_of_one_role_become_one_message() -> None:
    turns = [
        HELLO,
        HELLO,
        {"role": "assistant", "content": "a"},
        {"role": "assistant", "content": "b"},
        HELLO,
    ]

    messages = sent(messages=turns)["messages"]

    assert [message["role"] for message in messages] == ["user", "assistant", "user"]
    assert messages[1]["content"] == [{"text": "a"}, {"text": "b"}]


def test_an_assistant_that_begins_answers_an_opening() -> None:
    messages = sent(messages=[{"role": "assistant", "content": "Hi"}, HELLO])["messages"]

    assert [message["role"] for message in messages] == ["user", "assistant", "user"]


def test_results_stand_before_what_the_user_says() -> None:
    messages = sent(messages=[*CALLED[:2], HELLO, CALLED[2]], tools=[WEATHER])["messages"]

    assert [next(iter(block)) for block in messages[2]["content"]] == ["toolResult", "text"]


def test_the_newest_claude_decides_itself_and_has_no_temperature() -> None:
    newest = "anthropic.claude-sonnet-5-5-v1:0"

    assert refused(newest, tools=[WEATHER], tool_choice="required").param == "tool_choice"
    assert refused(newest, temperature=0.5).param == "temperature"
    assert "inferenceConfig" not in sent(newest, temperature=1)


def test_calls_and_their_results_keep_their_ids() -> None:
    more = {"role": "user", "content": "And now?"}

    body = sent(messages=[*CALLED, more], tools=[WEATHER])

    assert body["messages"][1]["content"] == [
        {"toolUse": {"toolUseId": "call_1", "name": "get_weather", "input": {"city": "Oslo"}}}
    ]
    assert body["messages"][2] == {
        "role": "user",
        "content": [
            {"toolResult": {"toolUseId": "call_1", "content": [{"text": "3 °C"}]}},
            {"text": "And now?"},
        ],
    }
    function = WEATHER["function"]
    assert body["toolConfig"] == {
        "tools": [
            {
                "toolSpec": {
                    "name": "get_weather",
                    "description": function["description"],
                    "inputSchema": {"json": function["parameters"]},
                }
            }
        ]
    }


def test_ids_that_bedrock_does_not_take_stay_the_same_within_a_request() -> None:
    odd = "call of another vendor/" + "x" * 80
    turns = [
        HELLO,
        {"role": "assistant", "tool_calls": [{"id": odd, "function": {"name": "f", "arguments": ""}}]},
        {"role": "tool", "tool_call_id": odd, "content": ""},
    ]

    messages = sent(messages=turns, tools=[WEATHER])["messages"]

    use = messages[1]["content"][0]["toolUse"]
    assert use["input"] == {}
    assert messages[2]["content"] == [{"toolResult": {"toolUseId": use["toolUseId"], "content": []}}]


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ("auto", None),
        ("required", {"any": {}}),
        ({"type": "function", "function": {"name": "get_weather"}}, {"tool": {"name": "get_weather"}}),
    ],
)
def test_the_choice_of_a_tool(choice: Any, expected: Any) -> None:
    config = sent(tools=[WEATHER], tool_choice=choice)["toolConfig"]

    assert config.get("toolChoice") == expected


def test_one_tool_is_forced_by_offering_no_other_where_names_can_not_be_asked_for() -> None:
    other = {"type": "function", "function": {"name": "other"}}
    choice = {"type": "function", "function": {"name": "get_weather"}}

    config = sent(LLAMA, tools=[other, WEATHER], tool_choice=choice)["toolConfig"]

    assert [tool["toolSpec"]["name"] for tool in config["tools"]] == ["get_weather"]
    assert config["toolChoice"] == {"any": {}}


def test_no_tool_is_to_be_called() -> None:
    assert "toolConfig" not in sent(tools=[WEATHER], tool_choice="none")


@pytest.mark.parametrize("fields", [{"tools": [WEATHER], "tool_choice": "none"}, {}])
def test_after_calls_bedrock_is_told_the_tools_that_claude_may_not_call(fields: Any) -> None:
    body = sent(messages=CALLED, **fields)

    assert [tool["toolSpec"]["name"] for tool in body["toolConfig"]["tools"]] == ["get_weather"]
    assert body["additionalModelRequestFields"] == {"tool_choice": {"type": "none"}}


def test_other_models_can_not_be_kept_from_calls() -> None:
    assert refused(LLAMA, messages=CALLED).param == "tools"
    assert refused(LLAMA, messages=CALLED, tools=[WEATHER], tool_choice="none").param == "tool_choice"


@pytest.mark.parametrize(
    ("choice", "own"),
    [
        ("auto", {"type": "auto"}),
        ("required", {"type": "any"}),
        (
            {"type": "function", "function": {"name": "get_weather"}},
            {"type": "tool", "name": "get_weather"},
        ),
    ],
)
def test_one_call_at_a_time_is_claudes_own_choice(choice: Any, own: dict[str, str]) -> None:
    body = sent(tools=[WEATHER], tool_choice=choice, parallel_tool_calls=False)

    expected = {"tool_choice": {**own, "disable_parallel_tool_use": True}}
    assert body["additionalModelRequestFields"] == expected
    assert "toolChoice" not in body["toolConfig"]


def test_one_call_at_a_time_is_refused_elsewhere() -> None:
    assert refused(NOVA, tools=[WEATHER], parallel_tool_calls=False).param == "parallel_tool_calls"


def test_strict_tools_are_strict_where_bedrock_can() -> None:
    tool = {**WEATHER, "function": {**WEATHER["function"], "strict": True}}

    assert sent(tools=[tool])["toolConfig"]["tools"][0]["toolSpec"]["strict"] is True
    assert "strict" not in sent(NOVA, tools=[tool])["toolConfig"]["tools"][0]["toolSpec"]


def test_what_is_to_be_cached_is_followed_by_a_mark() -> None:
    marked = {"type": "text", "text": "Long", "cache_control": {"type": "ephemeral"}}
    hour = {"type": "text", "text": "Longer", "cache_control": {"type": "ephemeral", "ttl": "1h"}}
    result = {"role": "tool", "tool_call_id": "call_1", "content": [marked]}
    point = {"cachePoint": {"type": "default"}}

    body = sent(
        messages=[{"role": "system", "content": [hour]}, *CALLED[:2], result],
        tools=[{**WEATHER, "cache_control": {"type": "ephemeral"}}],
    )

    assert body["system"] == [{"text": "Longer"}, {"cachePoint": {"type": "default", "ttl": "1h"}}]
    assert body["toolConfig"]["tools"][1] == point
    assert body["messages"][2]["content"] == [
        {"toolResult": {"toolUseId": "call_1", "content": [{"text": "Long"}]}},
        point,
    ]


def test_members_of_converses_own_go_as_they_are() -> None:
    own: dict[str, Any] = {
        "guardrailConfig": {"guardrailIdentifier": "abc123", "guardrailVersion": "1"},
        "performanceConfig": {"latency": "optimized"},
        "requestMetadata": {"team": "blue"},
    }

    body = sent(SONNET, SITE, **own, additionalModelRequestFields={"x": 1}, top_k=40, service_tier="flex")

    assert {name: body[name] for name in own} == own
    assert body["additionalModelRequestFields"] == {"x": 1, "top_k": 40}
    assert body["serviceTier"] == {"type": "flex"}


@pytest.mark.parametrize("fields", [{"service_tier": "auto"}, {"metadata": {"a": "b"}}, {"store": False}])
def test_what_changes_no_answer_is_left_out(fields: dict[str, Any]) -> None:
    assert sent(**fields) == {"messages": [{"role": "user", "content": [{"text": "Hello"}]}]}


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"n": 2}, "n"),
        ({"top_p": 0.5, "temperature": 0.5}, "top_p"),
        ({"temperature": 0.5, "reasoning_effort": "low"}, "temperature"),
        ({"stop": "\n"}, "stop"),
        ({"verbosity": "low"}, "verbosity"),
        ({"temperature": 1.01}, "temperature"),
        ({"stop": ["x"] * 2501}, "stop"),
        ({"logprobs": True}, "logprobs"),
        ({"top_logprobs": 3}, "top_logprobs"),
        ({"logit_bias": {"1": 5}}, "logit_bias"),
        ({"presence_penalty": 1}, "presence_penalty"),
        ({"frequency_penalty": 1}, "frequency_penalty"),
        ({"modalities": ["text", "audio"]}, "modalities"),
        ({"service_tier": "scale"}, "service_tier"),
    ],
)
def test_what_bedrock_has_nothing_for_is_refused(fields: dict[str, Any], param: str) -> None:
    error = refused(**fields)

    assert error.param == param
    assert error.code == "unsupported_parameter"


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"messages": [{"role": "user", "content": " "}]}, "messages"),
        ({"messages": [HELLO, CALLED[2]]}, "messages[1].tool_call_id"),
        ({"messages": [*CALLED[:2], HELLO]}, "messages[1].tool_calls"),
        ({"messages": CALLED[:2]}, "messages[1].tool_calls"),
        ({"tools": [{"type": "function", "function": {"name": "a.b"}}]}, "tools[0].function.name"),
        ({"guardrailConfig": "abc"}, "guardrailConfig"),
        ({"thinking": True}, "thinking"),
    ],
)
def test_what_bedrock_would_refuse_is_named(fields: dict[str, Any], param: str) -> None:
    assert refused(**fields).param == param
