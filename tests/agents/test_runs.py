"""Runs of agents at a live server: how they fail, what a leaving client ends, the log and the metrics."""

from __future__ import annotations

import json
import time
import uuid
from decimal import Decimal
from typing import Any

import pytest
from openai import APIError, APIStatusError, OpenAI

from gateway_project.core.ids import public_id
from gateway_project.core.money import to_nano
from tests.agents.answers import Called, calls, says
from tests.doors.gateway import Gateway
from tests.doors.raw import chat_connection
from tests.doors.rows import ADMIN_KEY, METRICS_KEY, MODEL
from tests.fakes import bodies
from tests.fakes.behaviours import Behaviour, error, hang_before_headers, stream
from tests.fakes.vendor import FakeVendor
from tests.services import wait_until

HELLO: Any = [{"role": "user", "content": "Hi"}]
EITHER = pytest.mark.parametrize("streams", [False, True], ids=["plain", "stream"])
AT_ONCE_S = 3
FIRST = bodies.sse_events(bodies.chat_chunks(["Hel", "lo"], model="fake-chat")[:2], has_done=False)
AGENTS = {
    "Helper": """
        from agents import Agent
        agent = Agent(name="Helper")
    """,
    "Looper": """
        from agents import Agent, ModelSettings, function_tool

        @function_tool
        def again() -> str:
            return "again"

        agent = Agent(name="Looper", tools=[again], reset_tool_choice=False)
    """,
    "Hanging": """
        import asyncio, pathlib
        from agents import Agent, function_tool

        @function_tool
        async def hang(mark: str) -> str:
            try:
                await asyncio.sleep(3600)
            finally:
                pathlib.Path(mark).write_text("ended")
            return ""

        agent = Agent(name="Hanging", tools=[hang])
    """,
    "Guarded": """
        from agents import Agent, GuardrailFunctionOutput, input_guardrail

        @input_guardrail
        async def never(context, agent, items):
            return GuardrailFunctionOutput(output_info="secret reason", tripwire_triggered=True)

        agent = Agent(name="Guarded", input_guardrails=[never])
    """,
    "Broken": """
        from agents import Agent

        def instructions(context, agent):
            raise ValueError("the password is hunter2")

        agent = Agent(name="Broken", instructions=instructions)
    """,
    "Lost": """
        from agents import Agent
        agent = Agent(name="Lost", model="nobody-has-this")
    """,
    "Curious": """
        import os
        from agents import Agent, function_tool

        @function_tool
        def look() -> str:
            return " ".join(sorted(os.environ))

        agent = Agent(name="Curious", tools=[look], tool_use_behavior="stop_on_first_tool")
    """,
}


def children(gateway: Gateway, run: dict[str, Any], count: int) -> list[dict[str, Any]]:
    """The lines of a run's calls, as soon as there are so many."""
    query = "SELECT * FROM usage_app_usagerecord WHERE parent_id = %s ORDER BY id"
    wait_until(lambda: len(gateway.database.fetch(query, run["id"])) >= count, 10, "the calls' records")
    found = gateway.database.fetch(query, run["id"])
    assert len(found) == count
    return found


def run_of_user(gateway: Gateway, user: str) -> dict[str, Any]:
    """The line of the one run for an end user, as soon as it is there."""
    query = "SELECT * FROM usage_app_usagerecord WHERE end_user = %s AND kind = 'agent'"
    wait_until(lambda: bool(gateway.database.fetch(query, user)), 10, "the run's record")
    (found,) = gateway.database.fetch(query, user)
    return found


def failure(ai: OpenAI, model: str, *, streams: bool, user: str) -> tuple[int, dict[str, Any]]:
    """How a run fails: its status and its error."""
    with pytest.raises(APIError) as raised:
        answer: Any = ai.chat.completions.create(model=model, messages=HELLO, stream=streams, user=user)
        for _ in answer:
            pass
    status = raised.value.status_code if isinstance(raised.value, APIStatusError) else 200
    body: Any = raised.value.body
    return status, body


