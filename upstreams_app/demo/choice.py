"""One choice of a chat answer: drafted without limits, then cut by `stop` and `max_tokens`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from upstreams_app.demo.tokens import split_tokens
from upstreams_app.demo.tool_calls import ToolCall

MAX_OUTPUT_TOKENS: Final = 4096
MAX_WRITTEN_TOKENS: Final = 16_384
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


def output_limit(max_tokens: int | None, *, answers: int, rivals: int) -> int:
    """How many tokens each of so many answers may have.

    Every real model has such a limit. Here it is lower if each token is written often: in several answers,
    and with rivals where log probabilities are wanted.
    """
    most = min(MAX_OUTPUT_TOKENS, max(1, MAX_WRITTEN_TOKENS // (answers * (1 + rivals))))
    return most if max_tokens is None else min(max_tokens, most)


def limited(draft: Draft, *, max_tokens: int, stop: tuple[str, ...]) -> Choice:
    """Cut a draft: reasoning, text and calls share `max_tokens`; only the text can meet a stop sequence."""
    budget = _Budget(max_tokens)
    reasoning = budget.take(draft.reasoning)
    content = None
    if draft.text is not None:
        text = "".join(budget.take(draft.text))
        ends = [end for end in (text.find(sequence) for sequence in stop) if end >= 0]
        if ends:
            content = split_tokens(text[: min(ends)])
            return Choice(reasoning, content, [], "stop", len(reasoning) + len(content))
        content = split_tokens(text)
    calls = []
    for call in draft.calls:
        if budget.is_exceeded:
            break
        if "".join(budget.take(call.name)) == call.name:
            calls.append((call.name, budget.take(call.arguments)))
    finish: FinishReason = "length" if budget.is_exceeded else "tool_calls" if draft.calls else "stop"
    return Choice(reasoning, content, calls, finish, budget.used)


class _Budget:
    """Counts tokens up to a limit."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used = 0
        self.is_exceeded = False

    def take(self, text: str) -> list[str]:
        room = self.limit - self.used
        tokens = split_tokens(text, room + 1)
        self.is_exceeded = self.is_exceeded or len(tokens) > room
        taken = tokens[:room]
        self.used += len(taken)
        return taken
