"""What a run did is in its rows: runs inside of the test's process, a real upstream, the real journal."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from agents.tracing import get_trace_provider, set_trace_provider
from agents.tracing.provider import DefaultTraceProvider

from agents import (
    Agent,
    GuardrailFunctionOutput,
    RunConfig,
    Runner,
    Tool,
    TracingProcessor,
    add_trace_processor,
    custom_span,
    function_tool,
    input_guardrail,
    output_guardrail,
    set_trace_processors,
    trace,
)
from agents_app.models import Run
from agents_app.pieces import Piece
from agents_app.sdk import assert_ours
from agents_app.sdk.tracing import RunTraces
from agents_app.services.runs import AgentRun
from gateway_project.core.deadline import DISCONNECTED
from gateway_project.core.errors import GatewayError
from gateway_project.core.snapshot import Section, Snapshot
from security_app.registry.content import ContentConfig, ContentRule
from tests.agents.answers import Called, calls, says
from tests.agents.inprocess import FIELDS, HELPER, Setup, in_process, outcome, records
from tests.fakes import bodies
from tests.fakes.behaviours import error, hang_before_headers, stream
from tests.fakes.vendor import FakeVendor
from usage_app.registry import RateCard, UsageConfig

pytestmark = pytest.mark.django_db
EITHER = pytest.mark.parametrize("is_stream", [False, True], ids=["plain", "stream"])
FIRST = bodies.sse_events(bodies.chat_chunks(["Hel", "lo"], model="fake-chat")[:2], has_done=False)
CARD = RateCard(1_000_000_000, 2_000_000_000, 0, 0, 0, 0, 0, 0, 0, 0)
FACTS = ("model", "upstream", "upstream_model", "input_tokens", "output_tokens", "cost", "error_code")
Node = tuple[int | None, str, str, str]


def tree(run: Run) -> list[Node]:
    """The steps: the number of what each is in, kind, name, status."""
    return list(run.steps.values_list("parent", "kind", "name", "status"))


def ran(
    vendor: FakeVendor,
    agent: Agent[Any],
    *,
    is_stream: bool = False,
    during: Callable[[Setup, AgentRun], Awaitable[None]] | None = None,
    **fields: Any,
) -> Run:
    """The run's rows, which say what the ledger says: the sums, and each call."""
    ids: list[UUID] = []

    async def work(setup: Setup) -> None:
        setup.config = _priced(setup.config)
        run = setup.run(agent, is_stream=is_stream, **fields)
        ids.append(setup.context.request_id)
        if during is not None:
            await during(setup, run)
            return
        with contextlib.suppress(GatewayError):
            await outcome(run, is_stream=is_stream)

    in_process(vendor, work)
    line, made = records(ids[0])
    run = Run.objects.get(id=line.id)
    assert (run.agent, run.key_id, run.key_name) == ("default/test", line.key_id, "alice")
    assert (run.started_at, run.status, run.error_code) == (line.at, line.status, line.error_code)
    assert (run.is_stream, run.first_token_ms) == (line.is_stream, line.first_token_ms)
    assert run.duration_ms == line.total_ms
    assert run.llm_calls == len(made) == line.attempts
    assert run.input_tokens == sum(call.input_tokens for call in made)
    assert run.output_tokens == sum(call.output_tokens for call in made)
    assert run.cost == sum((call.cost for call in made), Decimal(0))
    told = run.steps.filter(request_id__isnull=False).order_by("request_id").values_list("request_id", *FACTS)
    assert list(told) == [(call.id, *(getattr(call, name) for name in FACTS)) for call in made]
    assert all(0 <= step.start_ms <= run.duration_ms for step in run.steps.all())
    return run


def _priced(config: Snapshot) -> Snapshot:
    """With a price, and a policy that stores all texts."""
    usage = UsageConfig({"fake/fake-chat": ((0.0, CARD),)})
    content = ContentConfig({("everyone", ""): ContentRule(stores_texts=True)})
    return replace(
        config, sections={**config.sections, "usage": Section(usage, 1), "content": Section(content, 1)}
    )


