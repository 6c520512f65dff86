"""Tools that are agents: runs below runs, with lines of their own, and an end."""

from __future__ import annotations

from typing import Any

import pytest

from agents import Agent, function_tool
from agents_app.entry import AgentEntry
from agents_app.errors import RunLimitExceeded
from agents_app.models import Run
from agents_app.registry import AgentsConfig
from agents_app.sdk.mixture import Layer, MixtureModel, Proposer
from agents_app.services import agent_tool
from agents_app.services.agent_tool import MAX_DEPTH
from agents_app.tools import use_gateway_tool
from gateway_project.core.codec import dumps
from gateway_project.core.ids import public_id
from gateway_project.core.snapshot import Section, Snapshot
from tests.agents.answers import Called, calls, says
from tests.agents.inprocess import FIELDS, Setup, in_process, outcome, records
from tests.fakes.behaviours import error, hang_before_headers
from tests.fakes.vendor import FakeVendor
from tests.tools.setup import entry, principal, section
from tools_app.services.call import call
from tools_app.services.client_calls import accounted, work_of
from usage_app.services import settlement

pytestmark = pytest.mark.django_db(transaction=True)
ASK = Called("call_1", "ask", '{"input": "What is up?"}')


def served(agent_id: str, agent: Agent[Any], **limits: Any) -> AgentEntry:
    """An agent as clients could call it."""
    known: dict[str, Any] = {"max_turns": 10, "max_llm_calls": 50, "wall_clock_s": 60}
    return AgentEntry(
        id=agent_id,
        id_json=dumps(agent_id),
        agent=agent,
        name="Helper",
        description="",
        created=1,
        model="",
        visibility="hidden",
        **known | limits,
    )


def equip(setup: Setup, *agents: AgentEntry, **tool: Any) -> None:
    """Serve these agents, and a tool `ask` that asks the first of them."""
    by_id = {one.id: one for one in agents}
    ask = entry("ask", kind="agent", config={"agent": "default/helper"}, description="", **tool)
    sections: dict[str, Section[Any]] = {
        "tools": section(ask),
        "agents": Section(AgentsConfig(by_id, by_id), 1),
    }
    setup.config = Snapshot({**setup.config.sections, **sections})


CLERK = Agent(name="Clerk", tools=[use_gateway_tool("ask")])
HELPER = Agent(name="Helper", instructions="You help.")


def result(vendor: FakeVendor) -> str:
    """What the model was told last of a call."""
    return str(vendor.requests[-1].json["messages"][-1]["content"])


