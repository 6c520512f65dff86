"""The SDK's models, served through the gateway's own door: every LLM call of a run is a call like any other.

The SDK's adapter for chat completions is kept, its HTTP client is not: in its place stands an object with the
one method that the adapter calls, which makes a child call with its own ticket, attempts and ledger line.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

import msgspec
from agents.models.openai_chatcompletions import OpenAIChatCompletionsModel
from openai import NotGiven, Omit
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from agents import Model, ModelProvider
from agents_app.errors import RunLimitExceeded
from agents_app.sdk import DEFAULT_MODEL
from gateway_project.core import sse
from gateway_project.core.codec import RawFields, dumps, loads
from gateway_project.core.context import RequestContext
from gateway_project.core.deadline import CallScope, Ticker
from gateway_project.core.errors import UpstreamFailed
from security_app.services.reservation import Ticket, reserve_child
from upstreams_app.registry import ModelEntry, UpstreamsConfig
from upstreams_app.services.calls import Call
from upstreams_app.services.client import ClientPool
from upstreams_app.services.relay import StreamRelay, complete
from usage_app.entry import TokenUsage
from usage_app.services.settlement import Settlement

_PATH = "/chat/completions"
_NOT_FOR_THE_WIRE = ("extra_body", "extra_headers", "extra_query", "timeout")
# Servers that know the member; others refuse a tool that has it.
_KINDS_WITH_STRICT_TOOLS = ("openai", "azure-openai", "demo")
# So many blocks wait for the SDK before the upstream does.
_QUEUED_BLOCKS = 16


@dataclass(slots=True)
class RunDoor:
    """What the LLM calls of one run share, and what they added up to. `default_model` is a model id."""

    context: RequestContext
    ticket: Ticket
    clients: ClientPool
    ticker: Ticker
    default_model: str
    max_llm_calls: int
    llm_calls: int = 0
    tokens: TokenUsage = field(default_factory=TokenUsage)
    # None once a call had no price.
    cost_nano: int | None = 0
    finish_reason: str = "stop"

    def entry(self, name: str) -> ModelEntry:
        """The model that a call goes to: by its id, or the only one of that name at any upstream."""
        models = cast(UpstreamsConfig, self.context.snapshot.sections["upstreams"].value).models
        if name == DEFAULT_MODEL:
            name = self.default_model
        entry = models.get(name)
        if entry is None:
            named = [one for model_id, one in models.items() if model_id.partition("/")[2] == name]
            entry = named[0] if len(named) == 1 else None
        if entry is None:
            raise UpstreamFailed(f"The agent asks for the model '{name}', which no upstream has.")
        return entry

    def begin_call(self) -> None:
        """Count one more LLM call; RunLimitExceeded if it is one too many."""
        if self.llm_calls >= self.max_llm_calls:
            raise RunLimitExceeded(f"The run wants more than {self.max_llm_calls} LLM calls.")
        self.llm_calls += 1

    def end_call(self, settlement: Settlement) -> None:
        """Add what a call used."""
        used = settlement.tokens or TokenUsage()
        self.tokens = TokenUsage(
            **{
                name: getattr(self.tokens, name) + getattr(used, name)
                for name in TokenUsage.__struct_fields__
            }
        )
        if settlement.cost_nano is None or self.cost_nano is None:
            self.cost_nano = None
        else:
            self.cost_nano += settlement.cost_nano


class GatewayProvider(ModelProvider):
    """The models of one run."""

    def __init__(self, door: RunDoor) -> None:
        completions = SimpleNamespace(create=_Completions(door).create)
        self._client = SimpleNamespace(
            base_url="http://gateway.internal/v1/", chat=SimpleNamespace(completions=completions)
        )

    def get_model(self, model_name: str | None) -> Model:
        """A model by the name that the agent's code gives it."""
        return OpenAIChatCompletionsModel(model_name or DEFAULT_MODEL, cast(Any, self._client))


class _Completions:
    """`client.chat.completions`, as far as the SDK's adapter uses it."""

    def __init__(self, door: RunDoor) -> None:
        self._door = door

    async def create(self, **arguments: Any) -> Any:
        """One LLM call: a ChatCompletion, or an async iterator of chunks. Raises GatewayError."""
        door = self._door
        entry = door.entry(str(arguments["model"]))
        door.begin_call()
        is_stream = arguments.get("stream") is True
        fields = _fields(arguments, entry)
        if not is_stream:
            with _scope(door) as scope:
                call = _call(door, entry, fields, scope, is_stream=False)
                try:
                    body = loads(await complete(call, door.clients))
                finally:
                    door.end_call(call.settlement)
            _note_finish(door, body)
            return ChatCompletion.construct(**body)
        stream = _Stream(door, entry, fields)
        await stream.open()
        return stream


