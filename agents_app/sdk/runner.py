"""One run of an agent: the SDK's runner under our limits, its events as pieces of an answer."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator, Iterator
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from openai.types.responses import ResponseFunctionToolCall, ResponseOutputMessage
from pydantic_core import to_json

from agents import (
    Agent,
    AgentsException,
    InputGuardrailTripwireTriggered,
    ItemHelpers,
    MaxTurnsExceeded,
    ModelBehaviorError,
    ModelRefusalError,
    OutputGuardrailTripwireTriggered,
    ReasoningItem,
    RunConfig,
    RunHooks,
    RunItem,
    Runner,
    RunResult,
    RunResultStreaming,
    ToolApprovalItem,
    ToolInputGuardrailTripwireTriggered,
    ToolOutputGuardrailTripwireTriggered,
)
from agents_app.entry import AgentEntry
from agents_app.errors import AgentFailed, RunLimitExceeded
from agents_app.pieces import Outcome, Piece
from agents_app.sdk.activity import Activity, Step, line_of, reporter, thoughts_of
from agents_app.sdk.call_ids import UniqueCallIds
from agents_app.sdk.client_tools import ClientTools, copy_graph, graph_of
from agents_app.sdk.convert import Item, items_of, with_one_system_message
from agents_app.sdk.parameters import Parameters
from agents_app.sdk.provider import Door, GatewayProvider
from agents_app.sdk.saved_state import SavedRun, last_outputs, restored, state_of
from agents_app.sdk.streaming import CallStream
from gateway_project.core.errors import GatewayError, PermissionDenied, UpstreamFailed

__all__ = ["Outcome", "Piece", "Run"]

_MAX_PARALLEL_TOOLS = 8
_REASONING = ("response.reasoning_summary_text.delta", "response.reasoning_text.delta")
_PARAGRAPH = "\n\n"


@dataclass(slots=True)
class Run:
    """A request as the SDK takes it. Making one raises InvalidRequest, which names the field."""

    entry: AgentEntry
    agent: Agent[Any]
    items: list[Item]
    config: RunConfig
    models: UniqueCallIds
    door: Door
    tools: ClientTools
    is_json: bool
    outcome: Outcome = field(default_factory=Outcome)
    _saved: SavedRun | None = None
    # Why the agents' last answer ended: later calls of guardrails end for reasons of their own.
    ended_for: str = "stop"
    # Steps that no item tells of, and nobody has seen yet.
    reported: deque[Step] = field(default_factory=deque)
    # Whether the reasoning so far ends within a line.
    _is_in_line: bool = False

    @classmethod
    def of(cls, entry: AgentEntry, fields: dict[str, Any], door: Door) -> Run:
        """A run of an agent on a chat request's fields."""
        items = items_of(fields.get("messages"))
        models = UniqueCallIds(GatewayProvider(door, entry.members), items)
        config = RunConfig(
            model_provider=models,
            trace_include_sensitive_data=entry.records_content,
            # A model that makes up a tool, or names one that is hidden from it, is told so.
            tool_not_found_behavior="return_error_to_model",
            tool_execution={"max_function_tool_concurrency": _MAX_PARALLEL_TOOLS},
            call_model_input_filter=with_one_system_message,
        )
        parameters, tools = Parameters.of(fields), ClientTools.of(fields)
        agent = _adjusted(entry.agent, parameters, tools)
        is_json = parameters.wants_json or agent.output_type not in (None, str)
        return cls(entry, agent, items, config, models, door, tools, is_json)

    async def go_on_from(self, state: str) -> bool:
        """Go on from a state that a run of this agent had, if the conversation ends with what it waits for.

        If not, the conversation is all that the run knows.
        """
        if self.tools.choice is not None:
            # The state knows that tools were used, and would not hold the model to a choice again.
            return False
        outputs = last_outputs(self.items)
        self._saved = await restored(state, self.agent, self.tools, outputs, entry=self.entry)
        if self._saved is not None:
            self.models.also_taken(self._saved.call_ids)
        return self._saved is not None

    async def answer(self) -> str:
        """The final answer; raises GatewayError."""
        self._take_reports()
        try:
            result = await Runner.run(self.agent, self._input, **self._options())
        except (AgentsException, GatewayError) as error:
            text = self._answer_despite(error)
            if isinstance(error, AgentsException) and error.run_data is not None:
                self._note_items(error.run_data.new_items)
            return text
        self._note_items(result.new_items)
        self._note_end(result)
        return _final_text(result)

    async def pieces(self) -> AsyncGenerator[Piece, None]:
        """The answer as it comes; raises GatewayError. Closing the iterator early ends the run at once."""
        self._take_reports()
        result = Runner.run_streamed(self.agent, self._input, **self._options())
        stream = _PieceStream(self)
        try:
            async for event in result.stream_events():
                for piece in stream.pieces_of(event):
                    yield piece
            if result.run_loop_exception is not None:
                raise result.run_loop_exception
            self._note_end(result)
            for piece in stream.rest(result):
                yield piece
        except (AgentsException, GatewayError) as error:
            self._answer_despite(error)
            if self.outcome.refusal and not stream.has_refusal:
                yield Piece({"refusal": self.outcome.refusal})
        finally:
            # Before the events' iterator is closed, which would wait for the whole run.
            result.cancel()

    def _options(self) -> dict[str, Any]:
        return {"max_turns": self.entry.max_turns, "run_config": self.config, "hooks": _Ends(self)}

    def _take_reports(self) -> None:
        """Have what the run's models and guardrails report, in this task and those that it starts.

        Also where nobody is shown it: a run that called this one as a tool is not told either.
        """
        reporter.set(self.reported.append if self.shows_steps else _unseen)

    @property
    def _input(self) -> Any:
        return self.items if self._saved is None else self._saved.state

    @property
    def shows_steps(self) -> bool:
        """Whether clients see what the run does."""
        return self.entry.visibility in ("reasoning", "gateway")

    def step_piece(self, step: Step) -> Piece | None:
        """A step as this agent's clients see it."""
        if self.entry.visibility == "gateway":
            return Piece({}, step)
        line = line_of(step) if self.entry.visibility == "reasoning" else ""
        return self.thought_piece(line, is_line=True) if line else None

    def thought_piece(self, text: str, *, is_line: bool = False) -> Piece:
        """More reasoning; a line begins where the text so far ends, or in a line of its own."""
        if is_line and self._is_in_line:
            text = f"\n{text}"
        if text:
            self._is_in_line = not text.endswith("\n")
        return Piece({"reasoning_content": text})

    def _note_items(self, items: list[RunItem]) -> None:
        if not self.shows_steps:
            return
        activity, outcome = Activity(self.tools.names, self.tools.outputs), self.outcome
        # The answer that a state is of has told of the items in it.
        known = self._saved.known_items if self._saved is not None else 0
        for item in [*self.reported, *items[known:]]:
            if isinstance(item, ReasoningItem):
                piece: Piece | None = self.thought_piece(thoughts_of(item))
            else:
                step = item if isinstance(item, dict) else activity.step_of(item)
                piece = self.step_piece(step) if step is not None else None
            if piece is not None:
                outcome.reasoning += piece.delta.get("reasoning_content", "")
                outcome.steps += [piece.step] if piece.step is not None else []

    def _note_end(self, result: RunResult | RunResultStreaming) -> None:
        """How the run ended: with an answer, or with calls that are the client's to make."""
        pending = [one for one in result.interruptions if self.tools.owns(one)]
        if result.interruptions and not pending:
            raise AgentFailed("A tool of the agent wants an approval, which nobody can give here.")
        self.outcome.tool_calls = [_tool_call(one) for one in pending]
        if pending:
            self.outcome.finish_reason = "tool_calls"
            self.outcome.state = state_of(result, self.tools, agent_id=self.entry.id)
        elif self.ended_for in ("length", "content_filter"):
            self.outcome.finish_reason = self.ended_for

    def _answer_despite(self, error: Exception) -> str:
        """Errors of the SDK that are answers for OpenAI's clients: the text, or the error is raised."""
        reason = self.door.finish_reason
        if isinstance(error, ModelRefusalError):
            self.outcome.refusal = error.refusal
            self.outcome.finish_reason = "content_filter" if reason == "content_filter" else "stop"
            return ""
        if isinstance(error, ModelBehaviorError) and reason == "length":
            # The tokens were used up before the first word, or in the midst of what had to be complete.
            self.outcome.finish_reason = reason
            return ""
        public = _public(error, self.entry)
        if public is error:
            raise public
        raise public from error


