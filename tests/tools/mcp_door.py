"""The doors of the MCP gateway inside of the test's process: one request of a key, by bare ASGI."""

from __future__ import annotations

import asyncio
import json
from typing import Any, NamedTuple

from gateway_project.api import all_doors
from gateway_project.api.exchange import Message
from gateway_project.api.mcp_exchange import McpExchange
from gateway_project.api_handler import _send_error
from gateway_project.core.context import RequestContext
from gateway_project.core.deadline import CallScope
from gateway_project.core.errors import GatewayError
from gateway_project.core.snapshot import Section, Snapshot
from security_app.registry import Principal
from tests.tools.setup import principal
from tools_app.entry import ToolEntry
from tools_app.mcp_catalogue import mcp_tool_entry
from tools_app.mcp_definitions import exposed_name, fingerprint_of
from tools_app.mcp_entry import McpServerEntry, server_entry
from tools_app.models import McpServer, McpTool
from tools_app.registry import ToolsConfig

BOTH = {"accept": "application/json, text/event-stream", "content-type": "application/json"}
ANY = {"type": "object"}


class Answer(NamedTuple):
    """What the client got: `json` of the body, or of the last event."""

    status: int
    headers: dict[str, str]
    json: Any

    @property
    def error(self) -> dict[str, Any]:
        """The error that it is."""
        found: dict[str, Any] = self.json["error"]
        return found

    @property
    def result(self) -> dict[str, Any]:
        """The result that it is."""
        assert "result" in self.json, self.json
        found: dict[str, Any] = self.json["result"]
        return found


def server(name: str, url: str = "http://127.0.0.1:9/mcp") -> McpServerEntry:
    """A server as calls need it."""
    return server_entry(McpServer(name=name, url=url))


def found(of: McpServerEntry, name: str, parameters: dict[str, Any] | None = None) -> ToolEntry:
    """A tool that was found at a server."""
    definition = {"name": name, "description": f"Does {name}.", "inputSchema": parameters or ANY}
    row = McpTool(
        server_id=of.id,
        name=name,
        exposed_name=exposed_name(of.name, name),
        definition=definition,
        fingerprint=fingerprint_of(definition),
    )
    return mcp_tool_entry(of, row)


def configuration(*tools: ToolEntry, servers: tuple[McpServerEntry, ...] = ()) -> Snapshot:
    """A configuration with these tools and servers."""
    config = ToolsConfig({one.name: one for one in tools}, {one.name: one for one in servers})
    return Snapshot({"tools": Section(config, 1)})


async def ask(
    snapshot: Snapshot,
    message: Any,
    path: str = "/mcp",
    *,
    method: str = "POST",
    headers: dict[str, str] | None = None,
    caller: Principal | None = None,
    raw: bytes | None = None,
    twice: str = "",
) -> Answer:
    """One request; what the handler does about entry has tests of its own."""
    sent: list[Message] = []
    received = [{"type": "http.request", "body": raw if raw is not None else json.dumps(message).encode()}]

    async def receive() -> Message:
        if received:
            return received.pop()
        left: Message = await asyncio.get_running_loop().create_future()
        return left

    async def send(part: Message) -> None:
        sent.append(part)

    task = asyncio.current_task()
    assert task is not None
    shown = [(name.encode(), value.encode()) for name, value in (BOTH | (headers or {})).items()]
    shown += [(name, value) for name, value in shown if name.decode() == twice]
    http = {"type": "http", "method": method, "path": path, "query_string": b"", "headers": shown}
    exchange = McpExchange(http, receive, send, CallScope(task))
    match = all_doors().find(path)
    assert match is not None
    exchange.path_params = match.params
    exchange.holder = caller or principal()
    exchange.context = RequestContext(
        snapshot, exchange.scope, request_id=exchange.request_id, principal=exchange.holder
    )
    try:
        await match.methods[method].operation(exchange)
    except GatewayError as error:
        await _send_error(exchange, error)
    finally:
        exchange.close()
    body = b"".join(part.get("body", b"") for part in sent[1:])
    if b"data: " in body:
        body = body.rpartition(b"data: ")[2]
    answered = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return Answer(sent[0]["status"], answered, json.loads(body) if body else None)


def request(method: str, rpc_id: int | str = 1, **params: Any) -> dict[str, Any]:
    """A request of a revision with sessions."""
    return {"jsonrpc": "2.0", "id": rpc_id, "method": method, "params": params}


def modern(method: str, **params: Any) -> tuple[dict[str, Any], dict[str, str]]:
    """A request of 2026-07-28, and its headers."""
    version = "2026-07-28"
    meta = {
        "io.modelcontextprotocol/protocolVersion": version,
        "io.modelcontextprotocol/clientCapabilities": {},
    }
    headers = {"mcp-protocol-version": version, "mcp-method": method}
    if name := params.get("name") or params.get("uri"):
        headers["mcp-name"] = name
    return request(method, **params, _meta=meta), headers
