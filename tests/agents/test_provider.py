"""The LLM calls of a run go through the gateway's own door, and nowhere else."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
from dataclasses import replace
from typing import Any

import pytest
from agents.testing import ScriptedModel, assistant_message, function_call
from pytest_django import Settings

from agents import Agent, RunConfig, Runner, UserError, function_tool
from agents_app.errors import AgentFailed, ModelMissing
from agents_app.services.runs import default_model
from gateway_project.core import sse
from gateway_project.core.errors import GatewayError
from tests.agents.answers import Called, calls, says
from tests.agents.inprocess import HELPER, Setup, in_process, model, outcome, records, snapshot
from tests.fakes import bodies
from tests.fakes.behaviours import answer, stream
from tests.fakes.exchange import Gate
from tests.fakes.vendor import FakeVendor
from tests.routing.candidates import route, target
from upstreams_app.route_conditions import compile_condition
from upstreams_app.route_treatment import COLUMNS, read_treatment

pytestmark = pytest.mark.django_db
EITHER = pytest.mark.parametrize("is_stream", [False, True], ids=["plain", "stream"])
CHUNKS = bodies.chat_chunks(["Hel", "lo"], model="fake-chat", usage=bodies.USAGE)
FIRST = bodies.sse_events(CHUNKS[:2], has_done=False)


@EITHER
def test_a_run_has_a_line_and_each_of_its_calls_has_one(vendor: FakeVendor, is_stream: bool) -> None:
    @function_tool
    def weather() -> str:
        return "sunny"

    agent = Agent(name="Helper", tools=[weather])
    vendor.script(calls(Called("c1", "weather")), says("It is sunny."))
    found: dict[str, Any] = {}

    async def work(setup: Setup) -> None:
        run = setup.run(agent, is_stream=is_stream)
        run.end_user = "erin"
        assert await outcome(run, is_stream=is_stream) == "It is sunny."
        found.update(id=setup.context.request_id, tokens=run.door.tokens, cost=run.door.cost_nano)

    in_process(vendor, work)

    line, made = records(found["id"])
    assert (line.kind, line.status, line.cost, line.input_tokens, line.attempts) == ("agent", 200, 0, 0, 2)
    assert (line.upstream, line.error_code, line.end_user) == ("", "", "erin")
    assert [one.status for one in made] == [200, 200]
    assert {(one.kind, one.model, one.upstream, one.end_user) for one in made} == {
        ("llm", "fake/fake-chat", "fake", "erin")
    }
    assert found["tokens"].input == sum(one.input_tokens for one in made) == 22
    assert found["cost"] is None


@EITHER
def test_a_run_inside_of_a_tool_is_part_of_the_run(
    vendor: FakeVendor, is_stream: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-the-operator")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:1/v1")

    @function_tool
    async def ask() -> str:
        result = await Runner.run(Agent(name="Other", model="fake/fake-chat"), "x")
        again = Runner.run_streamed(Agent(name="Third"), "x", run_config=RunConfig(workflow_name="mine"))
        async for _ in again.stream_events():
            pass
        return f"{result.final_output} {again.final_output}"

    @function_tool
    def block() -> str:
        with pytest.raises(UserError, match="run_sync"):
            Runner.run_sync(Agent(name="Other"), "x")
        with pytest.raises(AgentFailed, match="event loop"):
            asyncio.run(Runner.run(Agent(name="Other"), "x"))
        return "blocked"

    agent = Agent(name="Helper", tools=[ask, block])
    both = calls(Called("c1", "ask"), Called("c2", "block"))
    vendor.script(both, says("one"), says("two"), says("Done."))
    ids = []

    async def work(setup: Setup) -> None:
        run = setup.run(agent, is_stream=is_stream)
        ids.append(setup.context.request_id)
        assert await outcome(run, is_stream=is_stream) == "Done."

    in_process(vendor, work)

    line, made = records(ids[0])
    assert (line.attempts, [one.status for one in made]) == (4, [200] * 4)
    outputs = {item["content"] for item in vendor.requests[-1].json["messages"] if item["role"] == "tool"}
    assert outputs == {"one two", "blocked"}


@EITHER
def test_half_a_character_is_no_reason_to_fail(vendor: FakeVendor, is_stream: bool) -> None:
    @function_tool
    def odd() -> str:
        return "odd \ud83d"

    # As a model's tokens and a tool's cut may leave an emoji.
    half = [
        bodies.encode(chunk).replace(b"half", rb"\ud83d")
        for chunk in bodies.chat_chunks(["Hi half"], model="x")
    ]
    whole = bodies.encode(bodies.chat_completion("Hi half", model="x")).replace(b"half", rb"\ud83d")
    said = stream([sse.event(one) for one in half] + [sse.DONE]) if is_stream else answer(200, whole)
    vendor.script(calls(Called("c1", "odd")), said)

    async def work(setup: Setup) -> None:
        run = setup.run(Agent(name="Helper", tools=[odd]), is_stream=is_stream)
        assert await outcome(run, is_stream=is_stream) == "Hi ?"

    in_process(vendor, work)

    (told,) = [one["content"] for one in vendor.requests[-1].json["messages"] if one["role"] == "tool"]
    assert told == "odd ?"


def test_no_agent_runs_outside_of_a_run() -> None:
    with pytest.raises(UserError, match="answers a request"):
        asyncio.run(Runner.run(HELPER, "x"))


def test_the_sdk_connects_to_nobody_but_the_upstream(
    vendor: FakeVendor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-vendor-key-of-the-operator")
    called: list[tuple[Any, ...]] = []
    connect, connect_ex = socket.socket.connect, socket.socket.connect_ex
    resolve = socket.getaddrinfo

    def note(real: Any) -> Any:
        def noted(*arguments: Any, **options: Any) -> Any:
            called.append(tuple(one for one in arguments if not isinstance(one, socket.socket)))
            return real(*arguments, **options)

        return noted

    monkeypatch.setattr(socket.socket, "connect", note(connect))
    monkeypatch.setattr(socket.socket, "connect_ex", note(connect_ex))
    monkeypatch.setattr(socket, "getaddrinfo", note(resolve))

    async def work(setup: Setup) -> None:
        for is_stream in (False, True):
            await outcome(setup.run(HELPER, is_stream=is_stream), is_stream=is_stream)
        from agents.tracing import get_trace_provider

        get_trace_provider().shutdown()

    in_process(vendor, work)

    named = [str(arguments) for arguments in called]
    assert [name for name in named if "127.0.0.1" not in name and "localhost" not in name] == []
    assert all(request.header("authorization") is None for request in vendor.requests)


@EITHER
def test_what_an_agents_code_says_is_for_the_log_alone(
    vendor: FakeVendor, is_stream: bool, caplog: pytest.LogCaptureFixture
) -> None:
    def instructions(context: Any, agent: Any) -> str:
        raise ValueError("the password is hunter2")

    async def work(setup: Setup) -> None:
        run = setup.run(Agent(name="Helper", instructions=instructions), is_stream=is_stream)
        with pytest.raises(AgentFailed) as raised:
            await outcome(run, is_stream=is_stream)
        assert "hunter2" not in str(raised.value.body())
        # No tool can have acted.
        assert "x-should-retry" not in raised.value.headers

    with caplog.at_level(logging.ERROR):
        in_process(vendor, work)

    (told,) = [record for record in caplog.records if record.getMessage() == "agent.failed"]
    assert "hunter2" in (told.exc_text or "") or "hunter2" in str(told.exc_info)


def test_a_model_of_the_agents_own_needs_no_upstream(vendor: FakeVendor) -> None:
    script = ScriptedModel(
        [[function_call("hello", {}, call_id="c1")], [assistant_message("Hello yourself.")]]
    )

    @function_tool
    async def hello() -> str:
        return "hello"

    ids = []

    async def work(setup: Setup) -> None:
        run = setup.run(Agent(name="Own", model=script, tools=[hello]))
        ids.append(setup.context.request_id)
        assert await outcome(run, is_stream=False) == "Hello yourself."

    in_process(vendor, work)

    line, made = records(ids[0])
    assert (line.status, line.attempts, made) == (200, 0, [])
    assert vendor.requests == []


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("fake-chat", "fake/fake-chat"),
        ("alias", "alias"),
        ("twice", "several upstreams have"),
        ("nothing", "which no upstream has"),
        pytest.param("x" * 100_000, "which no upstream has", id="long"),
    ],
)
def test_an_agent_may_name_a_model_by_the_upstreams_name(
    vendor: FakeVendor, name: str, expected: str
) -> None:
    async def work(setup: Setup) -> None:
        url = vendor.url
        others = [model(url, "a/twice"), model(url, "b/twice"), model(url, "alias", is_route=True)]
        setup.config = snapshot(model(url), *others)
        door = setup.run(HELPER).door
        try:
            assert door.entry(name).id == expected
        except ModelMissing as error:
            assert expected in error.message
            assert len(error.message) < 400

    in_process(vendor, work)


def test_conditions_and_templates_ask_about_a_call_as_its_route_makes_it(vendor: FakeVendor) -> None:
    long, short = target("long/m", vendor.url, priority=1), target("short/m", vendor.url, priority=2)
    long = replace(long, condition=compile_condition("tokens > 5000"))
    columns: dict[str, Any] = {name: [] if name.startswith("prompt_") else {} for name in COLUMNS}
    columns["prompt_append"] = [{"role": "user", "content": "word " * 4000}]
    columns["body_templates"] = {"seed": "tokens < 5000 ? 7 : 8"}
    columns["upstream_header_templates"] = {"x-tenant": "principal.key_name"}
    fast = replace(route(long, short, name="fast"), treatment=read_treatment(columns), is_selective=True)
    fast = replace(fast, reads=frozenset({"tokens"}))
    found: dict[str, Any] = {}

    async def work(setup: Setup) -> None:
        setup.config = snapshot(fast)
        await outcome(setup.run(Agent(name="Helper", model="fast")), is_stream=False)
        found["id"] = setup.context.request_id

    in_process(vendor, work)

    assert records(found["id"])[1][0].upstream == "long"
    assert "alice" in [value for name, value in vendor.requests[-1].headers if name.lower() == "x-tenant"]
    assert json.loads(vendor.requests[-1].body)["seed"] == 7


def test_agents_without_a_model_get_the_oldest_real_chat_model(settings: Settings) -> None:
    settings.DEFAULT_MODEL = ""
    url = "http://127.0.0.1:1"
    demo = model(url, "demo/demo", kind="demo", created=1)
    embedding = model(url, "fake/embedding", mode="embedding", created=2)
    resting = model(url, "rest/chat", created=3, is_resting=True)
    young, old = model(url, "fake/young", created=9), model(url, "fake/old", created=4)

    assert default_model(snapshot(demo, embedding, resting, young, old)) == "fake/old"
    assert default_model(snapshot(demo, embedding, resting)) == "demo/demo"
    assert default_model(snapshot(embedding, resting)) == "rest/chat"
    assert default_model(snapshot(embedding)) == ""
    settings.DEFAULT_MODEL = "fake/young"
    assert default_model(snapshot(old, young)) == "fake/young"


@pytest.mark.parametrize("name", ["fake/unknown", ""])
def test_a_default_model_that_is_not_there_is_told(vendor: FakeVendor, settings: Settings, name: str) -> None:
    settings.DEFAULT_MODEL = name

    async def work(setup: Setup) -> None:
        setup.config = snapshot(model(vendor.url, mode="embedding"))
        with pytest.raises(GatewayError) as raised:
            await outcome(setup.run(HELPER), is_stream=False)
        assert raised.value.code == "agent_model_not_found"
        assert (f"'{name}'" if name else "there is none") in raised.value.message

    in_process(vendor, work)


def test_a_gate_is_passed_in_order(vendor: FakeVendor) -> None:
    """Two streamed runs in one process do not wait for each other."""
    gate = Gate()
    vendor.script(stream([*FIRST, gate, *bodies.sse_events(CHUNKS[2:])]))

    async def work(setup: Setup) -> None:
        first = asyncio.create_task(outcome(setup.run(HELPER, is_stream=True), is_stream=True))
        await asyncio.to_thread(gate.wait_reached)
        assert await outcome(setup.run(HELPER, is_stream=True), is_stream=True) == "Hello from the fake 🌍"
        assert not first.done()
        gate.open()
        assert await first == "Hello"

    in_process(vendor, work)