@function_tool
def act() -> str:
    """Does something."""
    return "done"


@EITHER
def test_turns_calls_and_tools_are_steps_in_each_other(vendor: FakeVendor, is_stream: bool) -> None:
    vendor.script(calls(Called("c1", "act")), says("Well done."))

    run = ran(vendor, Agent(name="Helper", tools=[act]), is_stream=is_stream)

    assert tree(run) == [
        (None, "agent", "Helper", "ok"),
        (1, "turn", "Turn 1", "ok"),
        (2, "llm", "fake/fake-chat", "ok"),
        (2, "tool", "act", "ok"),
        (1, "turn", "Turn 2", "ok"),
        (5, "llm", "fake/fake-chat", "ok"),
    ]
    assert (run.status, run.turns, run.llm_calls, run.tool_calls, run.handoffs) == (200, 2, 2, 1, 0)
    assert run.cost > 0
    reasons = run.steps.filter(kind="llm").values_list("finish_reason", flat=True)
    assert list(reasons) == ["tool_calls", "stop"]


@EITHER
def test_a_hand_off_is_a_step_and_the_next_agent_another(vendor: FakeVendor, is_stream: bool) -> None:
    expert = Agent(name="Expert")
    vendor.script(calls(Called("c1", "transfer_to_expert")), says("I know."))

    run = ran(vendor, Agent(name="Desk", handoffs=[expert]), is_stream=is_stream)

    assert tree(run) == [
        (None, "agent", "Desk", "ok"),
        (1, "turn", "Turn 1", "ok"),
        (2, "llm", "fake/fake-chat", "ok"),
        (2, "handoff", "Desk → Expert", "ok"),
        (None, "agent", "Expert", "ok"),
        (5, "turn", "Turn 2", "ok"),
        (6, "llm", "fake/fake-chat", "ok"),
    ]
    assert (run.turns, run.tool_calls, run.handoffs) == (2, 0, 1)


@function_tool
async def ask_inside() -> str:
    """Runs an agent from a tool, untraced as far as its code is asked."""
    result = await Runner.run(Agent(name="Inner"), "x", run_config=RunConfig(tracing_disabled=True))
    return str(result.final_output)


@EITHER
@pytest.mark.parametrize("name", ["ask_inner", "ask_inside"])
def test_what_agents_run_themselves_is_part_of_the_run(
    vendor: FakeVendor, name: str, is_stream: bool
) -> None:
    tools: list[Tool] = [Agent(name="Inner").as_tool("ask_inner", "Ask the other."), ask_inside]
    vendor.script(calls(Called("c1", name, '{"input": "x"}')), says("inner"), says("outer"))

    run = ran(vendor, Agent(name="Outer", tools=tools), is_stream=is_stream)

    assert tree(run) == [
        (None, "agent", "Outer", "ok"),
        (1, "turn", "Turn 1", "ok"),
        (2, "llm", "fake/fake-chat", "ok"),
        (2, "agent_as_tool", name, "ok"),
        (4, "agent", "Inner", "ok"),
        (5, "turn", "Turn 1", "ok"),
        (6, "llm", "fake/fake-chat", "ok"),
        (1, "turn", "Turn 2", "ok"),
        (8, "llm", "fake/fake-chat", "ok"),
    ]
    assert (run.turns, run.llm_calls, run.tool_calls) == (3, 3, 1)


@EITHER
def test_a_guardrail_that_trips_is_told(vendor: FakeVendor, is_stream: bool) -> None:
    @output_guardrail
    async def check(context: Any, agent: Any, given: Any) -> GuardrailFunctionOutput:
        return GuardrailFunctionOutput(output_info="a secret of the code", tripwire_triggered=True)

    @input_guardrail(run_in_parallel=False)
    async def look(context: Any, agent: Any, given: Any) -> GuardrailFunctionOutput:
        return GuardrailFunctionOutput(output_info="a secret of the code", tripwire_triggered=False)

    agent = Agent(name="Helper", input_guardrails=[look], output_guardrails=[check])

    run = ran(vendor, agent, is_stream=is_stream)

    assert (run.status, run.error_code) == (403, "guardrail_blocked")
    found = {(kind, name): status for _, kind, name, status in tree(run)}
    assert found["guardrail", "look"] == "ok"
    assert found["guardrail", "check"] == "tripped"
    assert found["agent", "Helper"] == "error"


