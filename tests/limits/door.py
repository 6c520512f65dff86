"""Requests at the inference doors inside of the test's process: a real upstream and ledger, rules by hand.

def test_it(vendor):
    async def work(door):
        assert (await door.ask()).status == 200
    at_the_door(vendor, work, limit(value=1))
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple, cast
from uuid import UUID

from agents_app.entry import AgentEntry
from agents_app.registry import AgentsConfig
from gateway_project.api.exchange import Exchange, Message
from gateway_project.api.inference import chat_completions, embeddings
from gateway_project.api_handler import _send_error
from gateway_project.core.context import RequestContext
from gateway_project.core.deadline import CallScope
from gateway_project.core.errors import GatewayError, InternalError
from gateway_project.core.ids import uuid7
from gateway_project.core.snapshot import Section, Snapshot
from gateway_project.lifecycle import lifecycle
from security_app.limits import Counter
from security_app.registry import KeyPolicy, PeopleConfig, Principal
from security_app.registry.counters import BudgetRule, LimitRule, Rule
from security_app.registry.limits import LimitsConfig
from security_app.services.limiting import limiting
from tests.agents.inprocess import model
from tests.fakes.vendor import FakeVendor
from tests.usage.entries import ALICE
from upstreams_app.registry import UpstreamsConfig
from upstreams_app.services import background
from upstreams_app.services.client import ClientPool
from usage_app.registry import RateCard, UsageConfig

logger = logging.getLogger(__name__)
MODEL = "fake/fake-chat"
UNPRICED = "free/fake-chat"
EMBEDDING = "fake/fake-embedding"
AGENT = "default/test"
# A cent for 10 000 tokens, whatever they are.
_RATE = 1_000_000_000
CARD = RateCard(_RATE, _RATE, _RATE, _RATE, _RATE, _RATE, _RATE, _RATE, _RATE, _RATE)
POLICY = KeyPolicy(frozenset({"inference"}), ())
HELLO = [{"role": "user", "content": "Hi"}]


def limit(**fields: Any) -> LimitRule:
    """A limit of alice's key: requests a minute, unless the fields say otherwise."""
    rule = LimitRule(uuid7().hex, "key", ALICE.hex, "", "requests", 60_000, 1, True)
    return rule._replace(**fields)


def budget(**fields: Any) -> BudgetRule:
    """A budget of alice's key: a dollar for ever, unless the fields say otherwise."""
    rule = BudgetRule(
        uuid7().hex,
        "key",
        ALICE.hex,
        "",
        "alice's",
        10**9,
        "lifetime",
        0,
        "UTC",
        0,
        0,
        0,
        False,
        False,
    )
    return rule._replace(**fields)


