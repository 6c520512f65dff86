"""Agents with the tools of one request are copies: those that all runs share stay as they are."""

from __future__ import annotations

from typing import Any

from agents import Agent, FunctionTool, Handoff, RunContextWrapper, handoff
from agents_app.sdk.client_tools import copy_graph, graph_of


async def test_a_copied_graph_leaves_the_agents_as_they_are() -> None:
    clerk = Agent[Any](name="Clerk")
    desk = Agent[Any](name="Desk", handoffs=[handoff(clerk)])
    clerk.handoffs = [desk]
    more = FunctionTool("more", "", {"type": "object", "properties": {}}, _unused)

    copy = copy_graph(desk, lambda agent: {"tools": [*agent.tools, more]})

    assert graph_of(desk) == [desk, clerk]
    assert desk.tools == clerk.tools == []
    to_clerk = copy.handoffs[0]
    assert isinstance(to_clerk, Handoff)
    copied_clerk = await to_clerk.on_invoke_handoff(RunContextWrapper(None), "")
    assert copied_clerk is not clerk
    assert copied_clerk.tools == [more]
    assert copied_clerk.handoffs[0] is copy


async def test_an_agent_that_only_code_knows_is_copied_when_it_is_chosen() -> None:
    chosen = Agent[Any](name="Chosen")

    async def choose(context: RunContextWrapper[Any], arguments: str) -> Agent[Any]:
        return chosen

    desk = Agent[Any](name="Desk", handoffs=[Handoff("go", "", {}, choose, "Chosen")])
    more = FunctionTool("more", "", {"type": "object", "properties": {}}, _unused)

    copy = copy_graph(desk, lambda agent: {"tools": [*agent.tools, more]})

    to_chosen = copy.handoffs[0]
    assert isinstance(to_chosen, Handoff)
    first = await to_chosen.on_invoke_handoff(RunContextWrapper(None), "")
    assert first.tools == [more]
    assert first is await to_chosen.on_invoke_handoff(RunContextWrapper(None), "")
    assert chosen.tools == []


async def _unused(context: object, arguments: str) -> str:
    return ""