@EITHER
def test_an_upstream_that_fails_at_turn_2_fails_that_turn(vendor: FakeVendor, is_stream: bool) -> None:
    vendor.script(calls(Called("c1", "act")), error(500))

    run = ran(vendor, Agent(name="Helper", tools=[act]), is_stream=is_stream)

    assert (run.status, run.error_code) == (502, "upstream_failed")
    assert tree(run) == [
        (None, "agent", "Helper", "error"),
        (1, "turn", "Turn 1", "ok"),
        (2, "llm", "fake/fake-chat", "ok"),
        (2, "tool", "act", "ok"),
        (1, "turn", "Turn 2", "error"),
        (5, "llm", "fake/fake-chat", "error"),
    ]


@EITHER
@pytest.mark.parametrize("is_late", [False, True], ids=["before-the-finish", "after-it"])
def test_a_client_that_leaves_is_told_with_what_its_calls_came_to(
    vendor: FakeVendor, is_stream: bool, is_late: bool
) -> None:
    whole = bodies.sse_events(bodies.chat_chunks(["Hello"], model="fake-chat", usage=bodies.USAGE))
    # Once the model has finished, usage that comes after the client went counts.
    late = stream([*whole[:-2], 0.8, *whole[-2:]])
    vendor.always(late if is_late else stream(FIRST, ending="hang"))

    async def leave(setup: Setup, run: AgentRun) -> None:
        scope = setup.context.scope
        asyncio.get_running_loop().call_later(0.4, scope.cancel, DISCONNECTED)
        with pytest.raises(asyncio.CancelledError):
            await outcome(run, is_stream=is_stream)
        scope.absorb()

    run = ran(vendor, HELPER, is_stream=is_stream, during=leave)

    assert (run.status, run.error_code) == (499, "client_disconnected")
    kinds = [(kind, status) for _, kind, _, status in tree(run)]
    assert ("agent", "cancelled") in kinds


@EITHER
def test_what_a_run_left_behind_is_told_with_it(vendor: FakeVendor, is_stream: bool) -> None:
    left: list[asyncio.Task[Any]] = []

    @function_tool
    async def forget() -> str:
        left.append(asyncio.create_task(Runner.run(Agent(name="Other"), "x")))
        await asyncio.sleep(0.3)
        return "begun"

    agent = Agent(name="Helper", tools=[forget], tool_use_behavior="stop_on_first_tool")
    vendor.script(calls(Called("c1", "forget")))

    async def forget_one(setup: Setup, run: AgentRun) -> None:
        vendor.always(hang_before_headers())
        assert await outcome(run, is_stream=is_stream) == "begun"
        with pytest.raises(asyncio.CancelledError):
            await left[0]

    run = ran(vendor, agent, is_stream=is_stream, during=forget_one)

    assert (run.status, run.llm_calls) == (200, 2)
    last = run.steps.get(request_id__isnull=False, status="cancelled")
    assert last.error_code == "run_ended"


@EITHER
def test_a_tool_of_the_client_is_no_call_of_ours(vendor: FakeVendor, is_stream: bool) -> None:
    vendor.script(calls(Called("c1", "theirs")))
    tool = {"type": "function", "function": {"name": "theirs", "parameters": {"type": "object"}}}

    async def ask(setup: Setup, run: AgentRun) -> None:
        prepared = run.prepare({**FIELDS, "tools": [tool]})

        async def send(piece: Piece) -> None:
            pass

        await (run.stream(prepared, send) if is_stream else run.answer(prepared))

    run = ran(vendor, HELPER, is_stream=is_stream, during=ask)

    assert [(kind, name) for _, kind, name, _ in tree(run)][-1] == ("client_tool", "theirs")
    assert run.tool_calls == 0


