"""A run that waits for the client's tools as JSON text, and such a text as a run that goes on.

The text is the SDK's own RunState. It holds prompts and may hold calls that were allowed: it comes from our
storage only, never from a client.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from agents import Agent, RunResult, RunResultStreaming, RunState
from agents_app.entry import AgentEntry
from agents_app.sdk.client_tools import ClientTools
from agents_app.sdk.convert import Item
from gateway_project.core.codec import dumps_loosely, loads_loosely

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SavedRun:
    """A run to go on with. `known_items` of its items were made before; `call_ids` are all that it uses."""

    state: RunState[Any, Agent[Any]]
    known_items: int
    call_ids: frozenset[str]


def state_of(result: RunResult | RunResultStreaming, tools: ClientTools, *, agent_id: str) -> str | None:
    """The state of a run that ended in calls of the client's tools; None if it can't go on from there."""
    if not all(map(tools.owns, result.interruptions)):
        return None
    try:
        return dumps_loosely(result.to_state().to_json()).decode()
    except Exception as error:  # noqa: BLE001  (what the agent's own code puts into a run may be anything)
        logger.warning("agent.state_not_kept", extra=_why(agent_id, error))
        return None


async def restored(
    text: str, agent: Agent[Any], tools: ClientTools, outputs: dict[str, str], *, entry: AgentEntry
) -> SavedRun | None:
    """The run of a state with the client's results for all that it waits for; None if they don't belong.

    `agent` is the entry's with the client's tools. The run has all of the entry's turns from here on.
    """
    try:
        saved = loads_loosely(text.encode())
        call_ids = frozenset(_call_ids(saved))
        saved["max_turns"] = saved["current_turn"] + entry.max_turns
        known_items = len(saved["session_items"])
        state = await RunState.from_json(agent, saved)
    except Exception as error:  # noqa: BLE001  (the SDK may be another, and tools' `is_enabled` is any code)
        logger.warning("agent.state_not_read", extra=_why(entry.id, error))
        return None
    pending = state.get_interruptions()
    if {one.call_id for one in pending} != set(outputs) or not all(map(tools.owns, pending)):
        return None
    for one in pending:
        state.approve(one)
    tools.outputs.update(outputs)
    return SavedRun(state, known_items, call_ids)


def last_outputs(items: list[Item]) -> dict[str, str]:
    """The results of tools at the end of a conversation, by call id."""
    outputs: dict[str, str] = {}
    for item in reversed(items):
        if item.get("type") != "function_call_output":
            break
        outputs[item["call_id"]] = item["output"]
    return outputs


def _call_ids(value: Any) -> Iterator[str]:
    """All values of members `call_id`, however deep."""
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            if isinstance(call_id := one.get("call_id"), str):
                yield call_id
            waiting.extend(one.values())
        elif isinstance(one, list):
            waiting.extend(one)


def _why(agent_id: str, error: Exception) -> dict[str, str]:
    """Errors of the SDK may quote what is in a state, so the log names their type alone."""
    return {"agent": agent_id, "reason": type(error).__name__}
