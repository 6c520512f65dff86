"""Trying a tool out: an administrator's call, through the same door as every other one."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from time import perf_counter
from typing import Any, cast

from gateway_project.core.context import RequestContext
from gateway_project.core.deadline import CallScope
from gateway_project.core.snapshot import Snapshot
from security_app.registry import KeyPolicy, Principal
from security_app.registry.limits import SECTION as LIMITS
from security_app.services.configuration import store
from tools_app.errors import ToolError
from tools_app.services.call import OK, call_tool
from tools_app.services.observation import TRIAL

logger = logging.getLogger(__name__)
_CALL_ID = "call_trial"


@dataclass(frozen=True, slots=True)
class Trial:
    """What a trial came to: `result` if `status` is ok, else `error`, the text that a model would read."""

    status: str
    result: str
    error: str
    latency_ms: float


def try_tool(name: str, arguments: dict[str, Any], *, actor: str) -> Trial:
    """Call a tool as the configuration has it now; it acts as if an agent had called it. Blocks."""
    store.refresh()
    started = perf_counter()
    try:
        result, error, status = asyncio.run(_called(name, arguments, actor)), "", OK
    except ToolError as failure:
        result, error, status = "", failure.message, failure.status
    latency_ms = round((perf_counter() - started) * 1000, 3)
    logger.info("tool.tried", extra={"tool": name, "actor": actor, "status": status})
    return Trial(status, result, error, latency_ms)


async def _called(name: str, arguments: dict[str, Any], actor: str) -> str:
    # An administrator may call every tool. No limits count: their counters belong to the server's event loop,
    # and this one, in a thread of its own, must not touch them.
    principal = Principal(None, actor, "", KeyPolicy(frozenset({"inference"}), ()), 0.0, False)
    scope = CallScope(cast("asyncio.Task[object]", asyncio.current_task()))
    sections = {name: section for name, section in store.current.sections.items() if name != LIMITS}
    context = RequestContext(Snapshot(sections), scope, principal=principal)
    return await call_tool(context, name, arguments, call_id=_CALL_ID, source=TRIAL)
