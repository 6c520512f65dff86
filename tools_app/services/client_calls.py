"""What clients ask of tools and MCP servers themselves: limits of their keys, and a line in the ledger.

What agents call is counted with their runs; this is for the doors where a tool is the whole request.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import NamedTuple, TypeVar

from gateway_project.core.context import RequestContext
from gateway_project.core.errors import GatewayError
from security_app.services.reservation import Ticket, reserve_request
from tools_app.entry import ToolEntry, ToolResult
from tools_app.errors import DENIED, FAILED, INVALID, LIMITED, NOT_FOUND, TIMEOUT, ToolError
from tools_app.mcp_entry import McpTarget
from tools_app.services.mcp_client.failures import McpBusy, McpFailure, McpTimeout
from usage_app.entry import UsageEntry
from usage_app.errors import JournalFull
from usage_app.models.record import State
from usage_app.services.ledger import ledger

logger = logging.getLogger(__name__)
KIND = "mcp"
TOOL_KIND = "tool"
CLIENT_LEFT = 499
_MAX_NAME_CHARS = 200
_STATUS = {DENIED: 403, INVALID: 400, LIMITED: 429, NOT_FOUND: 404, TIMEOUT: 504, FAILED: 502}
# What was refused before anybody was asked: it counts for nothing.
_NOTHING_DONE = (DENIED, INVALID, NOT_FOUND)
_REPORTED, _ABORTED = State.REPORTED.value, State.ABORTED.value
T = TypeVar("T")
# The leave of the request that a tool is called for by a client, where that is so: what the tool causes in
# the gateway itself, as a run of an agent, counts for the same key.
client_ticket: ContextVar[Ticket | None] = ContextVar("tools_app_client_ticket", default=None)


class Work(NamedTuple):
    """`tools/call`, `prompts/get`, … of this name, at this MCP server if it is one's."""

    operation: str
    name: str
    server: str = ""


def work_of(entry: ToolEntry) -> Work:
    """A call of a tool."""
    target = entry.prepared
    return Work("tools/call", entry.name, target.server.name if isinstance(target, McpTarget) else "")


async def accounted(
    context: RequestContext,
    work: Work,
    do: Callable[[], Awaitable[T]],
    *,
    on_ticket: Callable[[Ticket], None] | None = None,
) -> T:
    """Do it as one request of the context's key, and write down what came of it.

    Raises as `do`; RateLimited where the key's requests are used up, and JournalFull where nothing can be
    written down.
    """
    ticket = await reserve_request(context, work.name[:_MAX_NAME_CHARS])
    account = _Account(context, work, ticket)
    token = client_ticket.set(ticket)
    try:
        if on_ticket is not None:
            on_ticket(ticket)
        result = await do()
    except ToolError as error:
        account.fail(_STATUS.get(error.status, 502), error.status, counts=error.status not in _NOTHING_DONE)
        raise
    except McpFailure as error:
        account.fail(*_outcome(error))
        raise
    except asyncio.CancelledError:
        account.fail(CLIENT_LEFT, str(context.scope.reason or "cancelled")[:64])
        raise
    except GatewayError as error:
        account.fail(error.status, error.code or "")
        raise
    except BaseException:
        account.fail(500, "internal_error")
        raise
    finally:
        client_ticket.reset(token)
    account.complete("tool_error" if isinstance(result, ToolResult) and result.is_error else "")
    return result


def _outcome(error: McpFailure) -> tuple[int, str]:
    if isinstance(error, McpTimeout):
        return 504, "upstream_timeout"
    return (429, "rate_limit_exceeded") if isinstance(error, McpBusy) else (502, "upstream_failed")


class _Account:
    """One call's line, written once."""

    def __init__(self, context: RequestContext, work: Work, ticket: Ticket) -> None:
        self._context = context
        self._work = work
        self._ticket = ticket

    def complete(self, error_code: str) -> None:
        """There is a result, maybe one that tells of the tool's failure."""
        try:
            self._write(200, _REPORTED, error_code)
        finally:
            self._ticket.settle(0, 0, 0)

    def fail(self, status: int, error_code: str, *, counts: bool = True) -> None:
        """It came to nothing; the error that ended it is what the client gets, whatever the ledger says."""
        try:
            self._write(status, _ABORTED, error_code)
        except JournalFull:
            logger.exception("ledger.line_lost", extra={"request_id": f"req_{self._context.request_id.hex}"})
        finally:
            if counts:
                self._ticket.settle(0, 0, 0)
            else:
                self._ticket.release()

    def _write(self, status: int, state: str, error_code: str) -> None:
        context, principal, work = self._context, self._ticket.principal, self._work
        entry = UsageEntry(
            id=context.request_id,
            operation=work.operation,
            kind=KIND if work.server else TOOL_KIND,
            parent_id=context.parent_id,
            model=work.name[:_MAX_NAME_CHARS],
            status=status,
            state=state,
            key_id=principal.key_id,
            key_name=principal.name,
            user_id=principal.user_id,
            team_id=principal.team_id,
            organization_id=principal.organization_id,
            end_user=context.end_user,
            tags=context.tags,
            upstream=f"mcp:{work.server}" if work.server else "",
            error_code=error_code,
            cost_nano=0,
            total_ms=round(context.elapsed_ms(), 3),
            attempts=1,
            correlation_id=context.correlation_id,
        )
        ledger.append(entry)
        context.settled_call = entry
