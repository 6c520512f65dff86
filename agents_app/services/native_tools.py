"""Tools that agents' code brings along, told of as those of the registry are: when their run is over.

The SDK calls them, in whichever process the agent runs; what is known of the calls are the run's steps.
"""

from __future__ import annotations

from time import perf_counter
from uuid import UUID

from agents_app.trace import AGENT, CANCELLED, TOOL, Recorder
from tools_app.services.observation import FUNCTION, SDK, observe_tool


def observe_native_tools(trace: Recorder, *, request_id: UUID, agent: str) -> None:
    """Tell of each call of a tool that is no tool of the registry, nor the client's."""
    callers = {step.parent for step in trace.steps if step.kind == AGENT}
    for step in trace.steps:
        if step.kind != TOOL or step.name in trace.gateway_tools:
            continue
        ended = step.ended if step.ended is not None else perf_counter()
        observe_tool(
            step.name,
            request_id=request_id,
            status=step.status if step.ended is not None else CANCELLED,
            latency_ms=(ended - step.started) * 1000,
            kind=AGENT if step.key in callers else FUNCTION,
            source=SDK,
            agent=agent,
        )
