"""A mixture of agents: several models draft, one reads the drafts and answers (https://arxiv.org/abs/2406.04692).

For drop-ins, which give it to an agent as its model:

    voices = [Proposer("cool", "Answer exactly."), Proposer("warm", "Find the catch, and answer.")]
    agent = Agent(name="Duo", model=MixtureModel([Layer(voices)], member("writer")))

Proposers call no tools, so that any model can be one; the agent's tools, hand-offs and answer format are
for whoever answers, and only that answer is streamed.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Any, cast
from weakref import WeakKeyDictionary

from agents.items import ModelResponse, TResponseInputItem, TResponseStreamEvent
from agents.models.interface import ModelTracing
from openai.types.responses import ResponseOutputMessage, ResponseUsage
from openai.types.responses.response_usage import InputTokensDetails, OutputTokensDetails

from agents import (
    AgentOutputSchemaBase,
    Handoff,
    ItemHelpers,
    Model,
    ModelProvider,
    ModelSettings,
    Tool,
    Usage,
    custom_span,
)
from agents_app.entry import UNNAMED_MODEL
from agents_app.sdk import drafts as wording
from agents_app.sdk.activity import report
from agents_app.sdk.attempts import Attempts, Way, ends_the_run, log_failure
from agents_app.sdk.judge import advisory_judge
from agents_app.sdk.members import Member, ModelLike, member, model_of
from agents_app.sdk.nested import current_provider

__all__ = ["OWN_MODEL", "Layer", "MixtureModel", "Proposer", "advisory_judge", "member"]

# The agent's own model, by name: for a member's fallback.
OWN_MODEL = UNNAMED_MODEL
# Of a server that takes no tools: 400 (Ollama, vLLM), 404 (OpenRouter), 500 (llama.cpp; 502 for us).
_TOOLS_REFUSED = (400, 404, 422, 501, 502)


@dataclass(frozen=True, slots=True)
class Proposer:
    """Who writes a draft: in what manner, and on which model (None: the agent's own)."""

    name: str
    instructions: str = "Answer the last message."
    model: ModelLike = None
    settings: ModelSettings = field(default_factory=ModelSettings)


@dataclass(frozen=True, slots=True)
class Layer:
    """Proposers who draft at the same time, each within `timeout_s`; they read the drafts before them.

    With fewer drafts than `quorum` no further layer is asked. What they write replaces the drafts before, or
    with `adds` joins them.
    """

    proposers: Sequence[Proposer]
    quorum: int = 1
    timeout_s: float = 120.0
    adds: bool = False


class MixtureModel(Model):
    """Layers of proposers, and a model that answers: None is the agent's own.

    Layers whose turn has not come are passed over when all drafts agree by `likeness` (2: never).
    With `tools_are_optional` the agent does without its tools where the answering model refuses them.
    """

    def __init__(
        self,
        layers: Sequence[Layer],
        aggregator: ModelLike = None,
        *,
        likeness: float = 0.9,
        max_draft_chars: int = wording.MAX_DRAFT_CHARS,
        tools_are_optional: bool = False,
    ) -> None:
        for layer in layers:
            if not 0 <= layer.quorum <= len(layer.proposers) or not layer.proposers:
                raise ValueError("A layer needs proposers, and a quorum that they can reach")
        self._layers = tuple(layers)
        self._aggregator = aggregator
        self._likeness = likeness
        self._max_draft_chars = max_draft_chars
        self._tools_are_optional = tools_are_optional
        # By run and question: an agent asks its model again with what its tools returned.
        self._kept: WeakKeyDictionary[ModelProvider, dict[str, list[str]]] = WeakKeyDictionary()

    def parts(self) -> Iterable[ModelLike]:
        """The models behind the mixture."""
        proposers = [one.model for layer in self._layers for one in layer.proposers]
        return [*proposers, self._aggregator]

    async def get_response(
        self,
        system_instructions: str | None,
        input: str | list[TResponseInputItem],
        model_settings: ModelSettings,
        tools: list[Tool],
        output_schema: AgentOutputSchemaBase | None,
        handoffs: list[Handoff],
        tracing: ModelTracing,
        **named: Any,
    ) -> ModelResponse:
        """The answer; its usage is that of all calls."""
        work = self._work(system_instructions, input, tracing)
        async with aclosing(work.progress()) as progress:
            async for _ in progress:
                pass
        call = _Call(
            work.instructions(), input, model_settings, tools, output_schema, handoffs, tracing, named
        )
        response = await self._attempts(call).answer()
        response.usage.add(work.usage)
        return response

    async def stream_response(
        self,
        system_instructions: str | None,
        input: str | list[TResponseInputItem],
        model_settings: ModelSettings,
        tools: list[Tool],
        output_schema: AgentOutputSchemaBase | None,
        handoffs: list[Handoff],
        tracing: ModelTracing,
        **named: Any,
    ) -> AsyncIterator[TResponseStreamEvent]:
        """The answer as it comes, and before it an event without a meaning for each draft that is ready."""
        work = self._work(system_instructions, input, tracing)
        async with aclosing(work.progress()) as progress:
            async for _ in progress:
                yield cast(TResponseStreamEvent, Progress())
        call = _Call(
            work.instructions(), input, model_settings, tools, output_schema, handoffs, tracing, named
        )
        async with aclosing(self._attempts(call).events()) as events:
            async for event in events:
                if event.type == "response.completed":
                    event.response.usage = _summed(event.response.usage, work.usage)
                yield event

    def _work(
        self, instructions: str | None, input: str | list[TResponseInputItem], tracing: ModelTracing
    ) -> _Work:
        kept = self._kept.setdefault(current_provider(), {})
        return _Work(self._layers, self._likeness, self._max_draft_chars, instructions, input, tracing, kept)

    def _attempts(self, call: _Call) -> Attempts:
        """The ways to the answer: each model with the agent's tools, and perhaps without."""
        aggregator = model_of(self._aggregator)
        models = aggregator.models() if isinstance(aggregator, Member) else [aggregator]
        ways = []
        for model in models:
            ways.append(Way(model, call.arguments, call.named))
            if bare := self._without_tools(call):
                ways.append(Way(model, bare.arguments, bare.named, _refuses_tools))
        name = aggregator.name if isinstance(aggregator, Member) else "aggregator"
        return Attempts(name, tuple(ways))

    def _without_tools(self, call: _Call) -> _Call | None:
        """The call as the agent can do without its tools, if it can."""
        # The client's tools, which wait for its approval, are not the agent's to do without.
        are_own = all(getattr(tool, "needs_approval", False) is False for tool in call.tools)
        if not (self._tools_are_optional and (call.tools or call.handoffs) and are_own):
            return None
        settings = replace(call.settings, tool_choice=None, parallel_tool_calls=None)
        return replace(call, settings=settings, tools=[], handoffs=[])


@dataclass(frozen=True, slots=True)
class _Call:
    """What whoever answers is called with."""

    instructions: str | None
    input: str | list[TResponseInputItem]
    settings: ModelSettings
    tools: list[Tool]
    schema: AgentOutputSchemaBase | None
    handoffs: list[Handoff]
    tracing: ModelTracing
    named: dict[str, Any]

    @property
    def arguments(self) -> tuple[Any, ...]:
        """By position, as the SDK has them."""
        offered = (self.settings, self.tools, self.schema, self.handoffs)
        return (self.instructions, self.input, *offered, self.tracing)


@dataclass(slots=True)
class _Work:
    """The proposers' part of one answer."""

    layers: Sequence[Layer]
    likeness: float
    max_draft_chars: int
    instructions_before: str | None
    input: str | list[TResponseInputItem]
    tracing: ModelTracing
    # The drafts of this run so far, by question.
    kept: dict[str, list[str]]
    drafts: list[str] = field(default_factory=list)
    usage: Usage = field(default_factory=Usage)

    def instructions(self) -> str | None:
        """The system message of who answers."""
        return wording.answering(self.instructions_before, self.drafts)

    async def progress(self) -> AsyncGenerator[None, None]:
        """Have the layers draft; yields when something was reported."""
        question = wording.question_in(self.input)
        if wording.is_follow_up(self.input):
            # The tools' results are what is new; whoever asked for them is to answer.
            self.drafts = self.kept.get(question, [])
            return
        for layer in self.layers:
            drafts: list[str] = []
            async with aclosing(self._drafts_of(layer, drafts)) as progress:
                async for _ in progress:
                    yield
            if len(drafts) < layer.quorum:
                self.drafts = self.drafts or drafts
                break
            if drafts:
                self.drafts = [*self.drafts, *drafts] if layer.adds else drafts
            if wording.agree(self.drafts, self.likeness):
                break
        if self.drafts:
            self.kept[question] = self.drafts

    async def _drafts_of(self, layer: Layer, drafts: list[str]) -> AsyncGenerator[None, None]:
        """Ask a layer's proposers at the same time; their drafts are added in the order of the proposers."""
        tasks = [asyncio.create_task(self._draft(one)) for one in layer.proposers]
        ready = 0
        try:
            end = asyncio.get_running_loop().time() + layer.timeout_s
            waiting = set(tasks)
            while waiting and (left_s := end - asyncio.get_running_loop().time()) > 0:
                done, waiting = await asyncio.wait(
                    waiting, timeout=left_s, return_when=asyncio.FIRST_COMPLETED
                )
                if came := sum(bool(_result(task)) for task in done):
                    ready += came
                    report({"type": "drafts", "ready": str(ready), "of": str(len(tasks))})
                    yield
            drafts += [text for task in tasks if task.done() and (text := _result(task))]
            for one, task in zip(layer.proposers, tasks, strict=True):
                if not task.done():
                    log_failure(one.name, TimeoutError())
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _draft(self, proposer: Proposer) -> str:
        """One draft; "" if there is none. Raises only what ends the run."""
        instructions = wording.proposing(self.instructions_before, proposer.instructions, self.drafts)
        try:
            with custom_span(proposer.name):
                response = await model_of(proposer.model).get_response(
                    instructions,
                    wording.without_tools(self.input),
                    proposer.settings,
                    [],
                    None,
                    [],
                    self.tracing,
                    previous_response_id=None,
                    conversation_id=None,
                    prompt=None,
                )
        except Exception as error:
            if ends_the_run(error):
                raise
            log_failure(proposer.name, error)
            return ""
        self.usage.add(response.usage)
        said = [
            ItemHelpers.extract_text(one) for one in response.output if isinstance(one, ResponseOutputMessage)
        ]
        return wording.cleaned("".join(text or "" for text in said), self.max_draft_chars)


@dataclass(frozen=True, slots=True)
class Progress:
    """Wakes up who reads a stream: something was reported."""

    type: str = "gateway.progress"


def _result(task: asyncio.Task[str]) -> str:
    """What a task that is done came to; a call that the run's end cancelled came to nothing."""
    return "" if task.cancelled() else task.result()


def _refuses_tools(error: Exception) -> bool:
    return getattr(error, "status", None) in _TOOLS_REFUSED


def _summed(told: ResponseUsage | None, used: Usage) -> ResponseUsage:
    """The usage of an answer together with that of its drafts."""
    own = told or ResponseUsage(
        input_tokens=0,
        output_tokens=0,
        total_tokens=0,
        input_tokens_details=InputTokensDetails(cached_tokens=0, cache_write_tokens=0),
        output_tokens_details=OutputTokensDetails(reasoning_tokens=0),
    )
    return ResponseUsage(
        input_tokens=own.input_tokens + used.input_tokens,
        output_tokens=own.output_tokens + used.output_tokens,
        total_tokens=own.total_tokens + used.total_tokens,
        input_tokens_details=own.input_tokens_details,
        output_tokens_details=own.output_tokens_details,
    )
