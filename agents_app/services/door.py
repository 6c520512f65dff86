"""The door of a run: each of its LLM calls is one like any other, with a ticket, attempts and a ledger line.

It knows requests and answers as JSON objects; what the SDK makes of them is `provider`'s.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol, cast

from agents_app.entry import UNNAMED_MODEL
from agents_app.errors import AgentFailed, RunLimitExceeded
from agents_app.services.call_body import Asked, asked_fields, body_fields, treatment_of
from agents_app.services.model_names import named_model
from agents_app.trace import Recorder, Step
from gateway_project.core import sse
from gateway_project.core.codec import loads_loosely
from gateway_project.core.context import RequestContext
from gateway_project.core.deadline import DISCONNECTED, RUN_ENDED, SHUTDOWN, CallScope, Ticker
from gateway_project.core.ids import public_id
from gateway_project.core.money import usd_text
from gateway_project.core.snapshot import Snapshot
from security_app.services.reservation import Demand, Ticket, reserve_child
from upstreams_app.registry import ModelEntry
from upstreams_app.route_treatment import Treatment
from upstreams_app.services.budgeted_stream import stream_relay
from upstreams_app.services.calls import Call, treated_fields
from upstreams_app.services.client import ClientPool
from upstreams_app.services.demand import estimate_call
from upstreams_app.services.relay import complete
from usage_app.entry import TokenUsage, UsageEntry
from usage_app.registry import UsageConfig
from usage_app.services.extraction import text_bytes
from usage_app.services.settlement import Settlement

_PATH = "/chat/completions"


class _OpenCall(Protocol):
    """A call of the run that is under way."""

    def end(self, reason: str) -> None:
        """Nobody wants it any more; settles it, now or in a moment."""


@dataclass(slots=True)
class RunDoor:
    """What the LLM calls of one run share, and what they added up to. `default_model` is a model id.

    `max_tokens` and `max_cost_nano` are as in the agent's entry. Once one is reached no call begins; what
    calls that are under way come to by then is known when they end.
    `client_follows` is cleared while the client takes no more: streams of upstreams wait then.
    """

    context: RequestContext
    ticket: Ticket
    clients: ClientPool
    ticker: Ticker
    default_model: str
    max_llm_calls: int
    max_tokens: int | None = None
    max_cost_nano: int | None = None
    trace: Recorder = field(default_factory=Recorder)
    llm_calls: int = 0
    tokens: TokenUsage = field(default_factory=TokenUsage)
    # None once a call had no price.
    cost_nano: int | None = 0
    # As `tokens`, but with estimates for upstreams that report none.
    charged_tokens: int = 0
    finish_reason: str = "stop"
    end_user: str = ""
    # The SDK tells an agent that called another one of its error and goes on; a run at its limit must not.
    limit_error: RunLimitExceeded | None = None
    # Of the run that this one was called by as a tool: what is used here is used there, too.
    outer: RunDoor | None = None
    client_follows: asyncio.Event = field(default_factory=asyncio.Event)
    is_over: bool = False
    _open_calls: set[_OpenCall] = field(default_factory=set)
    _loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.get_running_loop)

    def __post_init__(self) -> None:
        self.client_follows.set()

    def entry(self, name: str) -> ModelEntry:
        """The model that a call goes to: by its id, or the only one of that name at any upstream."""
        return named_model(self.context.snapshot, self.default_model if name == UNNAMED_MODEL else name)

    async def complete(self, request: dict[str, Any]) -> dict[str, Any]:
        """One LLM call: a chat completion. Raises GatewayError."""
        call = await self._reserved_call(request, is_stream=False)
        return await _PlainCall(self, call).answer()

    async def stream(self, request: dict[str, Any]) -> ChunkStream:
        """One LLM call as a stream, which has begun when this returns. Raises GatewayError."""
        stream = ChunkStream(self, await self._reserved_call(request, is_stream=True))
        await stream.open()
        return stream

    async def _reserved_call(self, request: dict[str, Any], *, is_stream: bool) -> Call:
        """A call that may be made, with a ticket of its own. Raises GatewayError; nothing is held then."""
        entry = self.entry(str(request["model"]))
        self._begin_call(entry)
        context = _call_context(self)
        treatment = treatment_of(context, entry, request, is_stream=is_stream)
        asked = partial(asked_fields, request, treatment)
        try:
            ticket = await reserve_child(self.ticket, entry.id, partial(_demand, context, entry, asked))
        except BaseException:
            self._unbegin_call()
            raise
        try:
            if self.is_over:
                raise AgentFailed("The run is over.")
            return _call(self, context, entry, ticket, request, treatment, is_stream=is_stream)
        except BaseException:
            ticket.release()
            raise

    def _begin_call(self, entry: ModelEntry) -> None:
        """Count one more LLM call; RunLimitExceeded if the run may not make it."""
        if self.is_over:
            raise AgentFailed("The run is over.")
        if asyncio.get_running_loop() is not self._loop:
            raise AgentFailed("Connections belong to the server's event loop, and can't be used in another.")
        if problem := self._exceeded(entry):
            self.limit_error = RunLimitExceeded(problem)
            raise self.limit_error
        if self.outer is not None:
            self.outer._begin_call(entry)
        self.llm_calls += 1

    def _unbegin_call(self) -> None:
        """It was not made: a limit or a budget had no room for it."""
        self.llm_calls -= 1
        if self.outer is not None:
            self.outer._unbegin_call()

    def _exceeded(self, entry: ModelEntry) -> str:
        """Which limit forbids one more call, "" if none does."""
        if self.llm_calls >= self.max_llm_calls:
            return f"The run wants more than {self.max_llm_calls} LLM calls."
        if self.max_tokens is not None and self.charged_tokens >= self.max_tokens:
            return f"The run wants more LLM calls, and has used up its {self.max_tokens} tokens."
        if self.max_cost_nano is None:
            return ""
        # A call whose cost nobody knows would be free of the limit, so it isn't made.
        if self.cost_nano is None or not _has_price(self.context.snapshot, entry):
            return f"The agent has a limit of costs, and its model '{entry.id}' has no price."
        if self.cost_nano >= self.max_cost_nano:
            limit = usd_text(self.max_cost_nano)
            return f"The run wants more LLM calls, and has used up its {limit} US dollars."
        return ""

    def needs_price(self) -> bool:
        """Whether this run, or one that it is part of, may cost only so much."""
        return self.max_cost_nano is not None or (self.outer is not None and self.outer.needs_price())

    def enter(self, call: _OpenCall, scope: CallScope) -> None:
        """A call is under way: its time limits count, and the run's end will be its own."""
        self._open_calls.add(call)
        self.ticker.add(scope)

    def leave(self, call: _OpenCall, scope: CallScope) -> None:
        """The call is over; what it used may be known later, if it was ended before its last words."""
        self._open_calls.discard(call)
        self.ticker.remove(scope)
        scope.close()

    def note(self, step: Step, settlement: Settlement, entry: UsageEntry) -> None:
        """A call is settled: what the ledger says about it, its step says, and the run adds up."""
        step.upstream, step.upstream_model = entry.upstream, entry.upstream_model
        step.input_tokens, step.output_tokens = entry.tokens.input, entry.tokens.output
        step.cost_nano = entry.cost_nano
        self._add(settlement.tokens, entry.tokens.input + entry.tokens.output, entry.cost_nano)
        self.trace.end_call(step, entry.status, entry.error_code)

    def _add(self, used: TokenUsage | None, charged_tokens: int, cost_nano: int | None) -> None:
        if used is not None:
            sums = {name: getattr(self.tokens, name) + getattr(used, name) for name in used.__struct_fields__}
            self.tokens = TokenUsage(**sums)
        self.charged_tokens += charged_tokens
        if cost_nano is None or self.cost_nano is None:
            self.cost_nano = None
        else:
            self.cost_nano += cost_nano
        if self.outer is not None:
            self.outer._add(used, charged_tokens, cost_nano)

    def end(self) -> None:
        """The run is over: what its agents and tools left behind ends too, and nothing more begins."""
        cause = self.context.scope.cause
        self.is_over = True
        for call in list(self._open_calls):
            call.end(cause if cause in (DISCONNECTED, SHUTDOWN) else RUN_ENDED)