@pytest.mark.parametrize("is_stream", [False, True], ids=["plain", "stream"])
def test_an_agent_answers_as_a_tool_of_another(
    vendor: FakeVendor, is_stream: bool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    vendor.script(calls(ASK), says("Not much."), says("It says: not much."))
    runs: list[Any] = []

    async def work(setup: Setup) -> None:
        equip(setup, served("default/helper", HELPER))
        run = setup.run(CLERK, is_stream=is_stream)
        run.end_user = "dora"
        runs.append((setup.context.request_id, run.door))
        assert await outcome(run, is_stream=is_stream) == "It says: not much."

    in_process(vendor, work)

    first, second, third = [request.json for request in vendor.requests]
    assert first["tools"][0]["function"]["description"] == (
        "Asks the agent default/helper and returns its answer."
    )
    assert [message["content"] for message in second["messages"]] == ["You help.", "What is up?"]
    assert "tools" not in second
    assert third["messages"][-1]["content"] == "Not much."
    request_id, door = runs[0]
    run, below = records(request_id)
    assert (run.kind, run.attempts, run.parent_id) == ("agent", 3, None)
    assert sorted(one.kind for one in below) == ["agent", "llm", "llm"]
    (child,) = [one for one in below if one.kind == "agent"]
    _, of_child = records(child.id)
    assert (child.model, child.status, child.end_user, child.attempts) == ("default/helper", 200, "dora", 1)
    assert [one.kind for one in of_child] == ["llm"]
    inputs = [one.input_tokens for one in [*below, *of_child]]
    assert door.tokens.input == sum(inputs)
    # Each is a run of its own, with its own steps, and the tool is told of once.
    kinds = {
        row.id: (row.parent_id, row.llm_calls, list(row.steps.values_list("kind", flat=True)))
        for row in Run.objects.filter(id__in=[run.id, child.id])
    }
    assert kinds[run.id] == (None, 2, ["agent", "turn", "llm", "tool", "turn", "llm"])
    assert kinds[child.id] == (run.id, 1, ["agent", "turn", "llm"])
    sources = [record.source for record in caplog.records if record.getMessage() == "tool.invoke"]  # type: ignore[attr-defined]
    assert sources == ["gateway"]


def test_what_the_called_agent_fails_by_is_a_word_for_the_model(vendor: FakeVendor) -> None:
    vendor.script(calls(ASK), error(500, message="internal detail 4711"), says("Sorry."))

    async def work(setup: Setup) -> None:
        equip(setup, served("default/helper", HELPER))
        assert await outcome(setup.run(CLERK), is_stream=False) == "Sorry."

    in_process(vendor, work)

    assert result(vendor) == "Tool error: the agent failed (upstream_failed)."
    assert "4711" not in str([request.body for request in vendor.requests])


def test_an_agent_that_needs_an_approval_is_no_tool(vendor: FakeVendor) -> None:
    vendor.script(calls(ASK), calls(Called("call_2", "ask", '{"input": "x"}')), says("Sorry."))
    careful = Agent(name="Helper", tools=[use_gateway_tool("ask", needs_approval=True)])

    async def work(setup: Setup) -> None:
        equip(setup, served("default/helper", careful))
        await outcome(setup.run(CLERK), is_stream=False)

    in_process(vendor, work)

    assert result(vendor) == "Tool error: the agent failed (agent_failed)."


def test_an_agent_that_is_not_served_is_an_error_of_the_tool(vendor: FakeVendor) -> None:
    vendor.script(calls(ASK), says("Sorry."))

    async def work(setup: Setup) -> None:
        equip(setup)
        await outcome(setup.run(CLERK), is_stream=False)

    in_process(vendor, work)

    assert result(vendor) == "Tool error: the agent behind the tool is not served."


def test_a_key_that_may_not_use_the_tool_does_not_reach_the_agent(vendor: FakeVendor) -> None:
    vendor.script(calls(ASK), says("No."))

    async def work(setup: Setup) -> None:
        equip(setup, served("default/helper", HELPER))
        run = setup.run(CLERK)
        setup.context.principal = principal("other")
        await outcome(run, is_stream=False)

    in_process(vendor, work)

    assert len(vendor.requests) == 2
    assert "tools" not in vendor.requests[0].json


def test_an_agent_that_asks_itself_comes_to_an_end(vendor: FakeVendor) -> None:
    vendor.script(*[calls(ASK)] * (MAX_DEPTH + 1), *[says("Enough.")] * (MAX_DEPTH + 1))

    async def work(setup: Setup) -> None:
        equip(setup, served("default/helper", CLERK))
        assert await outcome(setup.run(CLERK), is_stream=False) == "Enough."

    in_process(vendor, work)

    told = [request.json["messages"][-1]["content"] for request in vendor.requests]
    assert told[MAX_DEPTH + 1] == f"Tool error: agents may call agents {MAX_DEPTH} times over, and no more."
    assert len(told) == 2 * (MAX_DEPTH + 1)


def test_calls_below_a_run_count_for_its_limit(vendor: FakeVendor) -> None:
    vendor.script(calls(ASK), says("Not much."), says("Never asked for."))

    async def work(setup: Setup) -> None:
        equip(setup, served("default/helper", HELPER))
        with pytest.raises(RunLimitExceeded, match="more than 2 LLM calls"):
            await outcome(setup.run(CLERK, max_llm_calls=2), is_stream=False)

    in_process(vendor, work)

    assert len(vendor.requests) == 2


def test_the_time_limit_of_the_tool_ends_the_run_below(vendor: FakeVendor) -> None:
    vendor.script(calls(ASK), hang_before_headers(), says("It takes too long."))
    runs: list[Any] = []

    async def work(setup: Setup) -> None:
        equip(setup, served("default/helper", HELPER), timeout_s=0.3)
        run = setup.run(CLERK)
        runs.append(setup.context.request_id)
        assert await outcome(run, is_stream=False) == "It takes too long."

    in_process(vendor, work)

    assert result(vendor) == "Tool error: the tool did not answer within 0.3 s."
    run, below = records(runs[0])
    assert run.status == 200
    (child,) = [one for one in below if one.kind == "agent"]
    _, (call,) = records(child.id)
    # Neither the server nor the upstream is to blame.
    assert (child.status, child.error_code) == (call.status, call.error_code) == (499, "run_ended")
    vendor.requests[1].wait_aborted()


def test_an_agent_that_the_code_itself_makes_a_tool_is_told_of_as_one(
    vendor: FakeVendor, caplog: pytest.LogCaptureFixture
) -> None:
    @function_tool
    def look_up() -> str:
        return "nothing"

    asked = Called("call_1", "helper", '{"input": "What is up?"}')
    vendor.script(calls(asked, Called("call_2", "look_up")), says("Not much."), says("It says: not much."))
    desk = Agent(name="Desk", tools=[HELPER.as_tool("helper", "Helps."), look_up])

    async def work(setup: Setup) -> None:
        with caplog.at_level("INFO"):
            await outcome(setup.run(desk), is_stream=False)

    in_process(vendor, work)

    lines = [one.__dict__ for one in caplog.records if one.msg == "tool.invoke"]
    assert {line["tool"]: line["kind"] for line in lines} == {"helper": "agent", "look_up": "function"}


def test_what_a_called_agent_does_is_not_shown_where_it_hides_that(vendor: FakeVendor) -> None:
    mixture = Agent(name="Mixture", model=MixtureModel([Layer([Proposer("one"), Proposer("two")])]))
    vendor.script(calls(ASK), says("A."), says("B."), says("Not much."), says("It says: not much."))

    async def work(setup: Setup) -> None:
        equip(setup, served("default/helper", mixture))
        run = setup.run(CLERK, visibility="reasoning")
        prepared = run.prepare(FIELDS)
        await run.answer(prepared)
        assert prepared.outcome.reasoning == "[Clerk] calls ask\n"

    in_process(vendor, work)


def test_the_log_leads_from_the_calls_of_a_run_below_to_the_request(
    vendor: FakeVendor, monkeypatch: pytest.MonkeyPatch
) -> None:
    vendor.script(calls(ASK), says("Not much."), says("It says: not much."))
    lines: list[tuple[str, dict[str, Any]]] = []
    monkeypatch.setattr(settlement, "log_event", lambda event, fields: lines.append((event, fields)))
    ids: list[str] = []

    async def work(setup: Setup) -> None:
        equip(setup, served("default/helper", HELPER))
        run = setup.run(CLERK)
        ids.append(public_id("req", setup.context.request_id))
        await outcome(run, is_stream=False)

    in_process(vendor, work)

    (below,) = [fields for event, fields in lines if event == "agent.run"]
    assert (below["parent_id"], below["model"], below["kind"]) == (ids[0], "default/helper", "agent")
    parents = [fields["parent_id"] for event, fields in lines if event == "llm.call"]
    assert parents == [ids[0], below["request_id"], ids[0]]


def test_a_client_that_calls_it_itself_is_who_pays(
    vendor: FakeVendor, monkeypatch: pytest.MonkeyPatch
) -> None:
    vendor.script(says("Not much."))
    seen: list[Any] = []

    async def work(setup: Setup) -> None:
        equip(setup, served("default/helper", HELPER))
        run = setup.run(CLERK)
        context, tool = run.door.context, setup.config.sections["tools"].value.tools["ask"]
        monkeypatch.setattr(agent_tool, "_server", agent_tool.Connections(setup.clients, setup.ticker))
        answered = await accounted(context, work_of(tool), lambda: call(tool, {"input": "Up?"}, context))
        seen.extend([context.request_id, answered.text])

    in_process(vendor, work)

    request_id, text = seen
    assert text == "Not much."
    whole, below = records(request_id)
    assert (whole.kind, whole.operation, whole.model, whole.status) == ("tool", "tools/call", "ask", 200)
    (run,) = below
    assert (run.kind, run.model, run.key_id) == ("agent", "default/helper", whole.key_id)
    _, calls_of_run = records(run.id)
    assert [one.kind for one in calls_of_run] == ["llm"]
