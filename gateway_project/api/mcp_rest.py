"""Tools over plain HTTP: the list that a key may see, and calls with MCP's results whole.

For programs that speak no MCP. LiteLLM's paths (`/mcp-rest/…`) and shorter ones lead to the same.
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple
from urllib.parse import parse_qs

from ninja import Router

from gateway_project.api.admission import admit
from gateway_project.api.doors import door
from gateway_project.api.exchange import Exchange
from gateway_project.api.openapi_tools import CALL_TOOL, LIST_TOOLS
from gateway_project.api.reload import reloaded_snapshot
from gateway_project.core.codec import dumps, dumps_loosely, loads
from gateway_project.core.context import RequestContext
from gateway_project.core.errors import (
    GatewayError,
    InvalidRequest,
    NotFound,
    PayloadTooLarge,
    PermissionDenied,
    RateLimited,
    UpstreamFailed,
    UpstreamTimeout,
)
from gateway_project.core.ids import public_id
from tools_app.entry import ToolEntry, ToolResult
from tools_app.errors import DENIED, INVALID, LIMITED, NOT_FOUND, TIMEOUT, ToolError
from tools_app.mcp_entry import McpServerEntry
from tools_app.registry import servers_of
from tools_app.services.call import call
from tools_app.services.client_calls import accounted, work_of
from tools_app.services.observation import GATEWAY, observe_tool
from tools_app.services.server_states import STATUS_OF, UNHEALTHY, UNKNOWN, server_states
from tools_app.services.tool_lists import MAX_PAGE, described, find_listed, find_server, listed_tools, may_see

router = Router(tags=["MCP"])
# How a server may be named: as we say it, and as LiteLLM does.
_SERVER_NAMES = ("server", "server_id", "server_name", "mcp_server_name")
_MAX_NAME_CHARS = 300
_MAX_PARAMETERS = 20
# As models' calls, whose arguments are bounded alike.
_MAX_BODY_BYTES = 256 * 1024
# A page of definitions that are as large as they may be would be a hundred megabytes.
_MAX_PAGE_BYTES = 4 * 1024 * 1024


@door(router, "GET", "/mcp/tools/list", access="inference", operation_id="list_mcp_tools", **LIST_TOOLS)
async def list_tools(exchange: Exchange) -> None:
    """Every tool that this key may use, those of MCP servers and the gateway's own.

    Servers that don't answer now are named; what they listed before is shown as it was.
    """
    await _answer_list(exchange)


@door(router, "GET", "/mcp-rest/tools/list", access="inference", include_in_schema=False)
async def list_tools_by_other_path(exchange: Exchange) -> None:
    """As `/mcp/tools/list`, under LiteLLM's path."""
    await _answer_list(exchange)


@door(router, "POST", "/mcp/tools/call", access="inference", operation_id="call_mcp_tool", **CALL_TOOL)
async def call_tool(exchange: Exchange) -> None:
    """Call a tool. What the tool itself says of its failure is a result with `isError`."""
    await _answer_call(exchange)


@door(router, "POST", "/mcp-rest/tools/call", access="inference", include_in_schema=False)
async def call_tool_by_other_path(exchange: Exchange) -> None:
    """As `/mcp/tools/call`, under LiteLLM's path."""
    await _answer_call(exchange)


async def _answer_list(exchange: Exchange) -> None:
    asked = _query(exchange.query)
    context = exchange.caller()
    server = await _server(context, asked.pop("server", ""))
    limit = _limit(asked.pop("limit", None))
    tools, after = listed_tools(context, server=server, after=asked.pop("cursor", ""), limit=limit)
    servers = await _statuses(context, server)
    away = [one["server_name"] for one in servers if one["status"] == UNHEALTHY]
    shown, cut_after = _shown_tools(tools)
    answer: dict[str, Any] = {
        "error": "partial_failure" if away else None,
        "message": f"These servers don't answer now: {', '.join(away)}." if away else None,
        "servers": servers,
    }
    if after := cut_after or after:
        answer["nextCursor"] = after
    await exchange.send_body(200, b'{"tools":[%b],%b' % (b",".join(shown), dumps(answer)[1:]))


def _shown_tools(tools: list[ToolEntry]) -> tuple[list[bytes], str]:
    """As JSON, as many as a page may hold; behind which tool it was cut, "" if it was not."""
    shown: list[bytes] = []
    size = 0
    for index, tool in enumerate(tools):
        piece = dumps_loosely(described(tool))
        size += len(piece)
        if shown and size > _MAX_PAGE_BYTES:
            return shown, tools[index - 1].name
        shown.append(piece)
    return shown, ""


async def _statuses(context: RequestContext, server: McpServerEntry | None) -> list[dict[str, str]]:
    """The servers that the list is of, and whether each answers."""
    servers = [server] if server is not None else list(servers_of(context.snapshot.sections).values())
    states = await server_states.current() if servers else {}
    return [
        {
            "server_id": public_id("mcp", one.id),
            "server_name": one.name,
            "status": STATUS_OF.get(states.get(one.id, ""), UNKNOWN),
        }
        for one in servers
        if one is server or may_see(context, one.name)
    ]


