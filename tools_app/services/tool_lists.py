"""The tools that a request may use, as MCP describes tools: filtered, and page by page."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gateway_project.core.context import RequestContext
from gateway_project.core.ids import parse_public_id, public_id
from gateway_project.core.snapshot import Snapshot
from security_app.registry import Principal
from security_app.services.permissions import decide_tool
from tools_app.entry import ToolEntry
from tools_app.mcp_definitions import SEPARATOR, exposed_name
from tools_app.mcp_entry import McpServerEntry, McpTarget
from tools_app.registry import servers_of, tools_of
from tools_app.services.call import usable_tool

MAX_PAGE = 1000


def find_server(context: RequestContext, reference: str) -> McpServerEntry | None:
    """A server of which the request may use something, by its name or its public id."""
    servers = servers_of(context.snapshot.sections)
    server = servers.get(reference)
    if server is None and (server_id := parse_public_id("mcp", reference)) is not None:
        server = next((one for one in servers.values() if one.id == server_id), None)
    return server if server is not None and may_see(context, server.name) else None


def may_see(context: RequestContext, server: str) -> bool:
    """Whether the request may use all tools of a server at once, or some that it has."""
    return sees_server(context.principal, server, context.snapshot, ip=context.client_ip)


def sees_server(principal: Principal, server: str, snapshot: Snapshot, *, ip: str) -> bool:
    """Whether a principal may use all tools of a server at once, or some that it has."""
    prefix = f"{server}{SEPARATOR}"
    if decide_tool(principal, f"{prefix}*", ip=ip).is_allowed:
        return True
    names = (name for name in tools_of(snapshot.sections) if name.startswith(prefix))
    return any(decide_tool(principal, name, ip=ip).is_allowed for name in names)


def listed_tools(
    context: RequestContext, *, server: McpServerEntry | None = None, after: str = "", limit: int = MAX_PAGE
) -> tuple[list[ToolEntry], str]:
    """A page of tools by name, those behind `after`, and where the next page begins; "" if there is none."""
    found: list[ToolEntry] = []
    for name in sorted(_names(context, server)):
        if name <= after:
            continue
        entry = usable_tool(context, name)
        if entry is None:
            continue
        if len(found) == limit:
            return found, found[-1].name
        found.append(entry)
    return found, ""


def find_listed(context: RequestContext, name: str, server: McpServerEntry | None) -> ToolEntry | None:
    """A tool by its name in the catalogue; of a server also by the name that it has there.

    Whether the request may use it is for the call to say.
    """
    tools = tools_of(context.snapshot.sections)
    if server is None:
        return tools.get(name)
    for candidate in (name, exposed_name(server.name, name), exposed_name(server.name, name, is_taken=True)):
        entry = tools.get(candidate)
        if entry is not None and _is_of(entry, server) and name in (candidate, entry.prepared.tool):
            return entry
    return None


def described(entry: ToolEntry) -> dict[str, Any]:
    """A tool as MCP lists it, with `mcp_info`: the server that it is of, and its own name there."""
    target = entry.prepared
    if not isinstance(target, McpTarget):
        return {"name": entry.name, "description": entry.description, "inputSchema": entry.parameters}
    return {
        **target.definition,
        "name": entry.name,
        "description": entry.description,
        "inputSchema": entry.parameters,
        "mcp_info": {
            "server_id": public_id("mcp", target.server.id),
            "server_name": target.server.name,
            "tool_name": target.tool,
        },
    }


def _names(context: RequestContext, server: McpServerEntry | None) -> Iterator[str]:
    for name, entry in tools_of(context.snapshot.sections).items():
        if server is None or _is_of(entry, server):
            yield name


def _is_of(entry: ToolEntry, server: McpServerEntry) -> bool:
    return isinstance(entry.prepared, McpTarget) and entry.prepared.server.id == server.id
