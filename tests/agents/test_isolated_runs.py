"""Agents in processes of their own: they work as all do, and their code gains nothing and harms nobody."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import openai
import pytest
from openai import OpenAI
from openai.types.chat import ChatCompletionMessageParam
from pydantic import BaseModel

from tests.agents.answers import Called, calls, finish_of, says, text_of
from tests.agents.confinement import needs_confinement
from tests.agents.dropins import write_agent
from tests.agents.run_processes import children, is_forkserver, processes, wait_for_no_process
from tests.doors.gateway import Gateway
from tests.doors.rows import KEY, MASTER_KEY
from tests.fakes.behaviours import error, hang_before_headers
from tests.fakes.vendor import FakeVendor
from tests.services import wait_until

HELLO: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Hello"}]
TEXT = "Hello from the fake 🌍"
DESK, TYPED, WILD, GUARDED = "default/desk", "default/typed", "default/wild", "default/guarded"
WILD_SOURCE = """
    import asyncio, os
    from agents import Agent, function_tool

    @function_tool
    def attempt(code: str) -> str:
        names = {}
        try:
            exec(code, names)
            return f"done: {names.get('result')}"
        except BaseException as error:
            return f"{type(error).__name__}: {error}"

    @function_tool
    async def wait() -> str:
        await asyncio.sleep(600)
        return "late"

    agent = Agent(name="Wild", tools=[attempt, wait])