class _PlainCall:
    """One call with a whole answer."""

    def __init__(self, door: RunDoor, call: Call) -> None:
        self._door = door
        self._scope = call.context.scope
        self._call = call

    async def answer(self) -> dict[str, Any]:
        """The answer; settled when this returns or raises."""
        door = self._door
        door.enter(self, self._scope)
        try:
            body: dict[str, Any] = loads_loosely(await complete(self._call, door.clients))
        finally:
            door.leave(self, self._scope)
        return body

    def end(self, reason: str) -> None:
        """Cancel who waits for the answer."""
        self._scope.cancel(reason)


class ChunkStream:
    """The chunks of one streamed call: each block is fetched when the SDK has taken the one before.

    The SDK may read, and close, in other tasks than the one that opened it.
    """

    def __init__(self, door: RunDoor, call: Call) -> None:
        self._door = door
        self._scope = call.context.scope
        self._call = call
        self._relay = stream_relay(self._call, door.clients)
        self._events: list[bytes] = []
        self._is_reading = False
        self._is_closed = False

    async def open(self) -> None:
        """Wait until the upstream began to answer; raises what kept it from doing so."""
        self._door.enter(self, self._scope)
        self._is_reading = True
        try:
            await self._relay.open()
        except BaseException:
            self._close()
            raise
        finally:
            self._is_reading = False

    def __aiter__(self) -> AsyncIterator[dict[str, Any]]:
        return self

    async def __anext__(self) -> dict[str, Any]:
        try:
            while not self._events:
                await self._read()
            chunk: dict[str, Any] = loads_loosely(self._events.pop())
        except BaseException:
            self._close()
            raise
        return chunk

    async def _read(self) -> None:
        """Fetch events, the first of them last in the list."""
        if self._is_closed:
            raise StopAsyncIteration
        self._scope.move_to(_current_task())
        self._is_reading = True
        try:
            await self._door.client_follows.wait()
            block = await self._relay.next_block()
        finally:
            self._is_reading = False
        if not block:
            raise StopAsyncIteration
        events = [data for _, data in sse.iter_events(block) if data is not None and data != b"[DONE]"]
        self._events = events[::-1]

    async def aclose(self) -> None:
        """End the call, if it runs still."""
        self._close()

    def end(self, reason: str) -> None:
        """Cancel who reads; if nobody does there is nobody who would close it."""
        if self._is_reading:
            self._scope.cancel(reason)
        else:
            self._close()

    def _close(self) -> None:
        if self._is_closed:
            return
        self._is_closed = True
        self._relay.close()
        self._door.leave(self, self._scope)