class _Ends(RunHooks[Any]):
    """Notes why each answer of the run's agents ended."""

    def __init__(self, run: Run) -> None:
        self._run = run

    async def on_llm_end(self, context: Any, agent: Any, response: Any) -> None:
        self._run.ended_for = self._run.door.finish_reason


class _PieceStream:
    """Turns the events of a run into pieces."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._activity = Activity(run.tools.names, run.tools.outputs)
        self._calls = CallStream(run.tools.names)
        # Of this turn, and of any.
        self._has_text = False
        self._had_text = False
        self.has_refusal = False

    def pieces_of(self, event: Any) -> Iterator[Piece]:
        """What an event is to the client, after what was reported before it."""
        yield from self.reports()
        if event.type == "raw_response_event":
            yield from self._pieces_of_raw(event.data)
        elif event.type == "run_item_stream_event" and self._run.shows_steps:
            step = self._activity.step_of(event.item)
            if step is not None and (piece := self._run.step_piece(step)):
                yield piece

    def reports(self) -> Iterator[Piece]:
        """The steps that no item tells of."""
        while self._run.reported:
            if piece := self._run.step_piece(self._run.reported.popleft()):
                yield piece

    def rest(self, result: RunResultStreaming) -> Iterator[Piece]:
        """What the answer holds that no event told: an output that no model wrote, unusual tool calls."""
        yield from self.reports()
        yield from self._calls.rest(self._run.outcome.tool_calls)
        is_told = self._has_text and not _is_by_tool(result)
        if not is_told and (text := _final_text(result)):
            self._has_text = False
            yield from self._text_pieces(text)

    def _pieces_of_raw(self, data: Any) -> Iterator[Piece]:
        kind = data.type
        if kind == "response.output_text.delta" and data.delta:
            yield from self._text_pieces(data.delta)
        elif kind == "response.refusal.delta" and data.delta:
            self.has_refusal = True
            yield Piece({"refusal": data.delta})
        elif kind in _REASONING and data.delta and self._run.shows_steps:
            yield self._run.thought_piece(data.delta)
        elif kind == "response.created":
            self._has_text = False
            self._calls.begin_turn()
        else:
            yield from self._calls.pieces_of(data)

    def _text_pieces(self, text: str) -> Iterator[Piece]:
        """More of the answer; what each turn says is a paragraph."""
        if not self._has_text and self._had_text and not self._run.is_json:
            yield Piece({"content": _PARAGRAPH})
        self._has_text = self._had_text = True
        yield Piece({"content": text})


def _adjusted(agent: Agent[Any], parameters: Parameters, tools: ClientTools) -> Agent[Any]:
    """The agent as this client wants it, with copies of those it hands over to; itself if nothing changes."""
    settings = parameters.entry_settings(agent, tools.choice)
    if not tools.tools and not parameters.wants_json and settings == agent.model_settings:
        return agent
    if parameters.wants_json:
        parameters.check_format(agent)
    if tools.tools:
        tools.check_names(graph_of(agent))

    def change(original: Agent[Any]) -> dict[str, Any]:
        own = settings if original is agent else original.model_settings
        changes = {"model_settings": own, "tools": [*original.tools, *tools.tools]}
        if tools.tools:
            changes["tool_use_behavior"] = tools.behaviour_of(original)
        return changes | parameters.format_changes(original, own)

    return copy_graph(agent, change)


def _unseen(_: Step) -> None:
    """A step that the agent's clients do not see."""


