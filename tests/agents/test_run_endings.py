"""However a run ends, its calls end with it, and both are in the ledger once."""

from __future__ import annotations

import asyncio
import gc
import time
import weakref
from typing import Any

import pytest
from agents.testing import ScriptedModel, function_call

from agents import Agent, RunContextWrapper, Runner, function_tool
from agents_app.errors import AgentFailed, RunLimitExceeded
from agents_app.pieces import Piece
from agents_app.sdk.runner import Run
from agents_app.services import runs
from agents_app.services.pending_runs import Found
from gateway_project.core.deadline import DISCONNECTED
from gateway_project.core.errors import UpstreamFailed, UpstreamTimeout
from gateway_project.core.limits import limits
from tests.agents.answers import Called, calls
from tests.agents.inprocess import FIELDS, HELPER, Setup, in_process, outcome, records
from tests.fakes import bodies
from tests.fakes.behaviours import Behaviour, error, error_event, hang_before_headers, json_answer, stream
from tests.fakes.vendor import FakeVendor

pytestmark = pytest.mark.django_db
EITHER = pytest.mark.parametrize("is_stream", [False, True], ids=["plain", "stream"])
CHUNKS = bodies.chat_chunks(["Hel", "lo"], model="fake-chat", usage=bodies.USAGE)
FIRST = bodies.sse_events(CHUNKS[:2], has_done=False)


@EITHER
@pytest.mark.parametrize(
    ("behaviour", "limit"),
    [
        (hang_before_headers(), "first_token_timeout_s"),
        (stream([], ending="hang"), "first_token_timeout_s"),
        (stream(FIRST, ending="hang"), "idle_timeout_s"),
    ],
    ids=["before-headers", "after-headers", "after-a-piece"],
)
def test_a_time_limit_of_the_upstream_ends_the_run(
    vendor: FakeVendor, behaviour: Behaviour, limit: str, is_stream: bool
) -> None:
    vendor.always(behaviour)
    ids = []

    async def work(setup: Setup) -> None:
        run = setup.run(HELPER, is_stream=is_stream)
        ids.append(setup.context.request_id)
        with pytest.raises(UpstreamTimeout) as raised:
            await outcome(run, is_stream=is_stream)
        assert raised.value.headers["x-should-retry"] == "false"

    both = {"first_token_timeout_s": 0.3, "idle_timeout_s": 0.3} if not is_stream else {limit: 0.3}
    in_process(vendor, work, **both)

    line, (made,) = records(ids[0])
    assert (line.status, line.error_code) == (504, "upstream_timeout")
    assert (made.status, made.error_code, made.state) == (504, "upstream_timeout", "aborted")


@EITHER
@pytest.mark.parametrize(
    "behaviour", [error(500), error_event(), json_answer({"choices": 5})], ids=["status", "event", "shape"]
)
def test_an_upstream_that_fails_at_the_second_turn_fails_the_run(
    vendor: FakeVendor, behaviour: Behaviour, is_stream: bool
) -> None:
    @function_tool
    def act() -> str:
        return "done"

    vendor.script(calls(Called("c1", "act")), behaviour)
    ids = []

    async def work(setup: Setup) -> None:
        run = setup.run(Agent(name="Helper", tools=[act]), is_stream=is_stream)
        ids.append(setup.context.request_id)
        with pytest.raises(UpstreamFailed) as raised:
            await outcome(run, is_stream=is_stream)
        assert raised.value.headers["x-should-retry"] == "false"

    in_process(vendor, work)

    line, made = records(ids[0])
    assert (line.status, line.attempts, len(made)) == (502, 2, 2)


@EITHER
@pytest.mark.parametrize("steps", [[], FIRST], ids=["before-the-first-byte", "after-it"])
def test_a_client_that_leaves_ends_the_upstreams_work_at_once(
    vendor: FakeVendor, steps: list[bytes], is_stream: bool
) -> None:
    vendor.always(stream(steps, ending="hang"))
    ids = []

    async def work(setup: Setup) -> None:
        run = setup.run(HELPER, is_stream=is_stream)
        scope = setup.context.scope
        ids.append(setup.context.request_id)
        asyncio.get_running_loop().call_later(0.5, scope.cancel, DISCONNECTED)
        with pytest.raises(asyncio.CancelledError):
            await outcome(run, is_stream=is_stream)
        scope.absorb()
        await asyncio.to_thread(vendor.requests[0].wait_aborted)

    in_process(vendor, work)

    line, (made,) = records(ids[0])
    assert (line.status, line.error_code) == (499, "client_disconnected")
    assert (made.status, made.error_code) == (499, "client_disconnected")