def _has_price(snapshot: Snapshot, entry: ModelEntry) -> bool:
    """Whether all upstreams that may serve a model have a price for it."""
    prices: UsageConfig = snapshot.sections["usage"].value
    now = time.time()
    return all(prices.price(target.model_id, now) is not None for target in entry.targets)


def _current_task() -> asyncio.Task[object]:
    return cast("asyncio.Task[object]", asyncio.current_task())


def _scope(door: RunDoor) -> CallScope:
    """Time limits for one call, in the task that makes it; the request's end is the call's too."""
    return CallScope(_current_task(), parent=door.context.scope)


def _call_context(door: RunDoor) -> RequestContext:
    parent = door.context
    context = RequestContext(parent.snapshot, _scope(door), principal=parent.principal)
    context.parent_id = parent.request_id
    context.correlation_id, context.tags = parent.correlation_id, parent.tags
    # The run has the request's line in the log; its calls have lines of their own.
    context.is_answered = True
    return context


def _demand(context: RequestContext, entry: ModelEntry, asked: Asked) -> Demand:
    return estimate_call(context, entry, "chat", *asked())


async def _leave(
    door: RunDoor, context: RequestContext, asked: Asked, other: ModelEntry, held: Ticket | None
) -> Ticket:
    """Leave for a model that serves instead; as in the first place, none without a price under a limit."""
    if door.needs_price() and not _has_price(context.snapshot, other):
        raise RunLimitExceeded(f"The agent has a limit of costs, and the model '{other.id}' has no price.")
    return await reserve_child(door.ticket, other.id, partial(_demand, context, other, asked), replaces=held)


def _call(
    door: RunDoor,
    context: RequestContext,
    entry: ModelEntry,
    ticket: Ticket,
    request: dict[str, Any],
    treatment: Treatment | None,
    *,
    is_stream: bool,
) -> Call:
    settlement = Settlement(context, ticket, "chat", is_stream=is_stream)
    settlement.end_user, settlement.agent = door.end_user, door.ticket.model_id
    settlement.route = entry.id if entry.is_route else ""
    # Also for a model that serves instead, which is sent the same.
    asked = partial(asked_fields, request, treatment)
    settlement.measure_sent = lambda: text_bytes(asked()[0])
    step = door.trace.begin_call(entry.id, public_id("req", context.request_id))
    settlement.on_settled = partial(door.note, step)
    return Call(
        context,
        entry,
        _PATH,
        {},
        settlement,
        is_stream=is_stream,
        wants_usage=True,
        client_secret=door.context.client_api_key,
        fields_for=treated_fields(treatment, partial(body_fields, request)),
        # A run's calls share what a prompt cache holds.
        session=context.parent_id.hex if context.parent_id is not None else "",
        admit=partial(_leave, door, context, asked),
        sent_headers=treatment.sent_headers if treatment is not None else None,
        # Conditions see what is sent, as they do of a client's request.
        read_fields=lambda: asked()[1],
    )
