"""What the process of a run may say: each frame has one of these forms, or is refused."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from agents_app.isolation.frames import Frame, FrameError
from agents_app.pieces import Outcome, Piece

Number = int
_DELTA = {"content": str, "refusal": str, "reasoning_content": str, "tool_calls": list}
_MAX_MESSAGE = 1000


class CallFrame(msgspec.Struct, tag_field="do", tag="call", frozen=True):
    """An LLM call is wanted; `step` is the key of the step that makes it."""

    id: Number
    request: dict[str, Any]
    step: Number | None = None


class ToolFrame(msgspec.Struct, tag_field="do", tag="tool", frozen=True):
    """A call of a tool of the registry is wanted."""

    id: Number
    name: str
    arguments: str
    call_id: str


class DropFrame(msgspec.Struct, tag_field="do", tag="drop", frozen=True):
    """Nobody wants the answer of a call any more."""

    id: Number


class _Function(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: str = ""
    arguments: str = ""


class _ClientCall(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A call that the client is to make, or a part of one."""

    function: _Function
    id: str = ""
    type: Literal["function"] = "function"
    index: int = 0


def _require_calls(found: object) -> None:
    """FrameError if these are no calls for a client, who gets them as they are."""
    try:
        msgspec.convert(found, list[_ClientCall])
    except msgspec.ValidationError:
        raise FrameError("a call for the client is none") from None


class PieceFrame(msgspec.Struct, tag_field="do", tag="piece", frozen=True):
    """A piece of a streamed answer."""

    delta: dict[str, Any]
    step: dict[str, str] | None = None

    def piece(self) -> Piece:
        """The piece; FrameError if its delta is none."""
        for name, value in self.delta.items():
            if not isinstance(value, _DELTA.get(name, ())):
                raise FrameError("a piece is none")
        _require_calls(self.delta.get("tool_calls", []))
        return Piece(self.delta, self.step)


class StepsFrame(msgspec.Struct, tag_field="do", tag="steps", frozen=True):
    """What the run did, for its trace; `elapsed_ms` is how long ago its clock began."""

    steps: list[dict[str, Any]]
    elapsed_ms: float


class OutcomeFrame(msgspec.Struct, frozen=True):
    """An `Outcome`. A state to go on from is not taken: runs of processes go on by their history."""

    finish_reason: Literal["stop", "length", "tool_calls", "content_filter"] = "stop"
    tool_calls: list[dict[str, Any]] = []
    refusal: str | None = None
    reasoning: str = ""
    steps: list[dict[str, str]] = []

    def outcome(self) -> Outcome:
        """The same as the server has it; FrameError if its calls are none."""
        _require_calls(self.tool_calls)
        return Outcome(
            finish_reason=self.finish_reason,
            tool_calls=self.tool_calls,
            refusal=self.refusal,
            reasoning=self.reasoning,
            steps=self.steps,
        )


class ErrorFrame(msgspec.Struct, frozen=True):
    """Why a run failed: the failure of a call, which the server knows, or one of a few kinds."""

    call: Number | None = None
    kind: str = ""
    message: str = ""
    param: str | None = None
    code: str | None = None

    @property
    def text(self) -> str:
        """Its message, bounded."""
        return self.message[:_MAX_MESSAGE]


class EndFrame(msgspec.Struct, tag_field="do", tag="end", frozen=True):
    """The run is over."""

    text: str = ""
    outcome: OutcomeFrame | None = None
    error: ErrorFrame | None = None


RunFrame = CallFrame | ToolFrame | DropFrame | PieceFrame | StepsFrame | EndFrame


def checked(frame: Frame) -> RunFrame:
    """A frame as one of the forms; FrameError if it has none."""
    try:
        return msgspec.convert(frame, RunFrame)  # type: ignore[no-any-return]
    except (msgspec.ValidationError, RecursionError):
        raise FrameError("a frame has an unknown form") from None
