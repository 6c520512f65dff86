"""The one door to tools: whoever calls one, the same rules hold, and the same is told of it.

Everything is read from the request's snapshot; there is no database on this way.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Mapping
from time import perf_counter
from typing import Any

from gateway_project.core.codec import loads
from gateway_project.core.context import RequestContext
from gateway_project.core.errors import GatewayError
from gateway_project.core.ids import public_id
from security_app.registry.authorizers import ABOUT_TOOLS
from security_app.services.authorizing import ask_for_use, is_asked
from security_app.services.permissions import decide_tool
from security_app.services.reservation import reserve_tool
from tools_app.entry import PartialText, Progress, ToolCall, ToolEntry, ToolResult
from tools_app.errors import DENIED, FAILED, INVALID, LIMITED, NOT_FOUND, TIMEOUT, ToolError
from tools_app.kinds import find_kind
from tools_app.registry import tools_of
from tools_app.services.observation import GATEWAY, observe_tool

logger = logging.getLogger(__name__)
OK = "ok"
CANCELLED = "cancelled"
_MAX_ARGUMENT_CHARS = 256 * 1024


def usable_tool(context: RequestContext, name: str, *, agent: str = "") -> ToolEntry | None:
    """A tool that this request's key may use, through this agent; None if there is none of this name."""
    entry = tools_of(context.snapshot.sections).get(name)
    if (
        entry is None
        or not decide_tool(context.principal, name, ip=context.client_ip, agent=agent).is_allowed
    ):
        return None
    return entry


def usable_tools(context: RequestContext, *, agent: str = "") -> list[str]:
    """The names of all tools that this request's key may use, through this agent."""
    names = tools_of(context.snapshot.sections)
    return [name for name in names if usable_tool(context, name, agent=agent) is not None]


async def call_tool(
    context: RequestContext,
    name: str,
    arguments: Mapping[str, Any] | str,
    *,
    call_id: str,
    agent: str = "",
    source: str = GATEWAY,
) -> str:
    """Call a tool for a request; `arguments` is an object, or its JSON text as models write it.

    Returns the result as text, cut at the tool's limit. Raises ToolError, whose text is fit for a model.
    """
    entry = tools_of(context.snapshot.sections).get(name)
    if entry is None:
        observe_tool(
            name,
            kind="",
            source=source,
            status=NOT_FOUND,
            latency_ms=0.0,
            request_id=context.request_id,
            agent=agent,
        )
        raise ToolError(f"there is no tool '{name[:64]}'", status=NOT_FOUND)
    result = await call(entry, arguments, context, call_id=call_id, agent=agent, source=source)
    if result.is_error:
        raise ToolError(result.text or "the tool failed")
    return result.text


async def call(
    entry: ToolEntry,
    arguments: Mapping[str, Any] | str,
    context: RequestContext,
    *,
    call_id: str = "",
    agent: str = "",
    source: str = GATEWAY,
    on_progress: Progress | None = None,
) -> ToolResult:
    """Call a tool of the request's snapshot, and keep all that it answered.

    Who may, arguments, limits, time, log and metrics are here and nowhere else. Raises ToolError for what
    came to nothing; what the tool itself says of its failure is a result with `is_error`.
    """
    started = perf_counter()
    status = OK
    try:
        _require_tool(context, entry.name, agent)
        given = _object(arguments)
        # Once more, as rules may ask what the tool is called with.
        _require_tool(context, entry.name, agent, given)
        entry.check_arguments(given)
        if is_asked(ABOUT_TOOLS):
            await _ask_authorizers(context, entry.name, agent)
        result = await _limited(ToolCall(context, entry, given, call_id, agent, on_progress))
        status = FAILED if result.is_error else OK
        return result
    except ToolError as error:
        status = error.status
        raise
    except asyncio.CancelledError:
        status = CANCELLED
        raise
    finally:
        observe_tool(
            entry.name,
            kind=entry.kind,
            source=source,
            status=status,
            latency_ms=(perf_counter() - started) * 1000,
            request_id=context.request_id,
            agent=agent,
        )


