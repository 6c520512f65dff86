"""What a client says arrives at the vendor, and what the vendor says arrives at the client: any of it."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.providers.fake_anthropic import checked, events, message
from tests.providers.fake_anthropic import sse as wire_event
from tests.providers.mind import Said
from tests.providers.prompts import WEATHER
from tests.providers.test_anthropic_answers import exchange
from tests.providers.test_anthropic_streams import data
from upstreams_app.providers import provider_of
from upstreams_app.providers.wire import Site

Json = dict[str, Any]
MODELS = ("claude-3-5-haiku-20241022", "claude-opus-4-1", "claude-sonnet-4-6", "claude-opus-5-5", "other")
texts = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12).filter(str.strip)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | texts,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(texts, inner, max_size=2),
    max_leaves=4,
)
arguments = st.dictionaries(texts, values, max_size=3)
ids = st.text("abc_:.", min_size=1, max_size=3)


@st.composite
def conversations(draw: st.DrawFn) -> list[Json]:
    """Messages as clients send them: some roles twice, calls with all of their results in any order."""
    made: list[Json] = []
    for role in draw(
        st.lists(st.sampled_from(("system", "user", "assistant", "calls")), min_size=1, max_size=6)
    ):
        if role != "calls":
            made.append({"role": role, "content": draw(texts)})
            continue
        called = draw(st.lists(ids, min_size=1, max_size=3, unique=True))
        calls = [
            {
                "id": i,
                "type": "function",
                "function": {"name": "get_weather", "arguments": json.dumps(draw(arguments))},
            }
            for i in called
        ]
        made.append({"role": "assistant", "content": draw(st.none() | texts), "tool_calls": calls})
        for call_id in draw(st.permutations(called)):
            made.append({"role": "tool", "tool_call_id": call_id, "content": draw(texts)})
    return [*made, {"role": "user", "content": draw(texts)}]


def said_by_client(messages: list[Json]) -> list[tuple[str, ...]]:
    """What a conversation says, without how: a result is told by the number of its call."""
    said: list[tuple[str, ...]] = []
    numbers: dict[str, int] = {}
    count = 0
    for turn in messages:
        if turn["role"] == "tool":
            said.append(("result", str(numbers[turn["tool_call_id"]]), turn["content"]))
        elif turn["role"] != "system":
            if turn["content"]:
                said.append((turn["role"], turn["content"]))
            for call in turn.get("tool_calls", ()):
                numbers[call["id"]] = count = count + 1
                function = call["function"]
                said.append(("call", function["name"], json.dumps(json.loads(function["arguments"]))))
    return said


def said_to_vendor(body: Json) -> list[tuple[str, ...]]:
    """The same of a request of the vendor's."""
    said: list[tuple[str, ...]] = []
    numbers: dict[str, int] = {}
    for turn in body["messages"]:
        for block in turn["content"]:
            if block["type"] == "text":
                said.append((turn["role"], block["text"]))
            elif block["type"] == "tool_use":
                numbers[block["id"]] = len(numbers) + 1
                said.append(("call", block["name"], json.dumps(block["input"])))
            else:
                said.append(("result", str(numbers[block["tool_use_id"]]), block["content"]))
    return said


@settings(max_examples=80)
@given(conversations(), st.sampled_from(MODELS))
def test_all_that_a_client_says_arrives_and_nothing_else(messages: list[Json], model: str) -> None:
    provider = provider_of("anthropic")
    assert provider is not None

    made = provider.exchange(
        "/chat/completions", {"messages": messages, "tools": [WEATHER]}, model=model, site=Site({}, "")
    )

    body = checked(json.loads(made.request.body), made.request.headers["anthropic-version"])
    arrived = said_to_vendor(body)
    if arrived[0] == ("user", "(The conversation begins here.)"):
        arrived = arrived[1:]
    assert arrived == said_by_client(messages)
    system = [turn["content"] for turn in messages if turn["role"] == "system"]
    assert [block["text"] for block in body.get("system", [])] == system


said = st.builds(
    Said,
    text=st.just("") | texts,
    reasoning=st.just("") | texts,
    calls=st.lists(st.tuples(st.just("get_weather"), arguments), max_size=3).map(tuple),
    end=st.sampled_from(("end", "length", "stop", "refused")),
    input=st.integers(10, 10**6),
    cached=st.integers(0, 10),
    output=st.integers(0, 10**6),
    thought=st.integers(0, 100),
)
FINISH = {"end": "stop", "stop": "stop", "length": "length", "refused": "content_filter"}


def heard(text: str, reasoning: str, calls: list[Any], finish: str, usage: Json) -> Json:
    """What a client learns of an answer."""
    return {
        "text": text,
        "reasoning": reasoning,
        "calls": [
            (call["id"], call["function"]["name"], json.loads(call["function"]["arguments"]))
            for call in calls
        ],
        "finish": finish,
        "usage": usage,
    }


def expected(answer: Said) -> Json:
    """What it should learn."""
    return {
        "text": answer.text,
        "reasoning": answer.reasoning,
        "calls": [(f"toolu_{number}", name, value) for number, (name, value) in enumerate(answer.calls)],
        "finish": "tool_calls" if answer.calls else FINISH[answer.end],
        "usage": {
            "prompt_tokens": answer.input,
            "completion_tokens": answer.output,
            "total_tokens": answer.input + answer.output,
            "prompt_tokens_details": {"cached_tokens": answer.cached},
            "completion_tokens_details": {"reasoning_tokens": answer.thought},
        },
    }


@settings(max_examples=120)
@given(said)
def test_all_that_the_vendor_says_arrives_whole_and_in_a_stream(answer: Said) -> None:
    request = {"model": "claude-sonnet-4-6"}
    stream = b"".join(wire_event(event) for event in events(request, answer))

    whole = json.loads(exchange().answer(json.dumps(message(request, answer)).encode()))
    reading = exchange(stream=True)
    chunks = data(reading.feed(stream) + reading.finish())

    (choice,) = whole["choices"]
    told = choice["message"]
    plain = heard(
        told["content"] or "",
        told.get("reasoning_content", ""),
        told.get("tool_calls", []),
        choice["finish_reason"],
        whole["usage"],
    )
    assert plain == expected(answer)
    assert collected(chunks) == expected(answer)


def collected(chunks: list[Json]) -> Json:
    """What the chunks of a stream add up to."""
    text, reasoning, finish, calls = "", "", "", list[Json]()
    for choice in (choice for chunk in chunks for choice in chunk["choices"]):
        delta = choice["delta"]
        text += delta.get("content") or ""
        reasoning += delta.get("reasoning_content", "")
        finish += choice["finish_reason"] or ""
        for piece in delta.get("tool_calls", []):
            if piece["index"] == len(calls):
                calls.append(
                    {"id": piece["id"], "function": {"name": piece["function"]["name"], "arguments": ""}}
                )
            calls[piece["index"]]["function"]["arguments"] += piece["function"]["arguments"]
    return heard(text, reasoning, calls, finish, chunks[-1]["usage"])
