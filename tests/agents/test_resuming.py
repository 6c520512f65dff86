"""A run that waited for its client's tools goes on where it was: what the conversation does not tell is kept."""

from __future__ import annotations

import json
from typing import Any

import pytest
from openai import OpenAI

from tests.agents.answers import Called, calls, says
from tests.doors.gateway import Gateway
from tests.fakes.vendor import FakeVendor

HELLO: Any = [{"role": "user", "content": "How is Ulm?"}]
EITHER = pytest.mark.parametrize("streams", [False, True], ids=["plain", "stream"])
DESK = "default/desk"
AGENTS = {
    "Desk": """
        from agents import Agent, function_tool, handoff

        used = []

        @function_tool
        def look_up(word: str) -> str:
            used.append(word)
            return f"{word} was looked up {used.count(word)} times"

        expert = Agent(name="Expert", instructions="You are the expert.")
        clerk = Agent(name="Clerk", instructions="You are the clerk.")
        to_clerk = handoff(clerk, on_handoff=lambda context: None)
        agent = Agent(
            name="Desk",
            instructions="You are the desk.",
            tools=[look_up, expert.as_tool("expert", "Knows all.")],
            handoffs=[to_clerk],
        )
    """,
}
WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}
ULM = Called("call_1", "weather", '{"city": "Ulm"}')
TO_CLERK = Called("go", "transfer_to_clerk")


def ask(ai: OpenAI, messages: list[Any], *, streams: bool, **more: Any) -> Any:
    """The answer, streamed or not, as the SDK puts it together."""
    options: dict[str, Any] = {"model": DESK, "messages": messages, "tools": [WEATHER], **more}
    if not streams:
        return ai.chat.completions.create(**options)
    options["stream_options"] = {"include_usage": True}
    with ai.chat.completions.stream(**options) as stream:
        return stream.get_final_completion()


def with_results(messages: list[Any], answer: Any, result: str = "sun") -> list[Any]:
    """The conversation as a client goes on with it."""
    message = answer.choices[0].message
    results = [
        {"role": "tool", "tool_call_id": call.id, "content": f"{result} {call.id}"}
        for call in message.tool_calls
    ]
    return [*messages, message.model_dump(exclude_none=True), *results]


def seen_by_model(vendor: FakeVendor) -> list[tuple[str, str]]:
    """Roles and contents of what the last call held."""
    messages = vendor.requests[-1].json["messages"]
    return [(one["role"], one.get("content") or "") for one in messages]


@EITHER
def test_after_a_handoff_the_one_who_called_goes_on(vendor: FakeVendor, ai: OpenAI, streams: bool) -> None:
    vendor.script(calls(TO_CLERK), calls(ULM), says("Sun in Ulm."))

    first = ask(ai, HELLO, streams=streams)
    second = ask(ai, with_results(HELLO, first), streams=streams)

    assert second.choices[0].message.content == "Sun in Ulm."
    assert second.choices[0].finish_reason == "stop"
    assert seen_by_model(vendor)[0] == ("system", "You are the clerk.")
    assert seen_by_model(vendor)[-1] == ("tool", "sun call_1")
