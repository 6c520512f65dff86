"""Tools of the registry in runs of agents: what the model is told, and what comes of its calls."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from agents.testing import ScriptedModel, assistant_message, function_call
from agents.tool_context import ToolContext

from agents import Agent, RunConfig, Runner, UserError, function_tool
from agents_app.sdk.gateway_tools import ToolSpec, gateway_tools_of, tools_from
from agents_app.services.tool_door import MAX_CALLS, RunTools
from agents_app.tools import gateway_tool, use_gateway_tool
from gateway_project.core.snapshot import Snapshot
from tests.agents.answers import Called, calls, says
from tests.agents.inprocess import Setup, in_process, outcome
from tests.agents.test_saved_state import MESSAGES, prepared, saved
from tests.fakes.exchange import Exchange
from tests.fakes.vendor import FakeVendor
from tests.tools.functions import SECRET
from tests.tools.mcp_peers import McpPeer
from tests.tools.setup import MODULES, entry, principal, schema, section
from tools_app.entry import ToolEntry
from tools_app.mcp_catalogue import mcp_tool_entry
from tools_app.mcp_entry import server_entry
from tools_app.models import McpServer, McpTool

EITHER = pytest.mark.parametrize("is_stream", [False, True], ids=["plain", "stream"])
NUMBERS = schema(a="integer", b="integer")
ADDS = Called("call_1", "add", '{"a": 2, "b": 3}')


@pytest.fixture(autouse=True)
def modules(settings: Any) -> None:
    """The functions of tests may be called."""
    settings.TOOL_MODULES = MODULES


def equip(setup: Setup, *tools: ToolEntry) -> None:
    """Give the server these tools."""
    setup.config = Snapshot({**setup.config.sections, "tools": section(*tools)})


def of_peer(peer: McpPeer) -> ToolEntry:
    """A tool of an MCP server, pinned."""
    definition = {"name": "add", "description": "Adds.", "inputSchema": NUMBERS}
    row = McpTool(name="add", exposed_name="peer__add", definition=definition, fingerprint="0" * 64)
    return mcp_tool_entry(server_entry(McpServer(name="peer", url=peer.url)), row)


def offered(vendor: FakeVendor, number: int = 0) -> list[dict[str, Any]]:
    """The functions that the vendor was told of with one request."""
    return [tool["function"] for tool in vendor.requests[number].json.get("tools", ())]


def result(vendor: FakeVendor) -> str:
    """What the model was told last of a call."""
    return str(vendor.requests[-1].json["messages"][-1]["content"])


@EITHER
def test_the_model_is_told_of_a_tool_and_calls_it(vendor: FakeVendor, is_stream: bool) -> None:
    vendor.script(calls(ADDS), says("It is 5."))
    agent = Agent(name="Clerk", tools=[use_gateway_tool("add")])

    async def work(setup: Setup) -> None:
        equip(setup, entry("add", parameters=NUMBERS, description="Adds numbers."))
        assert await outcome(setup.run(agent, is_stream=is_stream), is_stream=is_stream) == "It is 5."

    in_process(vendor, work)

    (function,) = offered(vendor)
    assert (function["name"], function["description"]) == ("add", "Adds numbers.")
    assert function["parameters"] == NUMBERS
    assert result(vendor) == "5"


def test_an_agents_own_description_is_what_its_model_is_told(vendor: FakeVendor) -> None:
    agent = Agent(name="Clerk", tools=[gateway_tool("add", "Sums up.")])

    async def work(setup: Setup) -> None:
        equip(setup, entry("add", parameters=NUMBERS))
        await outcome(setup.run(agent), is_stream=False)

    in_process(vendor, work)

    assert offered(vendor)[0]["description"] == "Sums up."


def test_another_schema_is_told_without_loading_the_agent_again(vendor: FakeVendor) -> None:
    agent = Agent(name="Clerk", tools=[use_gateway_tool("add")])
    other = schema(a="number", b="number")

    async def work(setup: Setup) -> None:
        for parameters, text in ((NUMBERS, "Adds."), (other, "Adds all.")):
            equip(setup, entry("add", parameters=parameters, description=text))
            await outcome(setup.run(agent), is_stream=False)

    in_process(vendor, work)

    told = [(offered(vendor, number)[0]["description"], offered(vendor, number)[0]) for number in (0, 1)]
    assert [text for text, _ in told] == ["Adds.", "Adds all."]
    assert [function["parameters"] for _, function in told] == [NUMBERS, other]


@EITHER
def test_a_tool_that_the_key_may_not_use_is_not_told_of_and_not_called(
    vendor: FakeVendor, is_stream: bool
) -> None:
    vendor.script(calls(ADDS), says("I can't."))
    agent = Agent(name="Clerk", tools=[use_gateway_tool("add"), use_gateway_tool("greet")])

    async def work(setup: Setup) -> None:
        equip(setup, entry("add", parameters=NUMBERS), entry("greet", parameters=schema(name="string")))
        run = setup.run(agent, is_stream=is_stream)
        setup.context.principal = principal("gr*")
        assert await outcome(run, is_stream=is_stream) == "I can't."

    in_process(vendor, work)

    assert [function["name"] for function in offered(vendor)] == ["greet"]
    assert result(vendor) != "5"
    assert "not found" in result(vendor)


def test_unknown_tools_are_left_out_and_the_agent_answers(vendor: FakeVendor) -> None:
    agent = Agent(name="Clerk", tools=[use_gateway_tool("missing")])

    async def work(setup: Setup) -> None:
        equip(setup)
        await outcome(setup.run(agent), is_stream=False)

    in_process(vendor, work)

    assert offered(vendor) == []


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (Called("call_1", "fail"), "Tool error: the tool failed."),
        (Called("call_1", "add", '{"a": "x"}'), "is a required property."),
        (Called("call_1", "add", "{"), "Tool error: the arguments are not valid JSON."),
        (Called("call_1", "wait_for_ever"), "Tool error: the tool did not answer within 0.05 s."),
    ],
    ids=["fails", "wrong", "no-json", "late"],
)
def test_a_failed_call_is_a_short_text_for_the_model(vendor: FakeVendor, made: Called, words: str) -> None:
    vendor.script(calls(made), says("Sorry."))
    names = ("fail", "add", "wait_for_ever")
    agent = Agent(name="Clerk", tools=[use_gateway_tool(name) for name in names])

    async def work(setup: Setup) -> None:
        late = entry("wait_for_ever", timeout_s=0.05)
        equip(setup, entry("fail"), entry("add", parameters=schema("b", a="integer", b="integer")), late)
        assert await outcome(setup.run(agent), is_stream=False) == "Sorry."

    in_process(vendor, work)

    assert result(vendor).startswith("Tool error: ")
    assert result(vendor).endswith(words)
    assert SECRET not in str([request.body for request in vendor.requests])


def test_six_runs_at_once_are_kept_apart(vendor: FakeVendor) -> None:
    async def behave(exchange: Exchange) -> None:
        request = exchange.request.json
        last = request["messages"][-1]["content"]
        if request["messages"][-1]["role"] == "tool" or not request.get("tools"):
            await says(f"It says: {last}")(exchange)
        else:
            await calls(Called(f"call_{last}", "echo", f'{{"value": "{last}"}}'))(exchange)

    vendor.always(behave)
    agent = Agent(name="Clerk", tools=[use_gateway_tool("echo")])
    found: dict[int, str] = {}

    async def work(setup: Setup) -> None:
        equip(setup, entry("echo", parameters=schema(value="string")))

        async def one(number: int) -> None:
            run = setup.run(agent)
            if number % 2:
                setup.context.principal = principal("other")
            fields = {"messages": [{"role": "user", "content": f"n{number}"}]}
            found[number] = await run.answer(run.prepare(fields))

        await asyncio.gather(*[asyncio.create_task(one(number)) for number in range(6)])

    in_process(vendor, work)

    assert found == {
        number: f"It says: n{number}" if number % 2 else f"It says: echo n{number}" for number in range(6)
    }


def test_a_run_does_not_call_tools_without_end(vendor: FakeVendor) -> None:
    async def work(setup: Setup) -> None:
        equip(setup, entry("greet", parameters=schema(name="string")))
        tools = RunTools(setup.run(Agent(name="Clerk")))
        told = [await tools.invoke("greet", '{"name": "x"}', "call_1") for _ in range(MAX_CALLS + 1)]
        assert told[-2:] == [
            '{"greeting": "Hello x"}',
            f"Tool error: a run may call tools {MAX_CALLS} times.",
        ]

    in_process(vendor, work)


async def test_outside_of_a_request_a_call_says_what_is_wrong() -> None:
    model = ScriptedModel([[function_call("add", {"a": 1, "b": 2}, call_id="call_1")]])
    agent = Agent(name="Clerk", tools=[use_gateway_tool("add")], model=model)

    with pytest.raises(UserError, match="only while an agent answers a request"):
        await Runner.run(agent, "Hi", run_config=RunConfig(tracing_disabled=True))


@pytest.mark.parametrize("name", ["", "a b", "x" * 65, "a.b", 7])
def test_a_name_that_no_tool_can_have_is_refused_where_it_is_written(name: Any) -> None:
    with pytest.raises(UserError, match="1 to 64 letters"):
        use_gateway_tool(name)


def test_the_tools_that_an_agent_names_are_known_through_all_whom_it_calls() -> None:
    helper = Agent(name="Helper", tools=[use_gateway_tool("inner")])
    other = Agent(name="Other", tools=[use_gateway_tool("after")])
    tools: list[Any] = [use_gateway_tool("own"), helper.as_tool("help", "Helps.")]
    agent = Agent(name="Clerk", tools=tools, handoffs=[other])
    other.handoffs.append(agent)

    assert gateway_tools_of(agent) == {"own", "inner", "after"}
    assert gateway_tools_of(None) == set()


def test_both_paths_of_import_lead_to_one_function() -> None:
    from sdk_adapter import gateway_tools as adapter

    assert adapter.use_gateway_tool is use_gateway_tool is adapter.gateway_tool is gateway_tool


async def test_a_run_that_waited_for_its_client_goes_on_with_the_same_tools() -> None:
    turns = [
        [
            function_call("add", {"a": 1, "b": 2}, call_id="own"),
            function_call("weather", {}, call_id="call_1"),
        ],
        [function_call("add", {"a": 3, "b": 4}, call_id="more")],
        [assistant_message("Sun.")],
    ]
    model = ScriptedModel(turns)
    agent = Agent[Any](name="Desk", tools=[use_gateway_tool("add")], model=model)
    door = FixedDoor()

    with tools_from(door):
        text = await saved(agent)
        run = prepared(agent, MESSAGES)
        assert await run.go_on_from(text)
        assert await run.answer() == "Sun."

    assert door.calls == [("add", '{"a":1,"b":2}', "own"), ("add", '{"a":3,"b":4}', "more")]


class FixedDoor:
    """A door of a process that has nothing of the gateway."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str, str]] = []

    def names(self) -> list[str]:
        return ["add"]

    def spec(self, name: str) -> ToolSpec | None:
        return ToolSpec("Adds.", NUMBERS) if name == "add" else None

    async def invoke(self, name: str, arguments_json: str, call_id: str) -> str:
        self.calls.append((name, arguments_json.replace(" ", ""), call_id))
        return "3"


