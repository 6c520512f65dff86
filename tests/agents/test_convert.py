"""Messages of a chat request as input items, and what is said of those that can't be."""

from __future__ import annotations

from typing import Any

import pytest
from agents.models.chatcmpl_converter import Converter

from agents_app.sdk.convert import items_of
from gateway_project.core.errors import InvalidRequest

USER = {"role": "user", "content": "Hello"}
PNG = "data:image/png;base64,aGVsbG8="


def call(call_id: str, name: str = "look_up", arguments: str = "{}") -> dict[str, Any]:
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


def result(call_id: str, content: Any = "42") -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": call_id, "content": content}


def sent(messages: list[Any]) -> list[Any]:
    """The messages as an upstream gets them."""
    return Converter.items_to_messages(items_of(messages))  # type: ignore[arg-type]


def test_each_role_arrives_as_it_was_sent() -> None:
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "developer", "content": "Be polite."},
        USER,
        {"role": "assistant", "content": "Hi."},
        USER,
    ]

    assert sent(messages) == messages


def test_members_that_no_role_has_are_left_out() -> None:
    message = {**USER, "name": "bob", "cache_control": {"type": "ephemeral"}, "id": 7}

    assert sent([message]) == [USER]


def test_calls_and_results_arrive_as_they_were_sent() -> None:
    assistant = {"role": "assistant", "content": "One moment.", "tool_calls": [call("a"), call("b")]}
    messages = [USER, assistant, result("b"), result("a", "41"), USER]

    assert sent(messages) == messages


@pytest.mark.parametrize("content", [None, "", []])
def test_no_content_beside_calls_is_no_text(content: Any) -> None:
    assistant = {"role": "assistant", "content": content, "tool_calls": [call("a")]}

    assert sent([USER, assistant, result("a")])[1]["content"] is None


def test_an_id_that_is_used_again_later_stays_with_its_result() -> None:
    assistant = {"role": "assistant", "content": None, "tool_calls": [call("call_0")]}
    messages = [USER, assistant, result("call_0", "1"), assistant, result("call_0", "2")]

    items = items_of(messages)

    ids = [item["call_id"] for item in items if "call_id" in item]
    assert ids[0] == ids[1] != ids[2] == ids[3]


def test_the_older_form_of_calls_gets_ids() -> None:
    assistant = {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}}
    messages = [USER, assistant, {"role": "function", "name": "f", "content": "42"}]

    arrived = sent(messages)

    assert arrived[1]["tool_calls"][0]["function"] == {"name": "f", "arguments": "{}"}
    assert arrived[2] == {
        "role": "tool",
        "tool_call_id": arrived[1]["tool_calls"][0]["id"],
        "content": "42",
    }


def test_a_refusal_is_what_the_assistant_said() -> None:
    messages = [USER, {"role": "assistant", "content": None, "refusal": "No."}, USER]

    assert sent(messages)[1] == {"role": "assistant", "content": "No."}


def test_parts_arrive_as_they_were_sent() -> None:
    parts = [
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": PNG, "detail": "low"}},
        {"type": "input_audio", "input_audio": {"data": "aGVsbG8=", "format": "wav"}},
        {"type": "file", "file": {"file_data": "data:;base64,aGVsbG8=", "filename": "a.pdf"}},
        {"type": "file", "file": {"file_id": "file-1"}},
    ]

    assert sent([{"role": "user", "content": parts}]) == [{"role": "user", "content": parts}]


@pytest.mark.parametrize(
    ("messages", "param"),
    [
        ([], "messages"),
        ({}, "messages"),
        (["Hello"], "messages[0]"),
        ([{"content": "Hello"}], "messages[0].role"),
        ([{"role": ["user"], "content": "Hello"}], "messages[0].role"),
        ([{"role": "user"}], "messages[0].content"),
        ([{"role": "user", "content": {}}], "messages[0].content"),
        ([{"role": "user", "content": []}], "messages[0].content"),
        ([{"role": "user", "content": [7]}], "messages[0].content[0]"),
        ([{"role": "user", "content": [{"type": {}}]}], "messages[0].content[0]"),
        ([{"role": "user", "content": [{"type": "text"}]}], "messages[0].content[0].text"),
        ([{"role": "user", "content": [{"type": "video"}]}], "messages[0].content[0].type"),
        (
            [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": 1}}]}],
            "messages[0].content[0].image_url.url",
        ),
        (
            [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": PNG, "detail": {}}}]}],
            "messages[0].content[0].image_url.detail",
        ),
        (
            [{"role": "user", "content": [{"type": "input_audio", "input_audio": {"data": "x"}}]}],
            "messages[0].content[0].input_audio.format",
        ),
        ([{"role": "user", "content": [{"type": "file", "file": {}}]}], "messages[0].content[0].file"),
        (
            [{"role": "system", "content": [{"type": "image_url", "image_url": {"url": PNG}}]}],
            "messages[0].content[0]",
        ),
        ([USER, {"role": "assistant", "refusal": 3}], "messages[1].refusal"),
        ([USER, {"role": "assistant", "tool_calls": {"a": 1}}], "messages[1].tool_calls"),
        ([USER, {"role": "assistant", "tool_calls": [3]}], "messages[1].tool_calls[0]"),
        (
            [USER, {"role": "assistant", "tool_calls": [{"type": "custom", "id": "a"}]}],
            "messages[1].tool_calls[0]",
        ),
        (
            [USER, {"role": "assistant", "tool_calls": [{"id": "a"}]}],
            "messages[1].tool_calls[0].function",
        ),
        (
            [USER, {"role": "assistant", "tool_calls": [call("a"), call("a")]}],
            "messages[1].tool_calls[1].id",
        ),
        ([USER, {"role": "assistant", "function_call": "f"}], "messages[1].function_call"),
        ([USER, result("a")], "messages[1].tool_call_id"),
        ([USER, {"role": "tool", "tool_call_id": {}, "content": "x"}], "messages[1].tool_call_id"),
        ([USER, {"role": "function", "name": "f", "content": "x"}], "messages[1].name"),
        ([USER, {"role": "assistant", "tool_calls": [call("a")]}], "messages[1]"),
        ([USER, {"role": "assistant", "tool_calls": [call("a")]}, USER], "messages[1]"),
        (
            [USER, {"role": "assistant", "tool_calls": [call("a")]}, result("a"), result("a")],
            "messages[3].tool_call_id",
        ),
        ([USER, {"role": "assistant", "tool_calls": [call("a")]}, result("a", None)], "messages[2].content"),
    ],
)
def test_a_message_that_is_none_is_named(messages: Any, param: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        items_of(messages)

    assert refused.value.param == param
    assert refused.value.status == 400


def test_members_of_an_answer_that_are_null_are_none() -> None:
    nulls = dict.fromkeys(("refusal", "audio", "function_call", "tool_calls", "annotations", "parsed"))
    messages = [USER, {"role": "assistant", "content": "Hi.", **nulls}, USER]

    assert sent(messages) == [USER, {"role": "assistant", "content": "Hi."}, USER]
