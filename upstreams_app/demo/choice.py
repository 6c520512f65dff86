"""One choice of a chat answer: drafted without limits, then cut by `stop` and `max_tokens`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from upstreams_app.demo.tokens import split_tokens
from upstreams_app.demo.tool_calls import ToolCall

FinishReason = Literal["stop", "length", "tool_calls"]


@dataclass(frozen=True, slots=True)
class Draft:
    """What the demo would say; `text` is None where it only calls tools."""

    reasoning: str
    text: str | None
    calls: tuple[ToolCall, ...]


@dataclass(frozen=True, slots=True)
class Choice:
    """What it says, in tokens: joined they are the texts; `calls` pairs a tool's name with its arguments."""

    reasoning: list[str]
    content: list[str] | None
    calls: list[tuple[str, list[str]]]
    finish_reason: FinishReason
    tokens: int


def limited(draft: Draft, *, max_tokens: int | None, stop: tuple[str, ...]) -> Choice:
    """Cut a draft: reasoning, text and calls share `max_tokens`; only the text can meet a stop sequence."""
    budget = _Budget(max_tokens)
    reasoning = budget.take(split_tokens(draft.reasoning))
    content = None
    if draft.text is not None:
        text = "".join(budget.take(split_tokens(draft.text)))
        ends = [end for end in (text.find(sequence) for sequence in stop) if end >= 0]
        if ends:
            content = split_tokens(text[: min(ends)])
            return Choice(reasoning, content, [], "stop", len(reasoning) + len(content))
        content = split_tokens(text)
    calls = []
    for call in draft.calls:
        if budget.is_exceeded:
            break
        name_tokens = budget.take(split_tokens(call.name))
        if len(name_tokens) == len(split_tokens(call.name)):
            calls.append((call.name, budget.take(split_tokens(call.arguments))))
    finish: FinishReason = "length" if budget.is_exceeded else "tool_calls" if draft.calls else "stop"
    return Choice(reasoning, content, calls, finish, budget.used)


class _Budget:
    """Counts tokens up to a limit."""

    def __init__(self, limit: int | None) -> None:
        self.limit = limit
        self.used = 0
        self.is_exceeded = False

    def take(self, tokens: list[str]) -> list[str]:
        room = len(tokens) if self.limit is None else self.limit - self.used
        self.is_exceeded = self.is_exceeded or len(tokens) > room
        taken = tokens[:room]
        self.used += len(taken)
        return taken