class _Stream:
    """The chunks of one streamed call. A task of its own relays, so that its time limits cancel it alone."""

    def __init__(self, door: RunDoor, entry: ModelEntry, fields: RawFields) -> None:
        self._door = door
        self._entry = entry
        self._fields = fields
        self._blocks: asyncio.Queue[bytes | None] = asyncio.Queue(_QUEUED_BLOCKS)
        self._opened = asyncio.get_running_loop().create_future()
        self._task: asyncio.Task[None] | None = None
        self.response = SimpleNamespace(headers={})

    async def open(self) -> None:
        """Wait until the upstream began to answer; raises what kept it from doing so."""
        self._task = asyncio.create_task(self._relay())
        try:
            await self._opened
        except BaseException:
            await self.close()
            raise

    async def _relay(self) -> None:
        door = self._door
        try:
            with _scope(door) as scope:
                call = _call(door, self._entry, self._fields, scope, is_stream=True)
                relay = StreamRelay(call, door.clients)
                try:
                    await relay.open()
                    self._opened.set_result(None)
                    await relay.pump(self._blocks.put)
                finally:
                    relay.close()
                    door.end_call(call.settlement)
        except BaseException as error:
            if not self._opened.done() and isinstance(error, Exception):
                self._opened.set_exception(error)
                return
            raise
        finally:
            if not self._opened.done():
                self._opened.cancel()
            # A reader that is gone makes no room.
            with suppress(asyncio.QueueFull):
                self._blocks.put_nowait(None)

    async def __aiter__(self) -> AsyncIterator[ChatCompletionChunk]:
        try:
            while block := await self._next():
                for _, data in sse.iter_events(block):
                    if data is not None and data != b"[DONE]":
                        chunk = loads(data)
                        _note_finish(self._door, chunk)
                        yield ChatCompletionChunk.construct(**chunk)
            if self._task is not None:
                await self._task
        finally:
            await self.close()

    async def _next(self) -> bytes | None:
        if self._task is not None and self._task.done() and self._blocks.empty():
            return None
        return await self._blocks.get()

    async def close(self) -> None:
        """End the relay, if it runs still."""
        task = self._task
        if task is not None and not task.done():
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


@contextmanager
def _scope(door: RunDoor) -> Iterator[CallScope]:
    """Time limits for one call, in the task that makes it; the request's end is the call's too."""
    scope = CallScope(cast("asyncio.Task[object]", asyncio.current_task()), parent=door.context.scope)
    door.ticker.add(scope)
    try:
        yield scope
    finally:
        door.ticker.remove(scope)
        scope.close()


def _call(door: RunDoor, entry: ModelEntry, fields: RawFields, scope: CallScope, *, is_stream: bool) -> Call:
    parent = door.context
    context = RequestContext(parent.snapshot, scope, principal=parent.principal)
    context.parent_id = parent.request_id
    context.correlation_id = parent.correlation_id
    # The run has the request's line in the log; its calls have lines of their own.
    context.is_answered = True
    settlement = Settlement(context, reserve_child(door.ticket, entry.id), "chat", is_stream=is_stream)
    settlement.route = entry.id if entry.is_route else ""
    sent = len(fields.get("messages", b""))
    settlement.measure_sent = lambda: sent
    return Call(context, entry, _PATH, fields, settlement, is_stream=is_stream, wants_usage=True)


def _fields(arguments: dict[str, Any], entry: ModelEntry) -> RawFields:
    """The adapter's arguments as the members of a request body."""
    body = {
        name: value
        for name, value in arguments.items()
        if value is not None and not isinstance(value, Omit | NotGiven) and name not in _NOT_FOR_THE_WIRE
    }
    body |= arguments.get("extra_body") or {}
    upstream = entry.lead.upstream
    if upstream.kind not in _KINDS_WITH_STRICT_TOOLS:
        for tool in body.get("tools", ()):
            tool.get("function", {}).pop("strict", None)
    body.pop("stream_options", None)
    if body.get("stream") and upstream.asks_stream_usage:
        body["stream_options"] = {"include_usage": True}
    return {name: msgspec.Raw(dumps(value)) for name, value in body.items()}


def _note_finish(door: RunDoor, answer: dict[str, Any]) -> None:
    """The SDK's adapter drops why an answer ended."""
    for choice in answer.get("choices") or ():
        if reason := choice.get("finish_reason"):
            door.finish_reason = reason