def _tool_call(pending: ToolApprovalItem) -> dict[str, Any]:
    function = {"name": pending.tool_name, "arguments": pending.arguments or "{}"}
    call_id = pending.call_id or f"call_{uuid4().hex}"
    return {"id": call_id, "type": "function", "function": function}


def _final_text(result: RunResult | RunResultStreaming) -> str:
    """The answer; with pending calls, what the model said when it made them."""
    output = result.final_output
    if output is None and result.interruptions and result.raw_responses:
        said = [one for one in result.raw_responses[-1].output if isinstance(one, ResponseOutputMessage)]
        return "".join(ItemHelpers.extract_text(one) or "" for one in said)
    return _text(output)


def _is_by_tool(result: RunResultStreaming) -> bool:
    """Whether the answer is what a tool returned, as agents may want it: no model said it."""
    last = result.raw_responses[-1].output if result.raw_responses else []
    return not result.interruptions and any(isinstance(one, ResponseFunctionToolCall) for one in last)


def _text(output: Any) -> str:
    if output is None:
        return ""
    if isinstance(output, str):
        # Half of a surrogate pair, as texts that were cut in two have it, is no text for JSON.
        return output.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return to_json(output, fallback=str).decode()


def _public(error: Exception, entry: AgentEntry) -> GatewayError:
    """What the client is told of an error; texts of the agent's code and of its tools stay here."""
    if isinstance(error, GatewayError):
        return error
    if isinstance(error, MaxTurnsExceeded):
        return RunLimitExceeded(f"The run did not end within {entry.max_turns} turns.")
    if isinstance(error, InputGuardrailTripwireTriggered):
        return _blocked("input")
    if isinstance(error, OutputGuardrailTripwireTriggered):
        return _blocked("answer")
    if isinstance(error, ToolInputGuardrailTripwireTriggered | ToolOutputGuardrailTripwireTriggered):
        return _blocked("use of a tool")
    if isinstance(error, ModelBehaviorError):
        return UpstreamFailed("The model's answer can't be used by the agent.")
    return AgentFailed("The agent failed; the log has the details.")


def _blocked(what: str) -> PermissionDenied:
    return PermissionDenied(f"A guardrail of the agent refused the {what}.", code="guardrail_blocked")