def test_a_tool_that_fails_is_told_without_its_words(vendor: FakeVendor) -> None:
    @function_tool
    def fail() -> str:
        raise ValueError("a secret of the code")

    vendor.script(calls(Called("c1", "fail")), says("Sorry."))

    run = ran(vendor, Agent(name="Helper", tools=[fail]))

    assert run.steps.get(kind="tool").status == "error"
    assert run.steps.get(name="Turn 1").status == "ok"
    assert not run.steps.filter(content__isnull=False).exists()


def test_texts_are_kept_where_the_operator_allows_it(vendor: FakeVendor) -> None:
    @function_tool
    def say(word: str) -> str:
        return word * 3000

    vendor.script(calls(Called("c1", "say", '{"word": "abc"}')), says("Well done."))

    run = ran(vendor, Agent(name="Helper", instructions="Be brief.", tools=[say]), records_content=True)

    tool = run.steps.get(kind="tool").content
    assert tool == {"input": '{"word": "abc"}', "output": ("abc" * 3000)[:4000]}
    first, last = (step.content or {} for step in run.steps.filter(kind="llm"))
    assert "Be brief." in first["input"]
    assert "say" in first["output"]
    assert "Well done." in last["output"]
    assert not run.steps.filter(kind__in=["agent", "turn"], content__isnull=False).exists()


def test_spans_of_an_agents_code_are_steps_and_go_nowhere_else(vendor: FakeVendor) -> None:
    @function_tool
    async def work() -> str:
        spans = custom_span("step one", {"secret": "x"}), custom_span("off", disabled=True)
        with trace("theirs", disabled=True), spans[0], spans[1]:
            return "done"

    vendor.script(calls(Called("c1", "work")), says("Well done."))

    run = ran(vendor, Agent(name="Helper", tools=[work]))

    number = run.steps.get(kind="tool").number
    assert [node for node in tree(run) if node[1] == "custom"] == [(number, "custom", "step one", "ok")]


@EITHER
def test_what_happens_at_once_is_told_apart(vendor: FakeVendor, is_stream: bool) -> None:
    tools: list[Tool] = [Agent(name=name).as_tool(f"ask_{name}", "Ask.") for name in ("anna", "bert")]
    asked = [Called(name, f"ask_{name}", '{"input": "x"}') for name in ("anna", "bert")]
    vendor.script(calls(*asked))
    vendor.always(says("Answered."))

    run = ran(vendor, Agent(name="Outer", tools=tools), is_stream=is_stream)

    names = dict(run.steps.values_list("number", "name"))
    inside = {
        (names[parent], kind, name)
        for parent, kind, name, _ in tree(run)
        if parent is not None and names[parent] in ("ask_anna", "ask_bert", "anna", "bert")
    }
    assert inside == {
        ("ask_anna", "agent", "anna"),
        ("ask_bert", "agent", "bert"),
        ("anna", "turn", "Turn 1"),
        ("bert", "turn", "Turn 1"),
    }
    assert (run.turns, run.llm_calls, run.tool_calls) == (4, 4, 2)


def test_traces_go_to_nobody_whatever_an_agents_code_sets(vendor: FakeVendor) -> None:
    told: list[str] = []

    class Spy(TracingProcessor):
        def on_trace_start(self, trace: Any) -> None:
            told.append("trace")

        def on_span_start(self, span: Any) -> None:
            told.append("span")

        on_trace_end, on_span_end = on_trace_start, on_span_start

        def shutdown(self) -> None:
            told.append("shutdown")

        def force_flush(self) -> None:
            told.append("flush")

    add_trace_processor(Spy())
    set_trace_processors([Spy()])
    ran(vendor, HELPER)
    assert told == []

    set_trace_provider(DefaultTraceProvider())
    assert_ours()
    assert isinstance(get_trace_provider(), RunTraces)
