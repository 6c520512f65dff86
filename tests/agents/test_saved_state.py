"""States of runs: those that do not fit are no reason to fail, as the conversation is there still."""

from __future__ import annotations

import asyncio
import json
from types import SimpleNamespace
from typing import Any

import pytest
from agents.testing import ScriptedModel, assistant_message, function_call

from agents import Agent, AgentHooks, function_tool
from agents_app.entry import AgentEntry
from agents_app.sdk.runner import Run

WEATHER = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}
QUESTION = {"role": "user", "content": "How is Ulm?"}
CALL = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
MESSAGES = [
    QUESTION,
    {"role": "assistant", "content": None, "tool_calls": [CALL]},
    {"role": "tool", "tool_call_id": "call_1", "content": "sun"},
]


@function_tool
def look_up() -> str:
    return "looked up"


def prepared(agent: Agent[Any], messages: list[Any], **fields: Any) -> Run:
    """A run of the agent for a client with a tool, which calls nobody but the agent's own model."""
    entry = AgentEntry(
        id="default/test",
        id_json=b'"default/test"',
        agent=agent,
        name="Test",
        description="",
        created=0,
        model="",
        visibility="hidden",
        max_turns=5,
        max_llm_calls=5,
        wall_clock_s=5,
    )
    door: Any = SimpleNamespace(finish_reason="stop")
    return Run.of(entry, {"messages": messages, "tools": [WEATHER], **fields}, door)


def waiting_agent(name: str = "Desk") -> Agent[Any]:
    turns = [
        [function_call("look_up", {}, call_id="own"), function_call("weather", {}, call_id="call_1")],
        [assistant_message("Sun.")],
    ]
    return Agent(name=name, tools=[look_up], model=ScriptedModel(turns))


async def saved(agent: Agent[Any]) -> str:
    """The state of a run that waits for the client's tool."""
    run = prepared(agent, [QUESTION])
    await run.answer()
    assert run.outcome.state is not None
    return run.outcome.state


def goes_on(state: str, run: Run) -> bool:
    return asyncio.run(run.go_on_from(state))


@pytest.fixture(scope="module")
def state() -> str:
    return asyncio.run(saved(waiting_agent()))


def test_a_state_goes_on_in_another_copy_of_the_agent() -> None:
    async def work() -> str:
        agent = waiting_agent()
        text = await saved(agent)
        run = prepared(agent, MESSAGES)
        assert await run.go_on_from(text)
        return await run.answer()

    assert asyncio.run(work()) == "Sun."


def test_turns_are_counted_from_where_it_goes_on(state: str) -> None:
    late = json.loads(state) | {"current_turn": 5, "max_turns": 5}
    agent = Agent[Any](name="Desk", tools=[look_up], model=ScriptedModel([[assistant_message("Sun.")]]))
    run = prepared(agent, MESSAGES)

    async def work() -> str:
        assert await run.go_on_from(json.dumps(late))
        return await run.answer()

    assert asyncio.run(work()) == "Sun."


@pytest.mark.parametrize("change", [{"$schemaVersion": "99.0"}, {"context": None}, {"current_agent": {}}])
def test_a_state_that_means_nothing_here_is_none(
    state: str, change: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    altered = json.dumps(json.loads(state) | change)

    assert not goes_on(altered, prepared(waiting_agent(), MESSAGES))
    (line,) = [record for record in caplog.records if record.msg == "agent.state_not_read"]
    assert line.__dict__["agent"] == "default/test"
    assert "Ulm" not in caplog.text


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"session_items": 5}'])
def test_a_text_that_is_no_state_is_none(text: str) -> None:
    assert not goes_on(text, prepared(waiting_agent(), MESSAGES))


def test_a_state_of_another_agent_is_none(state: str) -> None:
    assert not goes_on(state, prepared(waiting_agent("Other"), MESSAGES))


def test_a_state_waits_for_exactly_its_calls(state: str) -> None:
    other = json.loads(json.dumps(MESSAGES).replace("call_1", "call_2"))

    assert not goes_on(state, prepared(waiting_agent(), other))
    assert not goes_on(state, prepared(waiting_agent(), [QUESTION]))


def test_a_choice_of_tools_begins_a_run_anew(state: str) -> None:
    assert not goes_on(state, prepared(waiting_agent(), MESSAGES, tool_choice="required"))
    assert goes_on(state, prepared(waiting_agent(), MESSAGES, tool_choice="auto"))


def test_a_state_without_the_tools_is_none(state: str) -> None:
    assert not goes_on(state, prepared(waiting_agent(), MESSAGES, tools=[]))


def test_agents_that_nobody_can_tell_apart_have_no_state(caplog: pytest.LogCaptureFixture) -> None:
    class Hooks(AgentHooks[Any]):
        def __init__(self, mark: str) -> None:
            self.mark = mark

    twins = [Agent[Any](name="Twin", hooks=Hooks(mark)) for mark in "ab"]
    agent = waiting_agent().clone(handoffs=[*twins])
    run = prepared(agent, [QUESTION])

    asyncio.run(run.answer())

    assert run.outcome.finish_reason == "tool_calls"
    assert run.outcome.state is None
    assert [record.msg for record in caplog.records if record.name.startswith("agents_app")] == [
        "agent.state_not_kept"
    ]