async def _answer_call(exchange: Exchange) -> None:
    admit()
    body = await exchange.read_body()
    if len(body) > _MAX_BODY_BYTES:
        raise PayloadTooLarge(f"A call of a tool has at most {_MAX_BODY_BYTES} bytes.")
    asked = _asked(body)
    context = exchange.caller()
    entry = await _found(context, asked)
    exchange.model_id = entry.name
    work = partial(call, entry, asked.arguments, context)
    try:
        result = await accounted(
            context,
            work_of(entry),
            work,
            on_ticket=lambda ticket: exchange.add_lines(ticket.header_lines()),
        )
    except ToolError as error:
        raise _refusal(error) from error
    await exchange.send_body(200, dumps_loosely(_shown(result)))


class _Asked(NamedTuple):
    name: str
    server: str
    arguments: dict[str, Any]


def _asked(body: bytes) -> _Asked:
    """What a call's body says; InvalidRequest names the field that is wrong."""
    try:
        fields = loads(body)
    except ValueError as error:
        raise InvalidRequest("The body is not valid JSON.") from error
    if not isinstance(fields, dict):
        raise InvalidRequest("The body must be a JSON object.")
    name = fields.pop("name", None)
    if not isinstance(name, str) or not 0 < len(name) <= _MAX_NAME_CHARS:
        raise InvalidRequest("name: give the name of a tool.", param="name")
    arguments = fields.pop("arguments", None)
    if arguments is not None and not isinstance(arguments, dict):
        raise InvalidRequest("arguments: give an object.", param="arguments")
    given = [field for field in _SERVER_NAMES if field in fields]
    server = fields.pop(given[0]) if given else ""
    if server is None:
        server = ""
    if not isinstance(server, str) or (given and len(server) > _MAX_NAME_CHARS):
        raise InvalidRequest(f"{given[0]}: give a server's name or id.", param=given[0])
    for field in fields:
        raise InvalidRequest(f"Unknown field: '{field[:100]}'.", param=field[:100])
    return _Asked(name, server, arguments or {})


async def _found(context: RequestContext, asked: _Asked) -> ToolEntry:
    server = await _server(context, asked.server)
    entry = find_listed(context, asked.name, server)
    if entry is None:
        # It may have been added by another process a moment ago.
        context.snapshot = await reloaded_snapshot()
        entry = find_listed(context, asked.name, server)
    if entry is None:
        observe_tool(
            asked.name,
            kind="",
            source=GATEWAY,
            status=NOT_FOUND,
            latency_ms=0.0,
            request_id=context.request_id,
        )
        of = f" of the server '{server.name}'" if server is not None else ""
        raise NotFound(f"There is no tool '{asked.name[:64]}'{of}.", param="name", code="tool_not_found")
    return entry


async def _server(context: RequestContext, reference: str) -> McpServerEntry | None:
    """The server that is named, None if none is. A key is not told of those that it may not use."""
    if not reference:
        return None
    server = find_server(context, reference)
    if server is None:
        context.snapshot = await reloaded_snapshot()
        server = find_server(context, reference)
    if server is None:
        raise NotFound(
            f"There is no MCP server '{reference[:100]}'.", param="server", code="server_not_found"
        )
    return server


def _shown(result: ToolResult) -> dict[str, Any]:
    """MCP's `CallToolResult`."""
    shown: dict[str, Any] = {"content": list(result.content), "isError": result.is_error}
    if result.structured is not None:
        shown["structuredContent"] = result.structured
    return shown


def _refusal(error: ToolError) -> GatewayError:
    """What came to nothing, as an answer of HTTP."""
    if error.status == DENIED:
        return PermissionDenied(_sentence(error), param="name", code="tool_access_denied")
    if error.status == INVALID:
        param = f"arguments.{error.argument}" if error.argument else "arguments"
        return InvalidRequest(_sentence(error), param=param, code="invalid_arguments")
    if error.status == LIMITED:
        reason = error.__cause__
        if isinstance(reason, GatewayError):
            return reason
        return RateLimited(_sentence(error), headers={"retry-after": "1"})
    if error.status == TIMEOUT:
        return UpstreamTimeout(_sentence(error), code="tool_timeout")
    return UpstreamFailed(_sentence(error), code="tool_failed")


def _sentence(error: ToolError) -> str:
    return f"{error.message[:1].upper()}{error.message[1:]}" if not error.argument else error.message


def _query(query: bytes) -> dict[str, str]:
    """`server`, `cursor` and `limit` of a query string; anything else, or twice the same, is an error."""
    found: dict[str, str] = {}
    try:
        given = parse_qs(query.decode("latin-1"), keep_blank_values=True, max_num_fields=_MAX_PARAMETERS)
    except ValueError as error:
        raise InvalidRequest("The query has too many parameters.") from error
    for name, values in given.items():
        known = "server" if name in _SERVER_NAMES else name
        if known not in ("server", "cursor", "limit"):
            raise InvalidRequest(f"Unknown query parameter: '{name[:100]}'.", param=name[:100])
        if len(values) > 1 or known in found:
            raise InvalidRequest(f"'{name}' is given more than once.", param=name)
        if len(values[0]) > _MAX_NAME_CHARS:
            raise InvalidRequest(f"'{name}' is too long.", param=name)
        found[known] = values[0]
    return found


def _limit(text: str | None) -> int:
    if text is None:
        return MAX_PAGE
    if not (text.isascii() and text.isdigit()) or len(text) > 4 or not 1 <= int(text) <= MAX_PAGE:
        raise InvalidRequest(f"limit: expected a number from 1 to {MAX_PAGE}.", param="limit")
    return int(text)
