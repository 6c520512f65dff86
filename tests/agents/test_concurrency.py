"""Many runs at once: each has its own answer and context, none holds up another, and nothing is left."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from openai import AsyncOpenAI

from tests.doors.gateway import Gateway
from tests.doors.rows import KEY, MODEL
from tests.fakes import bodies
from tests.fakes.behaviours import Behaviour, stream
from tests.fakes.exchange import Exchange
from tests.fakes.vendor import FakeVendor
from tests.services import wait_until

RUNS = 200
LEAVING = 50
# Of a run under way something may stay cached; of hundreds that ended nothing may.
MAX_GROWTH_KIB = 16 * 1024
AGENTS = {
    # The tool reads what only the run's own context variable knows.
    "Keeper": """
        import asyncio
        from contextvars import ContextVar
        from agents import Agent, function_tool

        secret = ContextVar("secret")

        @function_tool
        async def keep(value: str) -> str:
            secret.set(value)
            await asyncio.sleep(0.05)
            return secret.get()

        agent = Agent(name="Keeper", tools=[keep])
    """,
    "Helper": """
        from agents import Agent
        agent = Agent(name="Helper")
    """,
    "Sleeper": """
        import time
        from agents import Agent, function_tool

        @function_tool
        def sleep() -> str:
            time.sleep(5)
            return "slept"

        agent = Agent(name="Sleeper", tools=[sleep], tool_use_behavior="stop_on_first_tool")
    """,
}


def keeping() -> Behaviour:
    """A vendor that has the client's text kept by the tool, and then says what the tool returned."""

    async def behave(exchange: Exchange) -> None:
        request = exchange.request.json
        last, tools = request["messages"][-1], request.get("tools") or ()
        deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
        finish = "stop"
        if last["role"] == "tool":
            deltas += [{"content": part} for part in (last["content"], " is ", "yours")]
        elif tools:
            text = last["content"].split()[-1]
            function = {"name": tools[0]["function"]["name"], "arguments": f'{{"value":"{text}"}}'}
            call = {"index": 0, "id": f"call_{text}", "type": "function", "function": function}
            deltas.append({"tool_calls": [call]})
            finish = "tool_calls"
        else:
            deltas.append({"content": f"echo {last['content']}"})
        chunks = [bodies.chat_chunk(delta, model="fake-chat") for delta in deltas]
        chunks += [bodies.chat_chunk({}, model="fake-chat", finish=finish)]
        chunks += [bodies.chat_chunk(None, model="fake-chat", usage=bodies.USAGE)]
        await stream(bodies.sse_events(chunks))(exchange)

    return behave


async def asked(client: AsyncOpenAI, model: str, text: str) -> str:
    """The whole text of a streamed answer."""
    answer = await client.chat.completions.create(
        model=model, messages=[{"role": "user", "content": text}], stream=True
    )
    return "".join([chunk.choices[0].delta.content or "" async for chunk in answer if chunk.choices])


def client_of(gateway: Gateway) -> AsyncOpenAI:
    """OpenAI's client, patient and never trying again."""
    return AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key=KEY, max_retries=0, timeout=60)


def memory_kib(gateway: Gateway) -> int:
    """The memory of the serving process."""
    (pid,) = gateway.server_pids()
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0])


async def drive(gateway: Gateway, model: str, runs: int, at_once: int) -> list[tuple[str, str]]:
    """So many runs, each with a text of its own: (sent, received)."""
    gate = asyncio.Semaphore(at_once)

    async def one(number: int) -> tuple[str, str]:
        async with gate:
            return f"n{number}", await asked(client, model, f"Keep n{number}")

    async with client_of(gateway) as client:
        return await asyncio.gather(*[one(number) for number in range(runs)])


async def test_runs_at_the_same_time_get_their_own_answers(
    vendor: FakeVendor, agent_gateway: Gateway
) -> None:
    vendor.always(keeping())

    answers = await drive(agent_gateway, "default/keeper", RUNS, RUNS)

    assert {received for _, received in answers} == {f"{sent} is yours" for sent, _ in answers}
    assert all(received == f"{sent} is yours" for sent, received in answers)
    assert "never retrieved" not in agent_gateway.log


async def _grows_by_kib(gateway: Gateway, runs: int) -> int:
    await drive(gateway, "default/keeper", 100, 20)
    before = memory_kib(gateway)
    await drive(gateway, "default/keeper", runs, 20)
    return memory_kib(gateway) - before


async def test_runs_leave_no_memory_behind(vendor: FakeVendor, agent_gateway: Gateway) -> None:
    vendor.always(keeping())

    assert await _grows_by_kib(agent_gateway, 300) < MAX_GROWTH_KIB


@pytest.mark.soak
async def test_thousands_of_runs_leave_no_memory_behind(vendor: FakeVendor, agent_gateway: Gateway) -> None:
    vendor.always(keeping())
    await drive(agent_gateway, "default/keeper", 500, 20)

    assert await _grows_by_kib(agent_gateway, 2000) < MAX_GROWTH_KIB


async def test_clients_that_leave_together_leave_nothing_running(
    vendor: FakeVendor, agent_gateway: Gateway
) -> None:
    words = bodies.chat_chunks(["Hel", "lo"], model="fake-chat")[:2]
    vendor.always(stream(bodies.sse_events(words, has_done=False), ending="hang"))
    user = uuid.uuid4().hex

    async def leave() -> None:
        answer = await client.chat.completions.create(
            model="default/helper", messages=[{"role": "user", "content": "Hi"}], stream=True, user=user
        )
        async for _ in answer:
            break
        await answer.close()

    async with client_of(agent_gateway) as client:
        await asyncio.gather(*[leave() for _ in range(LEAVING)])

    for request in await asyncio.to_thread(vendor.wait_for_requests, LEAVING):
        await asyncio.to_thread(request.wait_aborted)
    query = "SELECT kind, status FROM usage_app_usagerecord WHERE end_user = %s"
    await asyncio.to_thread(
        wait_until,
        lambda: len(agent_gateway.database.fetch(query, user)) == 2 * LEAVING,
        10,
        "all records",
    )
    found = Counter((row["kind"], row["status"]) for row in agent_gateway.database.fetch(query, user))
    assert found == {("agent", 499): LEAVING, ("llm", 499): LEAVING}
    assert "never retrieved" not in agent_gateway.log


async def test_sync_tools_that_block_hold_up_nobody(vendor: FakeVendor, agent_gateway: Gateway) -> None:
    vendor.always(keeping())

    async with client_of(agent_gateway) as client:
        sleepers = [
            asyncio.create_task(asked(client, "default/sleeper", f"Keep s{number}")) for number in range(4)
        ]
        await asyncio.to_thread(vendor.wait_for_requests, 4)
        await asyncio.sleep(0.3)
        began = time.monotonic()
        texts = [await asked(client, model, "Hi") for model in (MODEL, "default/helper")]
        took_s = time.monotonic() - began
        assert not any(task.done() for task in sleepers)
        assert await asyncio.gather(*sleepers) == ["slept"] * 4

    assert texts == ["echo Hi", "echo Hi"]
    assert took_s < 4
