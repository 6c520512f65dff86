"""The MCP gateway: `/mcp`, all tools that a key may use, and `/mcp/{server}`, those of one server.

Streamable HTTP of 2025-11-25 and its predecessors, with session ids or without, and the revision 2026-07-28,
which has none. docs/decisions/007-own-mcp-edge.md says why it is not the official package that serves here.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple, cast

from ninja import Router

from gateway_project.api.admission import admit
from gateway_project.api.doors import door
from gateway_project.api.exchange import Exchange
from gateway_project.api.mcp_exchange import McpExchange, as_event, not_acceptable
from gateway_project.api.mcp_streams import (
    ACCESS,
    ProgressEvents,
    follow_changes,
    is_progress_token,
    told_by_id,
    told_to,
)
from gateway_project.api.reload import reloaded_snapshot
from gateway_project.core.errors import InvalidRequest, MethodNotAllowed, NotFound
from security_app.services.denials import note_denial
from tools_app.mcp_entry import McpServerEntry
from tools_app.registry import servers_of
from tools_app.services.mcp_gateway.asked import Asked
from tools_app.services.mcp_gateway.calls import Denied
from tools_app.services.mcp_gateway.changes import marks_of
from tools_app.services.mcp_gateway.envelope import check_envelope, check_version
from tools_app.services.mcp_gateway.methods import answer, chosen_version
from tools_app.services.mcp_gateway.offer import Offer
from tools_app.services.mcp_gateway.protocol import (
    INVALID_REQUEST,
    MODERN,
    REQUEST_CANCELLED,
    SUBSCRIPTION_KEY,
    UNNAMED,
    Rpc,
    RpcError,
    RpcId,
    notification_body,
    read_message,
    result_body,
)
from tools_app.services.mcp_gateway.running import CANCELLED, running
from tools_app.services.mcp_gateway.sessions import LIFETIME_S, Session, UnknownSession, sessions

router = Router(tags=["MCP"])
SESSION_HEADER = b"mcp-session-id"
# `/mcp/tools/list` and `/mcp/tools/call` are routes of their own, so no server has this name in a path.
RESERVED = ("tools",)
# Methods that somebody else is asked for, and that may take a while.
_ASKING = ("tools/call", "prompts/get", "resources/read", "completion/complete")
_NOT_WITHOUT_SESSION = "Name the session that is to end, in Mcp-Session-Id."
_KINDS_OF_CHANGE = {
    "toolsListChanged": "tools",
    "promptsListChanged": "prompts",
    "resourcesListChanged": "resources",
}
_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "description": "One JSON-RPC 2.0 message of the Model Context Protocol.",
                    "required": ["jsonrpc", "method"],
                    "properties": {
                        "jsonrpc": {"const": "2.0"},
                        "id": {"type": ["string", "integer"]},
                        "method": {"type": "string"},
                        "params": {"type": "object"},
                    },
                }
            }
        },
    },
    "responses": {
        "200": {"description": "The answer, as JSON or as the last of a stream of events."},
        "202": {"description": "A notification, or a response, was taken."},
    },
}


class _Here(NamedTuple):
    """A door, as a request came to it. `server` is "" at the door of everything."""

    server: str
    offer: Offer
    session: Session | None


async def post_message(exchange: Exchange) -> None:
    """One message of a client: a request is answered, as JSON or by events, everything else taken (202)."""
    own = cast("McpExchange", exchange)
    own.check_browser()
    own.check_post()
    body = await own.read_body()
    try:
        await _take(own, body)
    except Denied as error:
        note_denial(
            own.holder, "insufficient_permissions", f"MCP {error.what}", token=own.token(), ip=own.client_ip
        )
        await own.send_rpc_error(error)
    except RpcError as error:
        await own.send_rpc_error(error)


async def open_stream(exchange: Exchange) -> None:
    """Messages of the gateway as events: which lists changed."""
    own = cast("McpExchange", exchange)
    own.check_browser()
    if not own.names_events():
        raise not_acceptable("Accept text/event-stream.")
    if own.header(b"mcp-protocol-version") == MODERN:
        raise MethodNotAllowed("This revision has subscriptions/listen instead.", headers={"allow": "POST"})
    here = await _here(own)
    version = own.header(b"mcp-protocol-version") or (here.session.version if here.session else UNNAMED)
    until = (here.session.began if here.session else time.time()) + LIFETIME_S
    first = b""
    if version == "2025-11-25":
        # Older clients can't read an event without a message.
        first = b"id: %b\ndata: \n\n" % str(marks_of(own.caller().snapshot, here.server)).encode()
    await follow_changes(own, here.server, told=told_by_id, until=until, first=first)


async def end_session(exchange: Exchange) -> None:
    """End a session: its id is good for nothing from now on."""
    own = cast("McpExchange", exchange)
    own.check_browser()
    if SESSION_HEADER not in own.headers:
        raise InvalidRequest(_NOT_WITHOUT_SESSION)
    here = await _here(own)
    if here.session is not None:
        sessions.end(here.session)
    own.status = 204
    await own.send_body(204, b"")


def _declare(
    method: str, operation: Callable[[Exchange], Awaitable[None]], summary: str, **more: Any
) -> None:
    for path, suffix, where in (("/mcp", "", ""), ("/mcp/{server}", "_of_server", " of one server")):
        documentation = {"summary": summary + where, "operation_id": f"mcp_{method.lower()}{suffix}", **more}
        door(router, method, path, access=ACCESS, exchange_type=McpExchange, **documentation)(operation)


_declare("POST", post_message, "Send a message to the MCP gateway", openapi_extra=_BODY)
_declare("GET", open_stream, "Listen to the MCP gateway")
_declare("DELETE", end_session, "End an MCP session")


async def _take(exchange: McpExchange, body: bytes) -> None:
    rpc = read_message(body)
    exchange.rpc_id = rpc.id
    stated = exchange.header(b"mcp-protocol-version")
    begins = rpc.method == "initialize" and stated != MODERN
    if stated and not begins:
        check_version(stated)
    here = await _here(exchange, begins=begins or stated == MODERN)
    if begins:
        exchange.version = chosen_version(rpc.params.get("protocolVersion"))
    else:
        exchange.version = stated or (here.session.version if here.session else UNNAMED)
    if not rpc.method or rpc.id is None:
        await _take_silently(exchange, rpc, here)
    elif exchange.is_modern:
        check_envelope(rpc, exchange.headers)
        if rpc.method == "subscriptions/listen":
            await _listen(exchange, rpc, rpc.id, here)
        else:
            await _answer(exchange, rpc, rpc.id, here)
    else:
        if begins:
            own_id = sessions.begin(exchange.caller().principal, here.server, exchange.version)
            exchange.add_header(SESSION_HEADER, own_id.encode())
        await _answer(exchange, rpc, rpc.id, here)


async def _here(exchange: McpExchange, *, begins: bool = False) -> _Here:
    """The door, if it is there for the key, and the session that the request is of."""
    context = exchange.caller()
    name = exchange.path_params.get("server", "")
    session = None
    if SESSION_HEADER in exchange.headers and not begins:
        try:
            session = sessions.read(exchange.header(SESSION_HEADER), context.principal, name)
        except UnknownSession:
            raise NotFound("There is no such session; begin another one.", code="session_not_found") from None
    server: McpServerEntry | None = None
    if name:
        server = servers_of(context.snapshot.sections).get(name)
        if server is None and name not in RESERVED and "/" not in name:
            context.snapshot = await reloaded_snapshot()
            server = servers_of(context.snapshot.sections).get(name)
    offer = Offer(context, server)
    if name and (server is None or name in RESERVED or not offer.is_there):
        # One that the key may not use does not exist for it.
        raise NotFound(f"There is no MCP server '{name[:64]}' for this key.")
    return _Here(name, offer, session)


async def _take_silently(exchange: McpExchange, rpc: Rpc, here: _Here) -> None:
    """A notification, or a response to what was never asked."""
    if exchange.is_modern and not rpc.method:
        raise RpcError(INVALID_REQUEST, "There are no requests to respond to.")
    if rpc.method == "notifications/cancelled" and not exchange.is_modern:
        running.cancel(here.session, rpc.params.get("requestId"))
    await exchange.send_accepted()


async def _answer(exchange: McpExchange, rpc: Rpc, rpc_id: RpcId, here: _Here) -> None:
    progress = None
    if rpc.method in _ASKING:
        admit()
        # For the log; an address may be content.
        if isinstance(name := rpc.params.get("name"), str):
            exchange.model_id = name[:200]
        if exchange.names_events():
            exchange.expect_stream()
            token = rpc.meta.get("progressToken")
            if is_progress_token(token) and rpc.method == "tools/call":
                progress = ProgressEvents(exchange, token)
    asked = Asked(
        rpc,
        exchange.version,
        exchange.caller(),
        here.offer,
        here.server,
        exchange.headers,
        on_progress=progress,
        on_ticket=lambda ticket: exchange.add_lines(ticket.header_lines()),
    )
    try:
        result = await _until_cancelled(exchange, asked, rpc_id, here)
        if progress is not None:
            await progress.finish()
    finally:
        if progress is not None:
            progress.close()
    await exchange.send_result(result_body(rpc_id, result))


async def _until_cancelled(exchange: McpExchange, asked: Asked, rpc_id: RpcId, here: _Here) -> dict[str, Any]:
    try:
        with running.entered(here.session, rpc_id, exchange.scope):
            result = await answer(asked)
        if exchange.scope.reason == CANCELLED:
            # It was done when the client gave it up: the cancellation is still on its way.
            await asyncio.sleep(0)
    except asyncio.CancelledError:
        if exchange.scope.reason != CANCELLED:
            raise
        exchange.scope.absorb()
        raise RpcError(REQUEST_CANCELLED, "Request cancelled") from None
    return result


async def _listen(exchange: McpExchange, rpc: Rpc, rpc_id: RpcId, here: _Here) -> None:
    """A subscription of the modern revision: its answer is the stream."""
    if not exchange.names_events():
        raise not_acceptable("Accept text/event-stream.")
    wanted = rpc.params.get("notifications")
    given = wanted if isinstance(wanted, dict) else {}
    honoured = {name: True for name in _KINDS_OF_CHANGE if given.get(name) is True}
    meta = {SUBSCRIPTION_KEY: rpc_id}
    acknowledged = {"notifications": honoured, "_meta": meta}
    await follow_changes(
        exchange,
        here.server,
        told=told_to(rpc_id, {_KINDS_OF_CHANGE[name] for name in honoured}),
        until=time.time() + LIFETIME_S,
        first=as_event(notification_body("notifications/subscriptions/acknowledged", acknowledged)),
        last=as_event(result_body(rpc_id, {"resultType": "complete", "_meta": meta})),
    )
