"""What a run did besides its answer, for clients that may see it: names, no contents."""

from __future__ import annotations

from collections.abc import Callable, Container
from contextvars import ContextVar
from typing import Any

from agents import HandoffOutputItem, ReasoningItem, RunItem, ToolCallItem, ToolCallOutputItem
from agents_app.pieces import ShownStep

Step = ShownStep
# Takes the steps that no item of the run tells of; unset outside of runs.
reporter: ContextVar[Callable[[Step], None]] = ContextVar("agents_app_reporter")


def report(step: Step) -> None:
    """Tell what the run around the caller just did."""
    if (tell := reporter.get(None)) is not None:
        tell(step)


class Activity:
    """Turns a run's items into steps. `hidden_tools` are the client's own: it learns of them anyway.

    `hidden_calls` are the ids of calls that it made before this run.
    """

    def __init__(self, hidden_tools: frozenset[str], hidden_calls: Container[str] = ()) -> None:
        self._hidden_tools = hidden_tools
        self._hidden_calls = hidden_calls
        self._tools: dict[str, str] = {}

    def step_of(self, item: RunItem) -> Step | None:
        """What an item says that the run did; None if nothing."""
        if isinstance(item, ToolCallItem):
            name = str(_member(item.raw_item, "name") or _member(item.raw_item, "type") or "tool")
            self._tools[str(_member(item.raw_item, "call_id") or "")] = name
            if name in self._hidden_tools:
                return None
            return {"type": "tool_call", "agent": item.agent.name, "tool": name}
        if isinstance(item, ToolCallOutputItem):
            call_id = str(_member(item.raw_item, "call_id") or "")
            if call_id in self._hidden_calls:
                return None
            name = self._tools.get(call_id, "tool")
            return {"type": "tool_output", "agent": item.agent.name, "tool": name}
        if isinstance(item, HandoffOutputItem):
            return {"type": "handoff", "agent": item.source_agent.name, "to": item.target_agent.name}
        return None


def line_of(step: Step) -> str:
    """A step as a line of reasoning; "" for those that say nothing new to a person."""
    if step["type"] == "tool_call":
        return f"[{step['agent']}] calls {step['tool']}\n"
    if step["type"] == "handoff":
        return f"[{step['agent']}] hands over to {step['to']}\n"
    if step["type"] == "drafts":
        return f"{step['ready']} of {step['of']} drafts are ready\n"
    if step["type"] == "verdict":
        return f"The answer was checked: {step['verdict']}\n"
    return ""


def thoughts_of(item: ReasoningItem) -> str:
    """The model's own reasoning in an item."""
    parts = [*(item.raw_item.summary or ()), *(item.raw_item.content or ())]
    return "".join(part.text for part in parts)


def _member(raw: Any, name: str) -> Any:
    """Raw items are objects or dicts."""
    return raw.get(name) if isinstance(raw, dict) else getattr(raw, name, None)
