"""Runs of agents inside of the test's process: no server, but a real upstream and the real ledger.

async def work(setup: Setup) -> None:
    run = setup.run(agent)
    assert await run.answer(run.prepare(FIELDS)) == "Hello from the fake 🌍"

in_process(vendor, work)
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

from agents import Agent
from agents_app.entry import AgentEntry
from agents_app.pieces import Piece
from agents_app.services.runs import AgentRun
from gateway_project.core.codec import dumps
from gateway_project.core.context import RequestContext
from gateway_project.core.deadline import CallScope, Ticker
from gateway_project.core.ids import uuid7
from gateway_project.core.snapshot import Section, Snapshot
from security_app.registry import KeyPolicy, Principal
from security_app.services.reservation import Ticket
from tests.fakes.vendor import FakeVendor
from tests.usage.entries import ALICE
from upstreams_app.registry import ConnectionSettings, ModelEntry, Target, UpstreamConfig, UpstreamsConfig
from upstreams_app.services import background
from upstreams_app.services.client import ClientPool
from usage_app.models import UsageRecord
from usage_app.registry import UsageConfig
from usage_app.services.ledger import ledger

HELPER = Agent(name="Helper")
FIELDS: dict[str, Any] = {"messages": [{"role": "user", "content": "Hi"}]}
_END_S = 5.0


def model(url: str, model_id: str = "fake/fake-chat", **fields: Any) -> ModelEntry:
    """A chat model at an upstream of its own; `fields` are of the model or of the upstream."""
    upstream_name, _, name = model_id.partition("/")
    of_model = {key: fields.pop(key) for key in ("mode", "created", "is_route") if key in fields}
    is_resting = fields.pop("is_resting", False)
    upstream: dict[str, Any] = {
        "id": uuid7(),
        "name": upstream_name,
        "kind": "openai-compatible",
        "endpoints": (f"{url}/v1",),
        "credential": "",
        "takes_client_credential": False,
        "headers": (),
        "connection": ConnectionSettings("", "", "", ""),
        "connect_timeout_s": 5.0,
        "first_token_timeout_s": 30.0,
        "idle_timeout_s": 30.0,
        "total_timeout_s": 60.0,
        "max_concurrency": None,
        "asks_stream_usage": True,
    }
    target = Target(UpstreamConfig(**upstream | fields), name, model_id, dumps(name), 1, 1)
    entry: dict[str, Any] = {"is_route": False, "mode": "chat", "created": 1} | of_model
    return ModelEntry(
        id=model_id,
        targets=() if is_resting else (target,),
        resting=(target,) if is_resting else (),
        description="",
        context_window=None,
        max_output_tokens=None,
        id_json=dumps(model_id),
        **entry,
    )


def snapshot(*models: ModelEntry) -> Snapshot:
    """A configuration with these models, and no prices."""
    upstreams = UpstreamsConfig({entry.id: entry for entry in models}, {})
    return Snapshot({"usage": Section(UsageConfig(), 1), "upstreams": Section(upstreams, 1)})


async def outcome(run: AgentRun, *, is_stream: bool) -> str:
    """What the client gets."""
    prepared = run.prepare(FIELDS)
    if not is_stream:
        return await run.answer(prepared)
    texts: list[str] = []

    async def send(piece: Piece) -> None:
        texts.append(str(piece.delta.get("content") or ""))

    await run.stream(prepared, send)
    return "".join(texts)


class Setup:
    """What a server has: connections, a clock, a configuration. `context` is of the last run."""

    def __init__(self, config: Snapshot) -> None:
        self.config = config
        self.clients = ClientPool()
        self.ticker = Ticker()
        self.context: RequestContext

    def run(self, agent: Any, *, is_stream: bool = False, **fields: Any) -> AgentRun:
        """A run in the current task, as a request would begin it; `fields` are of the agent's entry."""
        task = asyncio.current_task()
        assert task is not None
        scope = CallScope(task)
        principal = Principal(ALICE, "alice", "", KeyPolicy(frozenset({"inference"}), ()), 0.0, False)
        self.context = RequestContext(self.config, scope, principal=principal)
        self.ticker.add(scope)
        task.add_done_callback(lambda _: self.ticker.remove(scope))
        known: dict[str, Any] = {"max_turns": 10, "max_llm_calls": 50, "wall_clock_s": 60}
        texts: dict[str, Any] = {
            "id": "default/test",
            "name": "Test",
            "description": "",
            "model": "",
            "visibility": "hidden",
        }
        entry = AgentEntry(id_json=b'"default/test"', agent=agent, created=0, **known | texts | fields)
        return AgentRun(
            self.context,
            Ticket(principal, entry.id),
            entry,
            clients=self.clients,
            ticker=self.ticker,
            is_stream=is_stream,
        )


def in_process(vendor: FakeVendor, work: Callable[[Setup], Awaitable[None]], **upstream: Any) -> None:
    """Do the work, then see that nothing of it is left: no task, no open scope, no lost exception."""
    lost: list[dict[str, Any]] = []

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, details: lost.append(details))
        setup = Setup(snapshot(model(vendor.url, **upstream)))
        await asyncio.create_task(_awaited(work(setup)))
        await background.finish(_END_S)
        async with asyncio.timeout(_END_S):
            await setup.ticker.wait_until_idle()
            while len(asyncio.all_tasks()) > 1:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        await setup.clients.close()

    asyncio.run(main())
    assert lost == []


async def _awaited(work: Awaitable[None]) -> None:
    await work


def records(run: UUID) -> tuple[UsageRecord, list[UsageRecord]]:
    """The run's line of the ledger, and those of its calls in their order."""
    ledger.flush_now()
    return UsageRecord.objects.get(id=run), list(UsageRecord.objects.filter(parent_id=run).order_by("id"))