@EITHER
@pytest.mark.parametrize(
    ("agent", "script", "expected", "made"),
    [
        ("looper", calls(Called("c", "again")), (422, "run_limit_exceeded"), 10),
        ("guarded", says("Hi."), (403, "guardrail_blocked"), None),
        ("broken", says("Hi."), (500, "agent_failed"), 0),
        ("lost", says("Hi."), (500, "agent_model_not_found"), 0),
        ("helper", error(500), (502, "upstream_failed"), 1),
    ],
)
def test_a_run_that_fails_is_in_the_ledger_once(
    vendor: FakeVendor,
    agent_gateway: Gateway,
    ai: OpenAI,
    agent: str,
    script: Behaviour,
    expected: tuple[int, str],
    made: int | None,
    streams: bool,
) -> None:
    vendor.always(script)
    user = uuid.uuid4().hex

    status, told = failure(ai, f"default/{agent}", streams=streams, user=user)

    assert told["code"] == expected[1]
    assert status in (expected[0], 200)
    assert "secret" not in str(told) and "hunter2" not in str(told)
    run = run_of_user(agent_gateway, user)
    assert (run["status"], run["error_code"], run["cost"]) == (*expected, 0)
    # Its calls have lines of their own, and so has an agent that failed.
    own_lines = run["attempts"] + 1 + (expected[1] == "agent_failed")
    lines = agent_gateway.log_lines(f"req_{uuid.UUID(str(run['id'])).hex}", count=own_lines)
    (told_in_log,) = [line for line in lines if line["event"] == "http.request"]
    assert (told_in_log["error_code"], told_in_log["kind"]) == (expected[1], "agent")
    if made is not None:
        assert len(children(agent_gateway, run, made)) == run["attempts"] == made


@EITHER
@pytest.mark.parametrize(
    "behaviour",
    [hang_before_headers(), stream(FIRST, ending="hang")],
    ids=["before-headers", "after-a-piece"],
)
def test_a_client_that_leaves_ends_the_run_and_its_call(
    vendor: FakeVendor, agent_gateway: Gateway, behaviour: Behaviour, streams: bool
) -> None:
    vendor.script(behaviour)
    user = uuid.uuid4().hex

    with chat_connection(agent_gateway, "default/helper", stream=streams, user=user):
        (request,) = vendor.wait_for_requests(1)
        # Time for the piece, if there is one, to come through.
        time.sleep(0.5)
    left_at = time.monotonic()

    assert request.wait_aborted() - left_at < AT_ONCE_S
    run = run_of_user(agent_gateway, user)
    assert (run["status"], run["error_code"]) == (499, "client_disconnected")
    (call,) = children(agent_gateway, run, 1)
    assert (call["status"], call["error_code"], call["state"]) == (499, "client_disconnected", "aborted")


@EITHER
def test_a_client_that_leaves_cancels_an_async_tool(
    vendor: FakeVendor, agent_gateway: Gateway, tmp_path: Any, streams: bool
) -> None:
    mark = tmp_path / "mark"
    vendor.script(calls(Called("c1", "hang", json.dumps({"mark": str(mark)}))))
    user = uuid.uuid4().hex

    with chat_connection(agent_gateway, "default/hanging", stream=streams, user=user):
        vendor.wait_for_requests(1)[0].wait_finished()
        time.sleep(0.5)
    wait_until(mark.exists, AT_ONCE_S, "the tool's end")

    assert run_of_user(agent_gateway, user)["status"] == 499


def test_the_log_and_the_metrics_tell_a_run_from_its_calls(
    vendor: FakeVendor, agent_gateway: Gateway, ai: OpenAI
) -> None:
    vendor.script(calls(Called("c1", "again")), says("Enough."))

    answer = ai.chat.completions.with_raw_response.create(model="default/looper", messages=HELLO)

    request_id = answer.headers["x-request-id"]
    usage = answer.parse().usage
    assert usage is not None and usage.prompt_tokens == 22
    *made, tool, run = agent_gateway.log_lines(request_id, count=4)
    assert [line["event"] for line in made] == ["llm.call", "llm.call"]
    assert {line["parent_id"] for line in made} == {request_id}
    assert {line["upstream"] for line in made} == {"fake"}
    assert (run["event"], run["kind"], run["llm_calls"], run["model"]) == (
        "http.request",
        "agent",
        2,
        "default/looper",
    )
    assert "upstream" not in run
    assert (tool["event"], tool["tool"], tool["source"], tool["status"], tool["agent"]) == (
        "tool.invoke",
        "again",
        "sdk",
        "ok",
        "default/looper",
    )
    record = agent_gateway.record(request_id)
    found = children(agent_gateway, record, 2)
    costs = sum(one["cost"] for one in found)
    assert float(answer.headers["x-gateway-cost"]) > 0
    assert costs > 0
    with agent_gateway.client(METRICS_KEY) as client:
        metrics = {one["name"]: one["samples"] for one in client.get("/metrics").json()["metrics"]}
    asked = metrics["agent_gateway_upstream_requests_total"]
    assert {sample["labels"]["upstream"] for sample in asked} == {"fake"}
    assert "default/looper" in {one["labels"]["agent"] for one in metrics["agent_gateway_runs_total"]}
    assert "default/looper" in {one["labels"]["agent"] for one in metrics["agent_gateway_run_turns"]}
    assert "again" in {one["labels"]["tool"] for one in metrics["agent_gateway_tool_invocations_total"]}
    assert MODEL in {one["labels"]["model"] for one in metrics["agent_gateway_cost_usd_total"]}
    assert "never retrieved" not in agent_gateway.log