def test_what_a_run_leaves_behind_calls_no_tool(vendor: FakeVendor) -> None:
    add = use_gateway_tool("add")
    is_over = asyncio.Event()
    left: list[asyncio.Task[Any]] = []

    async def stay(context: ToolContext[Any]) -> Any:
        await is_over.wait()
        return await add.on_invoke_tool(context, ADDS.arguments)

    @function_tool
    async def leave(context: ToolContext[Any]) -> str:
        left.append(asyncio.create_task(stay(context)))
        return "left"

    vendor.script(calls(Called("call_1", "leave")), says("Done."))

    async def work(setup: Setup) -> None:
        equip(setup, entry("add", parameters=NUMBERS))
        await outcome(setup.run(Agent(name="Clerk", tools=[leave, add])), is_stream=False)
        is_over.set()
        assert await left[0] == "Tool error: the run is over."

    in_process(vendor, work)


def test_an_agent_uses_a_tool_of_an_mcp_server(vendor: FakeVendor) -> None:
    vendor.script(calls(Called("call_1", "peer__add", '{"a": 2, "b": 3}')), says("It is 5."))
    agent = Agent(name="Clerk", tools=[use_gateway_tool("peer__add")])

    async def work(setup: Setup) -> None:
        equip(setup, of_peer(peer))
        assert await outcome(setup.run(agent, is_stream=False), is_stream=False) == "It is 5."

    with McpPeer() as peer:
        in_process(vendor, work)

    assert offered(vendor)[0]["description"] == "Adds."
    assert result(vendor) == "5"
