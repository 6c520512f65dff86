"""Bedrock's translation in general: what was said comes back, requests are valid, frames are botocore's."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

from botocore.eventstream import EventStreamBuffer
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.providers.bedrock_cases import HELLO, SONNET, answered, sent
from tests.providers.bedrock_wire import frame
from upstreams_app.providers.bedrock.frames import Frames

words = st.text(st.characters(codec="utf-8"), min_size=1, max_size=20).filter(lambda text: bool(text.strip()))
leaves = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | words
arguments = st.dictionaries(words, leaves | st.lists(leaves, max_size=3), max_size=3)
calls = st.lists(
    st.builds(
        lambda name, given: {"name": name, "arguments": json.dumps(given)},
        st.sampled_from(["f", "g_1"]),
        arguments,
    ),
    max_size=3,
)
thoughts = st.lists(
    st.fixed_dictionaries({"type": st.just("thinking"), "thinking": words, "signature": words}), max_size=2
)
TOOLS = [{"type": "function", "function": {"name": name}} for name in ("f", "g_1")]
few = settings(max_examples=60, deadline=None)


@st.composite
def assistants(draw: st.DrawFn) -> dict[str, Any]:
    """A message of an assistant's, as an answer would bring it."""
    functions = draw(calls)
    made: dict[str, Any] = {"role": "assistant", "content": draw(words), "thinking_blocks": draw(thoughts)}
    made["tool_calls"] = [
        {"id": f"call_{number}", "type": "function", "function": function}
        for number, function in enumerate(functions)
    ]
    return made


def results(message: dict[str, Any]) -> list[dict[str, Any]]:
    """A result of each call."""
    return [{"role": "tool", "tool_call_id": call["id"], "content": "done"} for call in message["tool_calls"]]


@few
@given(assistants())
def test_what_an_assistant_said_comes_back_as_it_was(said: dict[str, Any]) -> None:
    body = sent(SONNET, messages=[HELLO, said, *results(said), HELLO], tools=TOOLS)
    content = body["messages"][1]["content"]
    answer = {
        "output": {"message": {"role": "assistant", "content": content}},
        "stopReason": "tool_use" if said["tool_calls"] else "end_turn",
        "usage": {"inputTokens": 1, "outputTokens": 1, "totalTokens": 2},
    }

    (choice,) = answered(answer, tools=TOOLS)["choices"]

    message = choice["message"]
    assert message["content"] == said["content"]
    assert message.get("thinking_blocks", []) == said["thinking_blocks"]
    assert message.get("reasoning_content", "") == "".join(
        block["thinking"] for block in said["thinking_blocks"]
    )
    back = [
        (call["id"], call["function"]["name"], json.loads(call["function"]["arguments"]))
        for call in message.get("tool_calls", ())
    ]
    assert back == [
        (call["id"], call["function"]["name"], json.loads(call["function"]["arguments"]))
        for call in said["tool_calls"]
    ]
    assert choice["finish_reason"] == ("tool_calls" if said["tool_calls"] else "stop")


@few
@given(st.lists(st.tuples(st.booleans(), words), max_size=6), st.lists(words, max_size=2))
def test_every_text_arrives_once_and_in_order_of_speaking(
    turns: list[tuple[bool, str]], system: list[str]
) -> None:
    messages = [{"role": "system", "content": text} for text in system] + [HELLO]
    messages += [
        {"role": "assistant" if is_assistant else "user", "content": text} for is_assistant, text in turns
    ]

    body = sent(SONNET, messages=messages)

    told = [(message["role"], block["text"]) for message in body["messages"] for block in message["content"]]
    expected = [("user", "Hello")]
    expected += [("assistant" if is_assistant else "user", text) for is_assistant, text in turns]
    assert told == expected
    roles = [message["role"] for message in body["messages"]]
    assert all(one != other for one, other in pairwise(roles))
    assert [block["text"] for block in body.get("system", ())] == system


@few
@given(
    st.lists(
        st.tuples(st.dictionaries(st.sampled_from([":a", "b", "ccc"]), words), st.binary(max_size=60)),
        max_size=4,
    ),
    st.lists(st.integers(0, 400), max_size=6),
)
def test_frames_are_read_as_botocore_reads_them(
    messages: list[tuple[dict[str, str], bytes]], cuts: list[int]
) -> None:
    data = b"".join(frame(payload, headers) for headers, payload in messages)
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    frames, buffer = Frames(), EventStreamBuffer()
    buffer.add_data(data)

    read = [one for start, end in pairwise(edges) for one in frames.feed(data[start:end])]

    assert [(one.headers, one.payload) for one in read] == [
        (message.headers, message.payload) for message in buffer
    ]
    assert frames.is_between