"""
AGENTS = {
    "Desk": """
        from agents import Agent, function_tool
        @function_tool
        def look_up(word: str) -> str:
            print("looked up", word)
            return f"all about {word}"
        clerk = Agent(name="Clerk", instructions="You are the clerk.")
        agent = Agent(name="Desk", tools=[look_up], handoffs=[clerk])
    """,
    "Typed": """
        from agents import Agent
        from pydantic import BaseModel
        class Place(BaseModel):
            city: str
        agent = Agent(name="Typed", output_type=Place)
    """,
    "Guarded": """
        from agents import Agent, GuardrailFunctionOutput, input_guardrail
        @input_guardrail(run_in_parallel=False)
        async def guard(context, agent, given):
            return GuardrailFunctionOutput(output_info="a secret of the code", tripwire_triggered=True)
        agent = Agent(name="Guarded", input_guardrails=[guard])
    """,
    "Wild": WILD_SOURCE,
}
ROWS = {
    DESK: {"isolation": "process", "visibility": "gateway"},
    TYPED: {"isolation": "process"},
    GUARDED: {"isolation": "process"},
    WILD: {"isolation": "process"},
}
SETTINGS = {
    "GATEWAY_AGENT_PROCESS_MEMORY_MB": "256",
    "GATEWAY_AGENT_PROCESS_CPU_S": "2",
    "GATEWAY_AGENT_PROCESS_MAX": "3",
}
EITHER = pytest.mark.parametrize("streams", [False, True], ids=["plain", "stream"])


class City(BaseModel):
    name: str
    people: int


def asked(ai: OpenAI, model: str, *, streams: bool = False, **more: Any) -> str:
    """What an agent says."""
    more.setdefault("messages", HELLO)
    if streams:
        return text_of(list(ai.chat.completions.create(model=model, stream=True, **more)))
    answer = ai.chat.completions.create(model=model, **more)
    return answer.choices[0].message.content or ""


def attempted(vendor: FakeVendor, ai: OpenAI, code: str) -> str:
    """What comes of code that the tool of an isolated agent executes."""
    vendor.script(calls(Called("c1", "attempt", json.dumps({"code": code}))), says("Tried."))
    assert asked(ai, WILD) == "Tried."
    (output,) = [one["content"] for one in vendor.requests[-1].json["messages"] if one["role"] == "tool"]
    return str(output)


@contextmanager
def asking(gateway: Gateway, **more: Any) -> Iterator[None]:
    """A client that asks the wild agent, and leaves when the block ends."""
    with closing(HTTPConnection("127.0.0.1", gateway.port, timeout=30)) as connection:
        body = json.dumps({"model": WILD, "messages": HELLO, **more})
        headers = {"authorization": f"Bearer {KEY}", "content-type": "application/json"}
        connection.request("POST", "/v1/chat/completions", body, headers)
        yield


@EITHER
def test_an_isolated_agent_uses_its_tools(
    vendor: FakeVendor, ai: OpenAI, agent_gateway: Gateway, streams: bool
) -> None:
    vendor.script(calls(Called("c1", "look_up", '{"word": "fish"}')), says("Fish swim."))

    assert asked(ai, DESK, streams=streams) == "Fish swim."

    last = vendor.requests[-1].json["messages"][-1]
    assert (last["role"], last["content"]) == ("tool", "all about fish")
    wait_for_no_process(agent_gateway)


@EITHER
def test_an_isolated_agent_hands_over(vendor: FakeVendor, ai: OpenAI, streams: bool) -> None:
    vendor.script(calls(Called("c1", "transfer_to_clerk")), says("The clerk here."))

    assert asked(ai, DESK, streams=streams) == "The clerk here."
    assert vendor.requests[-1].json["messages"][0] == {"role": "system", "content": "You are the clerk."}


@EITHER
def test_an_isolated_agents_client_makes_its_own_calls(vendor: FakeVendor, ai: OpenAI, streams: bool) -> None:
    tool: Any = {"type": "function", "function": {"name": "ask", "parameters": {"type": "object"}}}
    vendor.script(calls(Called("c1", "ask")), says("So it is."))
    if streams:
        chunks = list(ai.chat.completions.create(model=DESK, messages=HELLO, tools=[tool], stream=True))
        assert finish_of(chunks) == ["tool_calls"]
        deltas = [choice.delta for chunk in chunks for choice in chunk.choices]
        made = [one.id for delta in deltas for one in delta.tool_calls or () if one.id]
    else:
        answer = ai.chat.completions.create(model=DESK, messages=HELLO, tools=[tool])
        made = [one.id for one in answer.choices[0].message.tool_calls or ()]
    assert len(made) == 1

    call = {"id": made[0], "type": "function", "function": {"name": "ask", "arguments": "{}"}}
    messages: Any = [
        *HELLO,
        {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": made[0], "content": "yes"},
    ]
    assert asked(ai, DESK, streams=streams, messages=messages, tools=[tool]) == "So it is."


def test_an_isolated_agent_answers_in_formats(vendor: FakeVendor, ai: OpenAI) -> None:
    vendor.script(says('{"name": "Bern", "people": 134000}'), says('{"city": "Basel"}'), says("no json"))

    answer = ai.chat.completions.parse(model=DESK, messages=HELLO, response_format=City)
    assert answer.choices[0].message.parsed == City(name="Bern", people=134000)
    assert asked(ai, TYPED) == '{"city":"Basel"}'
    with pytest.raises(openai.APIStatusError) as caught:
        asked(ai, TYPED)
    assert (caught.value.status_code, caught.value.code) == (502, "upstream_failed")


def test_steps_and_the_trace_tell_what_an_isolated_run_did(
    vendor: FakeVendor, ai: OpenAI, agent_gateway: Gateway
) -> None:
    vendor.script(calls(Called("c1", "look_up", '{"word": "fish"}')), says("Fish swim."))
    vendor.always(calls(Called("c1", "theirs")))
    tool: Any = {"type": "function", "function": {"name": "theirs", "parameters": {"type": "object"}}}

    answer = ai.chat.completions.create(model=DESK, messages=HELLO, user="tracer")
    ai.chat.completions.create(model=DESK, messages=HELLO, user="asker", tools=[tool])

    shown = (answer.model_extra or {})["gateway"]["steps"]
    assert [step["type"] for step in shown] == ["tool_call", "tool_output"]
    query = (
        "SELECT kind FROM agents_app_runstep step JOIN agents_app_run run ON step.run_id = run.id "
        "WHERE run.end_user = %s ORDER BY kind"
    )
    for user, kinds in (("tracer", "agent llm llm tool turn turn"), ("asker", "agent client_tool llm turn")):
        wait_until(lambda user=user: bool(agent_gateway.database.fetch(query, user)), 10, "the steps")  # type: ignore[misc]
        assert " ".join(step["kind"] for step in agent_gateway.database.fetch(query, user)) == kinds


@EITHER
def test_what_a_request_may_not_ask_is_told_with_the_field(
    vendor: FakeVendor, ai: OpenAI, streams: bool
) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        asked(ai, DESK, streams=streams, n=2)

    assert caught.value.param == "n"
    assert not vendor.requests


def test_errors_of_upstreams_and_guardrails_are_what_they_are_elsewhere(
    vendor: FakeVendor, ai: OpenAI
) -> None:
    vendor.always(error(500))
    with pytest.raises(openai.APIStatusError) as broken:
        asked(ai, DESK)
    with pytest.raises(openai.PermissionDeniedError) as guarded:
        asked(ai, GUARDED)

    assert (broken.value.status_code, broken.value.code) == (502, "upstream_failed")
    assert broken.value.response.headers["x-should-retry"] == "false"
    assert guarded.value.code == "guardrail_blocked"
    assert "secret" not in guarded.value.message


@needs_confinement
@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("import os; result = os.system('echo')", "done: 32512"),
        ("import agents; result = agents.sys.modules['os'].system('id')", "done: 32512"),
        ("import subprocess; subprocess.run(['id'])", "PermissionError"),
        ("import os\nwhile True: os.fork()", "PermissionError"),
        ("import os; os.execv('/bin/sh', ['sh'])", "PermissionError"),
        ("import os; result = sorted(os.environ)", "['HOME', 'LANG', 'OPENAI_AGENTS_DISABLE_TRACING'"),
        ("import os; os.kill(1, 9)", "PermissionError"),
        ("open('/etc/shadow')", "FileNotFoundError"),
        ("import os; os.listdir('/var')", "FileNotFoundError"),
        ("import os; result = os.getuid() != 0 and os.getpid()", "done: 1"),
        ("open('/usr/lib/x', 'w')", "Error: [Errno"),
        ("import sys; result = [m for m in sys.modules if m.startswith('django')]", "done: []"),
        ("x = []\nwhile True: x.append(bytearray(10_000_000))", "MemoryError"),
        ("import socket; socket.create_server(('127.0.0.1', 0))", "PermissionError"),
    ],
)
def test_code_gains_nothing(vendor: FakeVendor, ai: OpenAI, code: str, words: str) -> None:
    assert words in attempted(vendor, ai, code)


@needs_confinement
def test_secrets_of_the_gateway_are_out_of_reach(
    vendor: FakeVendor, ai: OpenAI, agent_gateway: Gateway, agents_root: Path
) -> None:
    secret = agent_gateway.data / "secret"
    secret.write_text("hidden")
    pid = agent_gateway.server_pids()[0]
    others = agents_root / "Desk" / "agent.py"

    for path in (secret, Path(f"/proc/{pid}/environ"), Path(f"/proc/{pid}/mem"), others):
        assert "FileNotFoundError" in attempted(vendor, ai, f"open({str(path)!r})")
    connect = f"import socket; socket.create_connection(('127.0.0.1', {vendor.port}))"
    assert "PermissionError" in attempted(vendor, ai, connect)
    key = os.environ["GATEWAY_SECRET_KEY"]
    # In two parts: the code itself is in the process.
    look = f"import gc; result = ''.join([{key[:9]!r}, {key[9:]!r}]) in str(gc.get_objects())"
    assert attempted(vendor, ai, look) == "done: False"


def test_an_endless_loop_in_a_tool_ends_the_run(
    vendor: FakeVendor, ai: OpenAI, agent_gateway: Gateway
) -> None:
    vendor.script(calls(Called("c1", "attempt", '{"code": "while True: pass"}')))

    with pytest.raises(openai.APIStatusError) as caught:
        asked(ai, WILD, streams=True)

    assert (caught.value.status_code, caught.value.code) == (422, "run_limit_exceeded")
    assert "2 s of CPU time" in caught.value.message
    wait_for_no_process(agent_gateway)


@pytest.mark.parametrize(
    "code",
    [
        "import os; os.write(3, b'x' * 100)",
        "import os; os.write(3, bytes([255] * 4))",
        "import os; os._exit(0)",
        "import ctypes; ctypes.string_at(0)",
        """