@EITHER
def test_the_wall_clock_ends_a_run_and_its_calls(vendor: FakeVendor, is_stream: bool) -> None:
    vendor.always(stream(FIRST, ending="hang"))
    ids = []

    async def work(setup: Setup) -> None:
        run = setup.run(HELPER, is_stream=is_stream, wall_clock_s=1)
        ids.append(setup.context.request_id)
        with pytest.raises(RunLimitExceeded, match="within 1 s"):
            await outcome(run, is_stream=is_stream)
        await asyncio.to_thread(vendor.requests[0].wait_aborted)

    in_process(vendor, work)

    line, (made,) = records(ids[0])
    assert (line.status, line.error_code) == (422, "run_limit_exceeded")
    # No fault of the upstream.
    assert (made.status, made.error_code) == (499, "run_ended")


@EITHER
def test_the_wall_clock_runs_while_a_state_is_read(
    vendor: FakeVendor, monkeypatch: pytest.MonkeyPatch, is_stream: bool
) -> None:
    async def found(*_: object) -> Found:
        return Found("row", "{}")

    async def hang(*_: object) -> bool:
        """Code of the agent's, such as a tool's `is_enabled`, takes part in it."""
        await asyncio.sleep(3600)
        return True

    monkeypatch.setattr(runs, "find_state", found)
    monkeypatch.setattr(Run, "go_on_from", hang)

    async def work(setup: Setup) -> None:
        run = setup.run(HELPER, is_stream=is_stream, wall_clock_s=0.2)
        async with asyncio.timeout(10):
            with pytest.raises(RunLimitExceeded, match=r"within 0\.2 s"):
                await outcome(run, is_stream=is_stream)

    in_process(vendor, work)

    assert not vendor.requests


@EITHER
@pytest.mark.parametrize("is_sync", [False, True], ids=["async", "sync"])
def test_the_wall_clock_waits_for_no_tool(vendor: FakeVendor, is_stream: bool, is_sync: bool) -> None:
    ended = []

    @function_tool
    async def hang() -> str:
        try:
            await asyncio.sleep(3600)
        finally:
            ended.append(True)
        return ""

    @function_tool(name_override="hang")
    def block() -> str:
        time.sleep(5)
        ended.append(True)
        return ""

    vendor.script(calls(Called("c1", "hang")))
    agent = Agent(name="Helper", tools=[block if is_sync else hang])

    async def work(setup: Setup) -> None:
        run = setup.run(agent, is_stream=is_stream, wall_clock_s=1)
        with pytest.raises(RunLimitExceeded):
            await outcome(run, is_stream=is_stream)
        await asyncio.sleep(0.2)
        # Nothing ends a thread; nobody waits for it either.
        assert bool(ended) is not is_sync

    in_process(vendor, work)


def test_a_client_that_stalls_ends_the_run(vendor: FakeVendor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "client_stall_s", 0.5)
    vendor.always(stream(FIRST, ending="hang"))
    ids = []

    async def work(setup: Setup) -> None:
        run = setup.run(HELPER, is_stream=True)
        scope = setup.context.scope
        ids.append(setup.context.request_id)

        async def send(piece: Piece) -> None:
            await asyncio.sleep(3600)

        with pytest.raises(asyncio.CancelledError):
            await run.stream(run.prepare(FIELDS), send)
        assert scope.expired_phase == "client"
        scope.absorb()

    in_process(vendor, work)

    line, (made,) = records(ids[0])
    assert (line.status, line.error_code) == (499, "client_stalled")
    assert (made.status, made.error_code) == (499, "run_ended")


def test_a_fault_in_sending_is_not_the_agents(vendor: FakeVendor) -> None:
    ids = []

    async def work(setup: Setup) -> None:
        run = setup.run(HELPER, is_stream=True)
        ids.append(setup.context.request_id)

        async def send(piece: Piece) -> None:
            raise OSError("no socket")

        with pytest.raises(OSError, match="no socket"):
            await run.stream(run.prepare(FIELDS), send)

    in_process(vendor, work)

    line, (made,) = records(ids[0])
    assert (line.status, line.error_code) == (500, "internal_error")
    assert made.error_code in ("run_ended", "")