async def _limited(call: ToolCall) -> ToolResult:
    """A call that came so far counts, whatever becomes of it."""
    try:
        ticket = await reserve_tool(call.context, call.tool.name)
    except GatewayError as error:
        raise ToolError(f"the tool can't be called now: {error.message}", status=LIMITED) from error
    try:
        return await _invoked(call)
    finally:
        ticket.settle(0, 0, 0)


def _require_tool(
    context: RequestContext, name: str, agent: str, arguments: Mapping[str, Any] | None = None
) -> None:
    decision = decide_tool(context.principal, name, ip=context.client_ip, agent=agent, arguments=arguments)
    if not decision.is_allowed:
        raise ToolError(f"this key may not use the tool '{name}'", status=DENIED)


async def _ask_authorizers(context: RequestContext, name: str, agent: str) -> None:
    try:
        await ask_for_use(context, ABOUT_TOOLS, "tool", name, agent=agent)
    except GatewayError as error:
        raise ToolError(f"this key may not use the tool '{name}': {error.message}", status=DENIED) from error


async def _invoked(call: ToolCall) -> ToolResult:
    entry = call.tool
    kind = find_kind(entry.kind)
    if kind is None:
        raise ToolError("the tool is not available here")
    limit = asyncio.timeout(entry.timeout_s)
    try:
        async with limit:
            result = await kind.invoke(call)
        return _whole(result, entry.max_result_bytes)
    except ToolError:
        raise
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        # Nobody ended the call: the tool's own code did so to itself.
        raise _failed(call) from error
    except TimeoutError as error:
        if limit.expired():
            raise ToolError(
                f"the tool did not answer within {entry.timeout_s:g} s", status=TIMEOUT
            ) from error
        raise _failed(call) from error
    except Exception as error:
        raise _failed(call) from error


def _failed(call: ToolCall) -> ToolError:
    """Inside of `except`. What the tool says of its failure is for the log alone."""
    request_id = public_id("req", call.context.request_id)
    logger.exception(
        "tool.failed", extra={"tool": call.tool.name, "agent": call.agent, "request_id": request_id}
    )
    return ToolError("the tool failed", status=FAILED)


def _object(arguments: Mapping[str, Any] | str) -> dict[str, Any]:
    if isinstance(arguments, str):
        if len(arguments) > _MAX_ARGUMENT_CHARS:
            raise ToolError("the arguments are too long", status=INVALID)
        try:
            arguments = loads(arguments) if arguments.strip() else {}
        except ValueError:
            raise ToolError("the arguments are not valid JSON", status=INVALID) from None
    if not isinstance(arguments, Mapping):
        raise ToolError("the arguments must be a JSON object", status=INVALID)
    return dict(arguments)


def _whole(result: object, limit: int) -> ToolResult:
    if isinstance(result, ToolResult):
        # Its kind knows better what of it to cut.
        return result
    text = _text(result, limit)
    return ToolResult(text, ({"type": "text", "text": text},))


def _text(result: object, limit: int) -> str:
    """The result as a model reads it: texts as they are, anything else as JSON."""
    if isinstance(result, PartialText):
        return _cut(result.text.encode("utf-8", "replace")[:limit], limit)
    if isinstance(result, bytes):
        text = result.decode("utf-8", "replace")
    elif isinstance(result, str):
        text = result
    else:
        text = json.dumps(result, ensure_ascii=False, default=str)
    # Halves of surrogate pairs are no text for anybody.
    encoded = text.encode("utf-8", "replace")
    return encoded.decode() if len(encoded) <= limit else _cut(encoded[:limit], limit)


def _cut(part: bytes, limit: int) -> str:
    return f"{part.decode('utf-8', 'ignore')}\n[The result was cut after {limit} bytes.]"
