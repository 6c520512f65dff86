"""Tools of the registry for an agent in a process of its own: the server calls them, below the same run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agents import Agent
from agents_app.entry import PROCESS, AgentEntry, Place
from agents_app.folders import find_folders
from agents_app.services.runs import AgentRun
from gateway_project.core.errors import GatewayError
from security_app.services.reservation import Ticket
from tests.agents.answers import Called, calls, says
from tests.agents.dropins import write_agent
from tests.agents.inprocess import Setup, in_process, outcome, records
from tests.fakes.vendor import FakeVendor
from tests.tools.test_agent_tools import HELPER, equip, served

pytestmark = pytest.mark.django_db(transaction=True)
CLERK = """
    from agents import Agent
    from agents_app.tools import use_gateway_tool
    agent = Agent(name="Clerk", tools=[use_gateway_tool("ask"), use_gateway_tool("unknown")])
"""


def isolated(root: Path) -> AgentEntry:
    """An agent whose code is in a folder below this one."""
    write_agent(root, "Clerk", CLERK)
    (folder,) = find_folders((root,))
    nobody: Any = Agent(name="Nobody")
    entry = served("default/clerk", nobody)
    return replace(entry, agent=None, isolation=PROCESS, place=Place(folder, "clerk"), digest=folder.digest)


def run_of(setup: Setup, entry: AgentEntry, *, is_stream: bool) -> AgentRun:
    """A run of it, in the place of one of an agent in this process."""
    setup.run(HELPER)
    context = setup.context
    assert context.principal is not None
    ticket = Ticket(context.principal, entry.id)
    return AgentRun(context, ticket, entry, clients=setup.clients, ticker=setup.ticker, is_stream=is_stream)


@pytest.mark.parametrize("is_stream", [False, True], ids=["plain", "stream"])
def test_an_isolated_agent_calls_a_tool_of_the_registry(
    vendor: FakeVendor, tmp_path: Path, is_stream: bool
) -> None:
    ask = Called("call_1", "ask", '{"input": "What is up?"}')
    vendor.script(calls(ask), says("Not much."), says("It says: not much."))
    runs: list[Any] = []

    async def work(setup: Setup) -> None:
        equip(setup, served("default/helper", HELPER))
        run = run_of(setup, isolated(tmp_path), is_stream=is_stream)
        assert await outcome(run, is_stream=is_stream) == "It says: not much."
        runs.append(setup.context.request_id)

    in_process(vendor, work)

    first, asked, last = vendor.requests
    (tool,) = first.json["tools"]
    assert tool["function"]["name"] == "ask"
    assert asked.json["messages"][-1]["content"] == "What is up?"
    assert last.json["messages"][-1]["content"] == "Not much."
    record, below = records(runs[0])
    assert (record.kind, record.status) == ("agent", 200)
    assert sorted(one.kind for one in below) == ["agent", "llm", "llm"]


def test_the_limits_of_a_run_are_the_servers(vendor: FakeVendor, tmp_path: Path) -> None:
    vendor.always(calls(Called("call_1", "unknown")))

    async def work(setup: Setup) -> None:
        entry = replace(isolated(tmp_path), max_llm_calls=2)
        with pytest.raises(GatewayError) as caught:
            await outcome(run_of(setup, entry, is_stream=False), is_stream=False)
        assert (caught.value.status, caught.value.code) == (422, "run_limit_exceeded")
        assert "2 LLM calls" in caught.value.message

    in_process(vendor, work)

    assert len(vendor.requests) == 2


def test_the_time_of_a_run_ends_its_process(vendor: FakeVendor, tmp_path: Path) -> None:
    source = CLERK + "\n    import threading; threading.Event().wait()\n"

    async def work(setup: Setup) -> None:
        write_agent(tmp_path, "Clerk", source)
        (folder,) = find_folders((tmp_path,))
        nobody: Any = Agent(name="Nobody")
        entry = replace(
            served("default/clerk", nobody, wall_clock_s=3),
            agent=None,
            isolation=PROCESS,
            place=Place(folder, "clerk"),
        )
        with pytest.raises(GatewayError) as caught:
            await outcome(run_of(setup, entry, is_stream=False), is_stream=False)
        assert (caught.value.status, caught.value.code) == (422, "run_limit_exceeded")

    in_process(vendor, work)

    assert not vendor.requests