@EITHER
def test_calls_of_nested_agents_count_towards_the_limit(vendor: FakeVendor, is_stream: bool) -> None:
    inner = Agent(name="Inner")
    tool = inner.as_tool("inner", "Asks the inner agent.")
    agent = Agent(name="Outer", tools=[tool], tool_use_behavior="stop_on_first_tool")
    vendor.always(calls(Called("c1", "inner", '{"input":"x"}')))
    ids = []

    async def work(setup: Setup) -> None:
        run = setup.run(agent, is_stream=is_stream, max_llm_calls=1)
        ids.append(setup.context.request_id)
        with pytest.raises(RunLimitExceeded, match="more than 1 LLM calls"):
            await outcome(run, is_stream=is_stream)

    in_process(vendor, work)

    line, made = records(ids[0])
    assert (line.status, line.error_code, len(made)) == (422, "run_limit_exceeded", 1)


@EITHER
def test_what_a_finished_run_left_behind_ends(vendor: FakeVendor, is_stream: bool) -> None:
    left: list[asyncio.Task[Any]] = []

    @function_tool
    async def forget(context: RunContextWrapper[Any]) -> str:
        left.append(asyncio.create_task(Runner.run(Agent(name="Other"), "x")))
        await asyncio.sleep(0.5)
        return "begun"

    agent = Agent(name="Helper", tools=[forget], tool_use_behavior="stop_on_first_tool")
    vendor.script(calls(Called("c1", "forget")))
    ids = []

    async def work(setup: Setup) -> None:
        run = setup.run(agent, is_stream=is_stream)
        ids.append(setup.context.request_id)
        vendor.always(hang_before_headers())
        assert await outcome(run, is_stream=is_stream) == "begun"
        with pytest.raises(asyncio.CancelledError):
            await left[0]

    in_process(vendor, work)

    line, made = records(ids[0])
    assert line.status == 200
    assert [(one.status, one.error_code) for one in made] == [(200, ""), (499, "run_ended")]


def test_an_upstream_waits_for_a_client_that_takes_nothing(vendor: FakeVendor) -> None:
    words = ["x" * 262_144] * 200
    vendor.always(stream(bodies.sse_events(bodies.chat_chunks(words, model="fake-chat"))))
    taken = []
    ids = []

    async def work(setup: Setup) -> None:
        run = setup.run(HELPER, is_stream=True)
        scope = setup.context.scope
        ids.append(setup.context.request_id)

        async def send(piece: Piece) -> None:
            taken.append(piece)
            await asyncio.sleep(3600)

        asyncio.get_running_loop().call_later(2, scope.cancel, DISCONNECTED)
        with pytest.raises(asyncio.CancelledError):
            await run.stream(run.prepare(FIELDS), send)
        scope.absorb()

    in_process(vendor, work)

    _, (made,) = records(ids[0])
    assert len(taken) == 1
    # Estimated from the text that was read: of 200 words not even a few.
    assert 0 < made.output_tokens * 3 < 8 * len(words[0])


@EITHER
def test_no_client_tries_again_after_a_tool_though_the_gateway_made_no_call(
    vendor: FakeVendor, is_stream: bool
) -> None:
    @function_tool(failure_error_function=None)
    def pay() -> str:
        raise ValueError("paid twice")

    async def work(setup: Setup) -> None:
        own = ScriptedModel([[function_call("pay", {}, call_id="c1")]])
        run = setup.run(Agent(name="Own", model=own, tools=[pay]), is_stream=is_stream)
        with pytest.raises(AgentFailed) as raised:
            await outcome(run, is_stream=is_stream)
        assert raised.value.headers["x-should-retry"] == "false"

    in_process(vendor, work)

    assert not vendor.requests


@EITHER
def test_a_run_that_ended_keeps_no_conversation(vendor: FakeVendor, is_stream: bool) -> None:
    class Messages(list[Any]):
        """A list that can be referred to weakly."""

    async def answered(setup: Setup) -> weakref.ref[Messages]:
        messages = Messages(FIELDS["messages"])
        run = setup.run(HELPER, is_stream=is_stream)
        prepared = run.prepare({"messages": messages})
        if is_stream:
            await run.stream(prepared, _take)
        else:
            await run.answer(prepared)
        return weakref.ref(messages)

    async def work(setup: Setup) -> None:
        gone = await asyncio.create_task(answered(setup))
        gc.collect()
        assert gone() is None

    in_process(vendor, work)


async def _take(_: Piece) -> None:
    """A client that takes every piece at once."""