def test_a_namespace_may_be_left_out_where_nobody_else_has_the_name(
    vendor: FakeVendor, agent_gateway: Gateway, ai: OpenAI
) -> None:
    vendor.always(says("Hi."))

    answer = ai.chat.completions.with_raw_response.create(model="helper", messages=HELLO)
    chunks = list(ai.chat.completions.create(model="helper", messages=HELLO, stream=True))

    assert answer.parse().model == "helper"
    assert answer.headers["x-gateway-model"] == "default/helper"
    assert {chunk.model for chunk in chunks} == {"helper"}
    assert ai.models.retrieve("helper").id == "default/helper"


@EITHER
def test_what_a_run_did_is_told_and_adds_up(
    vendor: FakeVendor, agent_gateway: Gateway, ai: OpenAI, streams: bool
) -> None:
    vendor.script(calls(Called("c1", "again")), says("Enough."))
    user = uuid.uuid4().hex

    answer: Any = ai.chat.completions.create(
        model="default/looper", messages=HELLO, stream=streams, user=user
    )
    for _ in answer:
        pass

    record = run_of_user(agent_gateway, user)
    made = children(agent_gateway, record, 2)
    with agent_gateway.client(ADMIN_KEY) as client:
        told = client.get(f"/runs/{public_id('run', uuid.UUID(str(record['id'])))}").json()
    steps = [(step["kind"], step["name"], step["parent"]) for step in told["steps"]]
    assert steps == [
        ("agent", "Looper", None),
        ("turn", "Turn 1", 1),
        ("llm", MODEL, 2),
        ("tool", "again", 2),
        ("turn", "Turn 2", 1),
        ("llm", MODEL, 5),
    ]
    assert (told["end_user"], told["key_name"], told["is_stream"]) == (user, "alice", streams)
    assert to_nano(Decimal(told["cost"])) == sum(one["cost"] for one in made)
    assert told["input_tokens"] == sum(one["input_tokens"] for one in made)
    assert not any("content" in step for step in told["steps"])


def test_the_environment_of_agents_has_no_secrets_of_the_gateway(
    vendor: FakeVendor, agent_gateway: Gateway, ai: OpenAI
) -> None:
    vendor.script(calls(Called("c1", "look")))

    answer = ai.chat.completions.create(model="default/curious", messages=HELLO)

    names = str(answer.choices[0].message.content).split()
    assert "GATEWAY_DATA_DIR" in names
    secrets = {"GATEWAY_SECRET_KEY", "GATEWAY_ENCRYPTION_KEYS", "GATEWAY_KEY_PEPPERS", "DATABASE_URL"}
    assert not secrets & set(names)


def test_a_run_is_one_request_of_its_key(vendor: FakeVendor, agent_gateway: Gateway, ai: OpenAI) -> None:
    def requests() -> int:
        rows = agent_gateway.database.fetch("SELECT requests FROM usage_app_keyuse")
        return sum(row["requests"] for row in rows)

    agent_gateway.record(_ask(ai))
    before = requests()
    agent_gateway.record(_ask(ai))

    assert requests() == before + 1


def _ask(ai: OpenAI) -> str:
    answer = ai.chat.completions.with_raw_response.create(model="default/helper", messages=HELLO)
    return str(answer.headers["x-request-id"])
