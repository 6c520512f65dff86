"""One connection to an MCP server by the SDK: the transport, the credentials, the handshake.

The only module that opens one. The SDK is imported here, so this is imported where there is a server.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import httpx2
from django.conf import settings
from mcp import Client
from mcp.client.session import MessageHandlerFnT
from mcp.client.sse import sse_client
from mcp.client.streamable_http import streamable_http_client
from mcp_types import Implementation

from tools_app.mcp_entry import DEFAULT_KEY_HEADER, McpServerEntry
from tools_app.models import McpServer
from tools_app.services.mcp_client.guarded_http import MAX_EVENT_BYTES, guarded_client
from tools_app.services.mcp_client.stdio import stdio_streams
from tools_app.services.mcp_client.tokens import ClientCredentials, token_source

# How long an SSE connection may say nothing: servers send comments, and the health loop asks.
_QUIET_S = 3600.0


@asynccontextmanager
async def opened(
    server: McpServerEntry, *, on_end: Callable[[], None], on_message: MessageHandlerFnT | None = None
) -> AsyncIterator[Client]:
    """An open session, after the handshake. Must be entered and left in the same task.

    `on_end` is told when the other end is gone, as far as the transport can know.

    Raises whatever the SDK does, in groups or not: `failures.reason_of` finds words for it. How long opening
    may take is for the caller to say.
    """
    if server.auth == McpServer.Auth.CLIENT_CREDENTIALS:
        # That there is no token is told here; later it would be the server that refuses.
        await token_source(server).token()
    # Over SSE and stdio there are servers that never answer what they do not know, as the newer probe is.
    mode = "auto" if server.transport == McpServer.Transport.HTTP else "legacy"
    client = Client(
        _transport(server, on_end),
        mode=mode,
        message_handler=on_message,
        client_info=Implementation(name="agent-gateway", version=settings.VERSION),
        cache=None,
    )
    async with client:
        yield client


def _transport(server: McpServerEntry, on_end: Callable[[], None]) -> AbstractAsyncContextManager[Any]:
    if server.transport == McpServer.Transport.HTTP:
        return _streamable_http(server)
    return stdio_streams(server, on_end=on_end) if server.is_stdio else _sse(server)


@asynccontextmanager
async def _streamable_http(server: McpServerEntry) -> AsyncIterator[Any]:
    async with (
        _http(server) as http,
        streamable_http_client(server.url, http_client=http, max_sse_event_size=MAX_EVENT_BYTES) as streams,
    ):
        yield streams


@asynccontextmanager
async def _sse(server: McpServerEntry) -> AsyncIterator[Any]:
    def factory(
        headers: dict[str, str] | None = None,
        timeout: httpx2.Timeout | None = None,
        auth: httpx2.Auth | None = None,
    ) -> httpx2.AsyncClient:
        return _http(server)

    async with sse_client(server.url, sse_read_timeout=_QUIET_S, httpx_client_factory=factory) as streams:
        yield streams


def _http(server: McpServerEntry) -> httpx2.AsyncClient:
    headers = httpx2.Headers(list(server.headers))
    if server.auth == McpServer.Auth.API_KEY:
        headers[server.auth_name or DEFAULT_KEY_HEADER] = server.secret
    elif server.auth == McpServer.Auth.BEARER:
        headers["authorization"] = f"Bearer {server.secret}"
    elif server.auth == McpServer.Auth.BASIC:
        pair = f"{server.auth_name}:{server.secret}".encode()
        headers["authorization"] = f"Basic {b64encode(pair).decode()}"
    is_oauth = server.auth == McpServer.Auth.CLIENT_CREDENTIALS
    auth = ClientCredentials(token_source(server)) if is_oauth else None
    return guarded_client(server.url, headers=headers, auth=auth, connect_timeout_s=server.connect_timeout_s)