class Answer(NamedTuple):
    """What the client got."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def error(self) -> dict[str, Any]:
        """The error object."""
        return cast("dict[str, Any]", json.loads(self.body)["error"])


class Door:
    """The doors of one configuration; `principal` is who asks."""

    def __init__(self, snapshot: Snapshot, seeds: dict[str, int]) -> None:
        self.snapshot = snapshot
        self.seeds = seeds
        self.principal = Principal(ALICE, "alice", "", POLICY, 0.0, False)
        self.tags: tuple[str, ...] = ()
        self.scopes: list[CallScope] = []
        # Told what a client gets.
        self.on_sent: Callable[[Message], object] = bool

    async def seed(self, counters: Sequence[Counter]) -> list[int]:
        """As a ledger would know it; by the ids of rules."""
        return [self.seeds.get(counter.key[:32], 0) for counter in counters]

    async def ask(self, model_id: str = MODEL, **fields: Any) -> Answer:
        """A chat, in a task of its own, as servers do; `headers` and `key` are not of the body."""
        return await asyncio.create_task(self._ask(model_id, fields))

    async def _ask(self, model_id: str, fields: dict[str, Any]) -> Answer:
        key: UUID | None = fields.pop("key", None)
        operation = fields.pop("operation", chat_completions)
        headers: list[tuple[bytes, bytes]] = fields.pop("headers", [])
        content = {"input": "Hi"} if operation is embeddings else {"messages": HELLO}
        body = json.dumps({"model": model_id, **content, **fields}).encode()
        sent: list[Message] = []

        async def receive() -> Message:
            if len(received) < 1:
                received.append(1)
                return {"type": "http.request", "body": body}
            left: Message = await asyncio.get_running_loop().create_future()
            return left

        async def send(message: Message) -> None:
            sent.append(message)
            self.on_sent(message)

        received: list[int] = []
        task = asyncio.current_task()
        assert task is not None
        scope = CallScope(task)
        self.scopes.append(scope)
        http = {"method": "POST", "path": "/v1/chat/completions", "headers": headers, "type": "http"}
        exchange = Exchange(http, receive, send, scope)
        principal = self.principal if key is None else self.principal._replace(key_id=key)
        exchange.context = RequestContext(
            self.snapshot, scope, request_id=exchange.request_id, principal=principal
        )
        exchange.context.tags = self.tags
        lifecycle.ticker.add(scope)
        try:
            await operation(exchange)
        except GatewayError as error:
            await _send_error(exchange, error)
        except asyncio.CancelledError:
            if scope.reason is None:
                raise
            scope.absorb()
        except Exception:
            logger.exception("request.failed")
            await _send_error(exchange, InternalError("injected"))
        finally:
            lifecycle.ticker.remove(scope)
            exchange.close()
        return _answer(sent)

    def held(self) -> int:
        """How many reservations are open."""
        return limiting.limiter.state().open_tickets

    async def used(self, rule: Rule, subject: str = ALICE.hex) -> int:
        """What a rule's counter says."""
        config: LimitsConfig = self.snapshot.sections["limits"].value
        now_ms = (uuid7().int >> 80) & (2**48 - 1)
        found = await limiting.limiter.used([config.meter(rule, subject).counter(now_ms)])
        assert isinstance(found, list)
        return found[0]


def _answer(sent: list[Message]) -> Answer:
    if not sent:
        return Answer(0, {}, b"")
    pairs = [(name.decode(), value.decode()) for name, value in sent[0]["headers"]]
    headers = dict(pairs)
    assert len(headers) == len(pairs), f"a header is there twice: {pairs}"
    body = b"".join(message.get("body", b"") for message in sent[1:])
    return Answer(sent[0]["status"], headers, body)


def configuration(vendor: FakeVendor, *rules: Rule, agent: Any = None) -> Snapshot:
    """Models at the vendor, two with prices; an agent if there is one; and the rules."""
    config = LimitsConfig()
    for rule in rules:
        config.put(rule)
    entries = [model(vendor.url, name) for name in (MODEL, UNPRICED)]
    entries.append(model(vendor.url, EMBEDDING, mode="embedding"))
    prices = {MODEL: ((0.0, CARD),), EMBEDDING: ((0.0, CARD),)}
    agents: dict[str, AgentEntry] = {}
    if agent is not None:
        agents[AGENT] = AgentEntry(
            AGENT, b'"default/test"', agent, "Test", "", 0, MODEL, "hidden", 10, 50, 60
        )
    return Snapshot(
        {
            "people": Section(PeopleConfig(), 1),
            "limits": Section(config.seal(), 1),
            "usage": Section(UsageConfig(overrides=prices), 1),
            "upstreams": Section(UpstreamsConfig({entry.id: entry for entry in entries}, {}), 1),
            "agents": Section(AgentsConfig(agents, agents), 1),
        }
    )


def at_the_door(
    vendor: FakeVendor,
    work: Callable[[Door], Awaitable[None]],
    *rules: Rule,
    agent: Any = None,
    seeds: dict[str, int] | None = None,
) -> None:
    """Do the work under the rules, then see that nothing is held any more."""

    async def main() -> None:
        door = Door(configuration(vendor, *rules, agent=agent), seeds or {})
        lifecycle.clients = ClientPool()
        await limiting.start(seeder=door.seed)
        try:
            await work(door)
            await background.finish(5)
            assert door.held() == 0
        finally:
            await limiting.stop()
            await lifecycle.clients.close()

    asyncio.run(main())
