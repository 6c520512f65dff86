"""The SDK's tracing, of which the gateway keeps what `agents_app.trace` has room for; nothing goes elsewhere.

In the place of the SDK's provider stands one whose spans note steps of the run around them. It knows no
processors: those that an agent's code adds get nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from agents.tracing import (
    AgentSpanData,
    CustomSpanData,
    FunctionSpanData,
    GenerationSpanData,
    GuardrailSpanData,
    HandoffSpanData,
    MCPListToolsSpanData,
    Span,
    SpanData,
    SpanError,
    Trace,
    TracingProcessor,
)
from agents.tracing.provider import DefaultTraceProvider
from agents.tracing.scope import Scope
from agents.tracing.span_data import TurnSpanData
from agents.tracing.spans import NoOpSpan
from agents.tracing.traces import NoOpTrace

from agents_app.trace import (
    AGENT,
    CUSTOM,
    ERROR,
    GENERATION,
    GUARDRAIL,
    HANDOFF,
    MAX_TEXT,
    OK,
    TOOL,
    TRIPPED,
    TURN,
    Recorder,
    Step,
    caller,
)

_KINDS: dict[type[SpanData], str] = {
    AgentSpanData: AGENT,
    TurnSpanData: TURN,
    GenerationSpanData: GENERATION,
    FunctionSpanData: TOOL,
    HandoffSpanData: HANDOFF,
    GuardrailSpanData: GUARDRAIL,
    CustomSpanData: CUSTOM,
    MCPListToolsSpanData: CUSTOM,
}
_encoder = json.JSONEncoder(ensure_ascii=False, default=str)


class _RunSpan(NoOpSpan[Any]):
    """A span that is a step of a run, or a part of the step around it where it says nothing of its own."""

    __slots__ = ("_kind", "_parent", "_status", "recorder", "step")

    def __init__(self, data: Any, kind: str, parent: _RunSpan) -> None:
        super().__init__(data)
        self._kind = kind
        self._parent = parent
        self._status = OK
        self.recorder: Recorder = parent.recorder
        self.step: Step | None = parent.step

    def start(self, mark_as_current: bool = False) -> None:
        """The step begins."""
        if self._kind:
            parent = self._parent.step.key if self._parent.step is not None else None
            self.step = self.recorder.begin(self._kind, _name(self._kind, self._span_data), parent)
        super().start(mark_as_current)

    def finish(self, reset_current: bool = False) -> None:
        """The step is over."""
        if self._kind and self.step is not None:
            self._note_end(self.step, self._span_data)
        super().finish(reset_current)

    def set_error(self, error: SpanError) -> None:
        """That there was one is noted, what it says is not."""
        self._status = ERROR

    def _note_end(self, step: Step, data: Any) -> None:
        status = self._status
        if self._kind == GUARDRAIL and data.triggered:
            status = TRIPPED
        elif self._kind == HANDOFF and data.to_agent:
            step.name = _name(self._kind, data)
        if self.recorder.keeps_content and self._kind in (TOOL, GENERATION):
            self.recorder.keep(step, "input", _text(data.input))
            self.recorder.keep(step, "output", _text(data.output))
        self.recorder.end(step, status)


class _Root(_RunSpan):
    """What the spans of a run are in."""

    def __init__(self, recorder: Recorder) -> None:
        NoOpSpan.__init__(self, None)
        self._kind = ""
        self.recorder = recorder
        self.step = None


class RunTraces(DefaultTraceProvider):
    """Makes the spans of runs; outside of a run they are nothing."""

    def register_processor(self, processor: TracingProcessor) -> None:
        """No processor gets anything."""

    def set_processors(self, processors: list[TracingProcessor]) -> None:
        """No processor gets anything."""

    def create_trace(self, *_: Any, **__: Any) -> Trace:
        """A trace is the frame of spans only: the run has an id of its own."""
        return NoOpTrace()  # type: ignore[no-untyped-call]

    def create_span(
        self, span_data: Any, span_id: str | None = None, parent: Any = None, disabled: bool = False
    ) -> Span[Any]:
        """A span in the current one, or in `parent`. Switched off it is a part of the one around it."""
        around = parent if isinstance(parent, _RunSpan) else Scope.get_current_span()
        if not isinstance(around, _RunSpan):
            return NoOpSpan(span_data)
        return _RunSpan(span_data, "" if disabled else _KINDS.get(type(span_data), ""), around)


@contextmanager
def recording(recorder: Recorder) -> Iterator[None]:
    """While the block runs, and in the tasks that it starts, spans are steps of this run."""
    root = _Root(recorder)
    root.start(mark_as_current=True)
    try:
        yield
    finally:
        root.finish(reset_current=True)


def keeps_content() -> bool:
    """Whether the run around the caller keeps texts."""
    span = Scope.get_current_span()
    return isinstance(span, _RunSpan) and span.recorder.keeps_content


def begin_call() -> Step | None:
    """Tell the door which step makes the LLM call that follows, and return it."""
    span = Scope.get_current_span()
    step = span.step if isinstance(span, _RunSpan) else None
    caller.set(step.key if step is not None else None)
    return step


def _name(kind: str, data: Any) -> str:
    if kind == TURN:
        return f"Turn {data.turn}"
    if kind == HANDOFF:
        return f"{data.from_agent or ''} → {data.to_agent or ''}"
    if kind == GENERATION:
        return str(data.model or "")
    return str(getattr(data, "name", None) or data.type)


def _text(value: Any) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    parts: list[str] = []
    length = 0
    try:
        # No further than it is kept: a conversation may be long, and is a text of each call.
        for part in _encoder.iterencode(value):
            parts.append(part)
            length += len(part)
            if length >= MAX_TEXT:
                break
    except (TypeError, ValueError, RecursionError):
        return ""
    return "".join(parts)[:MAX_TEXT]
