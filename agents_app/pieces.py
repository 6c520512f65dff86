"""What a run gives to its client, in pieces and in the end; the same wherever the agent's code runs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

# One thing that happened; `type` is tool_call, tool_output, handoff, drafts or verdict.
ShownStep = dict[str, str]


@dataclass(frozen=True, slots=True)
class Piece:
    """Something for the client: members of a delta, or a step of the run."""

    delta: dict[str, Any]
    step: ShownStep | None = None


@dataclass(slots=True)
class Outcome:
    """What a run came to, besides its text; complete when the run has ended."""

    finish_reason: str = "stop"
    tool_calls: list[dict[str, Any]] = field(default_factory=list)
    refusal: str | None = None
    # Of a run that waits for the client's tools, if it can go on from there.
    state: str | None = None
    reasoning: str = ""
    steps: list[ShownStep] = field(default_factory=list)