import os, struct
body = b'{"do": "end", "text": "forged", "outcome": {}, "token": "guessed"}'
os.write(3, struct.pack(">I", len(body)) + body)
import time; time.sleep(30)
""",
    ],
)
def test_a_process_that_breaks_the_rules_ends_its_run_alone(
    vendor: FakeVendor, ai: OpenAI, agent_gateway: Gateway, code: str
) -> None:
    vendor.script(calls(Called("c1", "attempt", json.dumps({"code": code}))))

    with pytest.raises(openai.InternalServerError) as caught:
        asked(ai, WILD)

    assert caught.value.code == "agent_failed"
    assert "forged" not in caught.value.message
    assert asked(ai, WILD) == TEXT
    wait_for_no_process(agent_gateway)


@pytest.mark.parametrize(("within", "streams"), [("tool", False), ("call", True)])
def test_a_client_that_leaves_ends_the_process(
    vendor: FakeVendor, agent_gateway: Gateway, within: str, streams: bool
) -> None:
    vendor.script(calls(Called("c1", "wait")) if within == "tool" else hang_before_headers())
    with asking(agent_gateway, stream=streams):
        vendor.wait_for_requests(1)
        assert processes(agent_gateway)

    wait_for_no_process(agent_gateway)
    wait_until(lambda: agent_gateway.newest_record(WILD)["status"] == 499, 10, "the run's record")


def test_runs_beyond_the_limit_are_refused(vendor: FakeVendor, agent_gateway: Gateway) -> None:
    vendor.always(hang_before_headers())
    with ExitStack() as clients, agent_gateway.client() as late:
        for _ in range(3):
            clients.enter_context(asking(agent_gateway))
        vendor.wait_for_requests(3)

        refused = late.post("/v1/chat/completions", json={"model": WILD, "messages": HELLO})

    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "overloaded")
    assert refused.headers["retry-after"] == "1"
    wait_for_no_process(agent_gateway)


def test_what_an_agent_prints_is_in_the_log_and_nowhere_else(
    vendor: FakeVendor, ai: OpenAI, agent_gateway: Gateway
) -> None:
    vendor.script(calls(Called("c1", "look_up", '{"word": "printed-fish"}')), says("Fish swim."))

    answer = ai.chat.completions.create(model=DESK, messages=HELLO)

    (line,) = agent_gateway.log_lines("looked up printed-fish")
    assert (line["event"], line["agent"]) == ("agent.output", DESK)
    assert "looked up" not in answer.model_dump_json()


def test_files_that_changed_are_not_run_before_they_were_loaded(
    vendor: FakeVendor, ai: OpenAI, agent_gateway: Gateway, agents_root: Path
) -> None:
    write_agent(agents_root, "Wild", WILD_SOURCE + "\n    # changed")

    with pytest.raises(openai.APIStatusError) as caught:
        asked(ai, WILD)
    assert (caught.value.status_code, caught.value.code) == (503, "overloaded")
    assert not vendor.requests

    with agent_gateway.client(MASTER_KEY, timeout=60.0) as client:
        assert client.post("/agents/refresh").status_code == 200
    assert asked(ai, WILD) == TEXT


def test_a_server_that_is_killed_leaves_no_process_behind(vendor: FakeVendor, agent_gateway: Gateway) -> None:
    wait_for_no_process(agent_gateway)
    vendor.script(calls(Called("c1", "wait")))
    with asking(agent_gateway):
        vendor.wait_for_requests(1)
        (keeper,) = processes(agent_gateway)
        left = [keeper, *children(keeper)]
        assert len(left) == 2

        agent_gateway.kill_servers()

    wait_until(lambda: not any(map(is_forkserver, left)), 10, "its processes to end")
