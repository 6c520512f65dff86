"""Anthropic's requests are read strictly: what is wrong, and what is not served, is named."""

from __future__ import annotations

from typing import Any

import pytest

from gateway_project.api.anthropic.requests import read_request
from gateway_project.core.errors import InvalidRequest

Json = dict[str, Any]
TOOL = {"name": "f", "input_schema": {"type": "object"}}


def body(**fields: Any) -> Json:
    """A good request with these members; None takes one out."""
    return {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}], **fields}


def user(*blocks: Any) -> Json:
    """The member for one message of a user's."""
    return {"messages": [{"role": "user", "content": list(blocks)}]}


def assistant(*blocks: Any) -> Json:
    """The member for one message of an assistant's."""
    return {"messages": [{"role": "assistant", "content": list(blocks)}]}


FIRST = "messages.0.content.0"
WRONG: list[tuple[Json, str]] = [
    ({"model": None}, "model"),
    ({"model": 7}, "model"),
    ({"messages": None}, "messages"),
    ({"messages": {}}, "messages"),
    ({"messages": []}, "messages"),
    ({"messages": ["x"]}, "messages.0"),
    ({"messages": [{"role": "tool", "content": "x"}]}, "messages.0.role"),
    ({"messages": [{"role": "user", "content": "x", "name": "y"}]}, "messages.0.name"),
    ({"messages": [{"role": "user"}]}, "messages.0.content"),
    (user(), "messages.0.content"),
    (user("x"), FIRST),
    (user({"text": "x"}), f"{FIRST}.type"),
    (user({"type": "text", "text": 1}), f"{FIRST}.text"),
    (user({"type": "text", "text": "x", "more": 1}), f"{FIRST}.more"),
    (
        user({"type": "text", "text": "x", "cache_control": {"type": "forever"}}),
        f"{FIRST}.cache_control.type",
    ),
    (user({"type": "image", "source": {"type": "file", "file_id": "f"}}), f"{FIRST}.source"),
    (user({"type": "image", "source": {"type": "url", "url": "ftp://example.com/x"}}), f"{FIRST}.source.url"),
    (
        user({"type": "image", "source": {"type": "base64", "media_type": "text/plain", "data": "aa"}}),
        f"{FIRST}.source.media_type",
    ),
    (
        user(
            {
                "type": "document",
                "source": {"type": "url", "url": "https://x"},
                "citations": {"enabled": True},
            }
        ),
        f"{FIRST}.citations",
    ),
    (
        user({"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "a"}}),
        f"{FIRST}.source.data",
    ),
    ({"model": "m" * 265}, "model"),
    (user({"type": "tool_use", "id": "t", "name": "f", "input": {}}), f"{FIRST}.type"),
    (user({"type": "tool_result", "content": "x"}), f"{FIRST}.tool_use_id"),
    (user({"type": "tool_result", "tool_use_id": "t", "is_error": "yes"}), f"{FIRST}.is_error"),
    (user({"type": "search_result", "content": []}), FIRST),
    (assistant({"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}}), FIRST),
    (assistant({"type": "tool_use", "id": "t", "name": "f", "input": "{}"}), f"{FIRST}.input"),
    (assistant({"type": "thinking", "thinking": 1, "signature": "s"}), f"{FIRST}.thinking"),
    ({"system": [{"type": "image", "source": {}}]}, "system.0.type"),
    ({"max_tokens": None}, "max_tokens"),
    ({"max_tokens": 0}, "max_tokens"),
    ({"max_tokens": True}, "max_tokens"),
    ({"max_tokens": 2**70}, "max_tokens"),
    ({"temperature": 1.1}, "temperature"),
    ({"temperature": -0.1}, "temperature"),
    ({"top_p": "1"}, "top_p"),
    ({"top_k": 1.5}, "top_k"),
    ({"stop_sequences": "x"}, "stop_sequences"),
    ({"stop_sequences": ["x", ""]}, "stop_sequences.1"),
    ({"stream": "yes"}, "stream"),
    ({"tools": [{**TOOL, "name": ""}]}, "tools.0.name"),
    ({"tools": [{"name": "f"}]}, "tools.0.input_schema"),
    ({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, "tools.0"),
    ({"tools": [{"type": "bash_20250124", "name": "bash"}]}, "tools.0"),
    ({"tools": [{**TOOL, "defer_loading": True}]}, "tools.0.defer_loading"),
    ({"tools": [{**TOOL, "allowed_callers": ["code_execution_20250825"]}]}, "tools.0.allowed_callers"),
    ({"tool_choice": {"type": "any"}}, "tool_choice"),
    ({"tools": [TOOL], "tool_choice": {"type": "tool", "name": "g"}}, "tool_choice.name"),
    ({"tools": [TOOL], "tool_choice": {"type": "maybe"}}, "tool_choice.type"),
    ({"tools": [TOOL], "tool_choice": {"type": ["any"]}}, "tool_choice.type"),
    ({"thinking": {"type": "much"}}, "thinking.type"),
    ({"thinking": {"type": "enabled"}}, "thinking.budget_tokens"),
    ({"thinking": {"type": "enabled", "budget_tokens": 1023}}, "thinking.budget_tokens"),
    ({"output_config": {"effort": "little"}}, "output_config.effort"),
    ({"output_config": {"format": {"type": "xml"}}}, "output_config.format.type"),
    ({"output_format": {"type": "json_schema"}}, "output_format.schema"),
    ({"metadata": {"user_id": 7}}, "metadata.user_id"),
    ({"service_tier": "priority"}, "service_tier"),
    ({"mcp_servers": [{"type": "url"}]}, "mcp_servers"),
    ({"container": {"id": "c"}}, "container"),
    ({"context_management": {"edits": [{"type": "clear_tool_uses_20250919"}]}}, "context_management.edits.0"),
    ({"compaction": {"type": "auto"}}, "compaction"),
    ({"n": 2}, "n"),
]


@pytest.mark.parametrize(("fields", "param"), WRONG)
def test_what_is_wrong_is_named(fields: Json, param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        read_request(body(**fields))

    assert caught.value.param == param
    assert param in caught.value.message


def test_a_tool_of_anthropics_own_is_refused_by_its_name() -> None:
    with pytest.raises(InvalidRequest, match="'web_search' \\(web_search_20250305\\)") as caught:
        read_request(body(tools=[{"type": "web_search_20250305", "name": "web_search"}]))

    assert caught.value.code == "unsupported_parameter"


def test_what_claude_code_sends_is_read() -> None:
    request = read_request(
        body(
            system=[
                {"type": "text", "text": "You are Claude Code.", "cache_control": {"type": "ephemeral"}},
                {"type": "text", "text": "Be careful.", "cache_control": {"type": "ephemeral", "ttl": "1h"}},
            ],
            tools=[{**TOOL, "eager_input_streaming": True, "cache_control": {"type": "ephemeral"}}],
            metadata={"user_id": '{"device_id": "d1", "account_uuid": "", "session_id": "s1"}'},
            thinking={"type": "adaptive"},
            output_config={"effort": "high"},
            context_management={"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
            temperature=1,
            stream=True,
        )
    )

    assert request.is_stream
    assert request.shows_thinking
    assert request.fields["user"] == "d1"
    assert request.fields["reasoning_effort"] == "high"
    assert request.fields["tools"][0]["cache_control"] == {"type": "ephemeral"}


@pytest.mark.parametrize(
    ("user_id", "expected"),
    [
        ("alice", "alice"),
        ("user_0a1b_account_6f2e-11_session_7a-22", "6f2e-11"),
        ("user_0a1b_account__session_7a-22", "user_0a1b"),
        ('{"device_id": "d", "account_uuid": "a", "session_id": "s"}', "a"),
        ('{"session_id": "s"}', '{"session_id": "s"}'),
        ("{no json", "{no json"),
    ],
)
def test_an_end_user_is_a_person_and_no_session(user_id: str, expected: str) -> None:
    assert read_request(body(metadata={"user_id": user_id})).fields["user"] == expected


def test_a_count_needs_no_limit_and_takes_no_sampling() -> None:
    counted = body(max_tokens=None)

    assert "max_tokens" not in read_request(counted, is_count=True).fields
    with pytest.raises(InvalidRequest, match="temperature"):
        read_request({**counted, "temperature": 1}, is_count=True)


def test_examples_of_input_are_told_in_the_description() -> None:
    tool = {**TOOL, "description": "Does f.", "input_examples": [{"a": 1}]}

    function = read_request(body(tools=[tool])).fields["tools"][0]["function"]

    assert function["description"] == 'Does f.\n\nExamples of input:\n\n{"a":1}'
