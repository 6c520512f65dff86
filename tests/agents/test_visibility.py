"""What clients see of a run besides its answer: nothing, lines of reasoning, or a field of its own."""

from __future__ import annotations

from typing import Any

import pytest
from openai import OpenAI
from openai.types.chat import ChatCompletionMessageParam

from tests.agents.answers import Called, calls, says
from tests.fakes.vendor import FakeVendor

HELLO: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Hello"}]
TOOL = {"type": "function", "function": {"name": "weather"}}
_DESK = """
    from agents import Agent, function_tool
    @function_tool
    def look_up(word: str) -> str:
        return "a secret of the code"
    clerk = Agent(name="Clerk")
    agent = Agent(name="Desk", tools=[look_up], handoffs=[clerk])
"""
AGENTS = {"Hidden": _DESK, "Thinking": _DESK, "Field": _DESK}
ROWS = {"default/thinking": {"visibility": "reasoning"}, "default/field": {"visibility": "gateway"}}
LINES = "I must look.\n[Desk] calls look_up\n[Desk] hands over to Clerk\n"
STEPS = [
    {"type": "tool_call", "agent": "Desk", "tool": "look_up"},
    {"type": "tool_output", "agent": "Desk", "tool": "look_up"},
    {"type": "handoff", "agent": "Desk", "to": "Clerk"},
]


@pytest.fixture
def busy_vendor(vendor: FakeVendor) -> FakeVendor:
    """A model that thinks, looks something up, and hands over."""
    vendor.script(
        says("", Called("a", "look_up", '{"word": "x"}'), reasoning_content="I must look."),
        calls(Called("b", "transfer_to_clerk")),
        says("It is x."),
    )
    return vendor


def plain(ai: OpenAI, model: str) -> tuple[str, str, list[Any]]:
    """Content, reasoning and steps of an answer."""
    answer = ai.chat.completions.create(model=model, messages=HELLO).model_dump()
    message = answer["choices"][0]["message"]
    return (
        message["content"],
        message.get("reasoning_content", ""),
        answer.get("gateway", {}).get("steps", []),
    )


def streamed(ai: OpenAI, model: str, **more: Any) -> tuple[str, str, list[Any]]:
    """The same of a stream."""
    content, reasoning, steps = "", "", []
    for chunk in ai.chat.completions.create(model=model, messages=HELLO, stream=True, **more):
        dumped = chunk.model_dump()
        assert isinstance(dumped["choices"], list)
        for choice in dumped["choices"]:
            content += choice["delta"].get("content") or ""
            reasoning += choice["delta"].get("reasoning_content") or ""
        steps += dumped.get("gateway", {}).get("steps", [])
    return content, reasoning, steps


@pytest.mark.parametrize("ask", [plain, streamed])
def test_clients_see_the_answer_only(busy_vendor: FakeVendor, ai: OpenAI, ask: Any) -> None:
    assert ask(ai, "default/hidden") == ("It is x.", "", [])


@pytest.mark.parametrize("ask", [plain, streamed])
def test_clients_see_a_run_as_reasoning(busy_vendor: FakeVendor, ai: OpenAI, ask: Any) -> None:
    assert ask(ai, "default/thinking") == ("It is x.", LINES, [])


@pytest.mark.parametrize("ask", [plain, streamed])
def test_clients_see_a_run_in_a_field(busy_vendor: FakeVendor, ai: OpenAI, ask: Any) -> None:
    assert ask(ai, "default/field") == ("It is x.", "I must look.", STEPS)


def test_the_sdk_stream_helper_bears_the_field(busy_vendor: FakeVendor, ai: OpenAI) -> None:
    with ai.chat.completions.stream(model="default/field", messages=HELLO) as stream:
        answer = stream.get_final_completion()

    assert answer.choices[0].message.content == "It is x."


@pytest.mark.parametrize("model", ["default/thinking", "default/field"])
def test_calls_of_the_clients_tools_are_no_news(vendor: FakeVendor, ai: OpenAI, model: str) -> None:
    vendor.script(calls(Called("a", "weather")))

    assert streamed(ai, model, tools=[TOOL]) == ("", "", [])


@pytest.mark.parametrize("is_stream", [False, True])
def test_clients_see_what_came_before_a_refusal(vendor: FakeVendor, ai: OpenAI, is_stream: bool) -> None:
    vendor.script(calls(Called("a", "look_up", '{"word": "x"}')), says("", refusal="No."))
    ask = streamed if is_stream else plain

    content, reasoning, _ = ask(ai, "default/thinking")

    assert not content
    assert reasoning == "[Desk] calls look_up\n"
