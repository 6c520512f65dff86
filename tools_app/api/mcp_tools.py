"""`/v1/mcp/tools` and `/v1/mcp/registry.json`: what MCP servers have, decisions on it, what is published."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.http import HttpRequest
from ninja import Query, Router

from gateway_project.core.errors import NotFound
from gateway_project.core.ids import parse_public_id
from security_app.api.auth import actor_name, admin_key, any_key, principal_of
from security_app.api.queries import page_count, refuse_unknown_parameters
from security_app.services.configuration import store
from tools_app.mcp_schemas import (
    Change,
    Decision,
    McpToolList,
    McpToolPatch,
    ServerQuery,
    ShownMcpTool,
    ToolQuery,
)
from tools_app.models import McpServer, McpTool
from tools_app.services.mcp_approval import approve_tool, changes_of, waiting_fingerprint
from tools_app.services.mcp_groups import servers_in_group
from tools_app.services.mcp_management import find_mcp_server
from tools_app.services.mcp_published import registry
from tools_app.services.mcp_switches import reject_tool, switch_tool
from tools_app.services.states import tool_problems
from tools_app.services.tool_lists import sees_server

router = Router(tags=["MCP servers"])
_WAITING = (McpTool.State.PENDING, McpTool.State.QUARANTINED)
_ADMIN = "admin"


@router.get(
    "/v1/mcp/registry.json",
    auth=any_key,
    response=dict[str, Any],
    operation_id="mcp_registry",
    summary="The MCP servers that a key may use, as a registry",
)
def registry_json(request: HttpRequest, query: Query[ServerQuery]) -> dict[str, Any]:
    """As registries of MCP answer, with this gateway as the remote of each. Keys see what they may use."""
    refuse_unknown_parameters(request, ServerQuery)
    rows = list(McpServer.objects.filter(is_enabled=True).order_by("name"))
    if query.access_group is not None:
        held = servers_in_group(query.access_group)
        rows = [row for row in rows if row.name in held]
    principal = principal_of(request)
    if _ADMIN not in principal.policy.scopes:
        ip = request.META.get("REMOTE_ADDR") or ""
        rows = [row for row in rows if sees_server(principal, row.name, store.current, ip=ip)]
    return registry(rows, settings.PUBLIC_URL or f"{request.scheme}://{request.get_host()}")


@router.get(
    "/v1/mcp/tools",
    auth=admin_key,
    response=McpToolList,
    operation_id="list_mcp_server_tools",
    summary="List the tools of MCP servers",
)
def list_mcp_tools(request: HttpRequest, query: Query[ToolQuery]) -> McpToolList:
    """All that were found, also those that nobody is told of; `waits=true`: those to decide on."""
    refuse_unknown_parameters(request, ToolQuery)
    rows = McpTool.objects.select_related("server").order_by("exposed_name")
    if query.server is not None:
        rows = rows.filter(server=find_mcp_server(query.server))
    if query.access_group is not None:
        rows = rows.filter(server__name__in=servers_in_group(query.access_group))
    if query.state is not None:
        rows = rows.filter(state=query.state)
    if query.waits is not None:
        waiting = McpTool.objects.filter(state__in=_WAITING, is_enabled=True)
        rows = rows.filter(pk__in=waiting) if query.waits else rows.exclude(pk__in=waiting)
    total = rows.count()
    start = (query.page - 1) * query.size
    problems = tool_problems()
    return McpToolList(
        data=[_shown(row, problems) for row in rows[start : start + query.size]],
        total_count=total,
        current_page=query.page,
        total_pages=page_count(total, query.size),
    )


@router.get(
    "/v1/mcp/tools/{name}",
    auth=admin_key,
    response=ShownMcpTool,
    operation_id="get_mcp_tool",
    summary="Show a tool of an MCP server",
)
def get_mcp_tool(request: HttpRequest, name: str) -> ShownMcpTool:
    """With what changed, line by line, if a person has to decide on it."""
    refuse_unknown_parameters(request)
    return _with_changes(_found(name))


@router.patch(
    "/v1/mcp/tools/{name}",
    auth=admin_key,
    response=ShownMcpTool,
    operation_id="update_mcp_tool",
    summary="Switch a tool of an MCP server on or off",
)
def patch_mcp_tool(request: HttpRequest, name: str, body: McpToolPatch) -> ShownMcpTool:
    """Nobody is told of a tool that is off, whatever its server says of it."""
    row = switch_tool(_found(name), is_enabled=body.enabled, actor=actor_name(request))
    return _with_changes(row)


@router.post(
    "/v1/mcp/tools/{name}/approve",
    auth=admin_key,
    response=ShownMcpTool,
    operation_id="approve_mcp_tool",
    summary="Pin what the server says of a tool now",
)
def approve(request: HttpRequest, name: str, body: Decision) -> ShownMcpTool:
    """409 if the server says something else by now than what was looked at."""
    return _with_changes(approve_tool(_found(name), fingerprint=body.fingerprint, actor=actor_name(request)))


@router.post(
    "/v1/mcp/tools/{name}/reject",
    auth=admin_key,
    response=ShownMcpTool,
    operation_id="reject_mcp_tool",
    summary="Refuse what the server says of a tool now",
)
def reject(request: HttpRequest, name: str, body: Decision) -> ShownMcpTool:
    """The tool is off until somebody switches it on again, and waits for nobody."""
    return _with_changes(reject_tool(_found(name), fingerprint=body.fingerprint, actor=actor_name(request)))


def _found(name: str) -> McpTool:
    rows = McpTool.objects.select_related("server")
    row = rows.filter(exposed_name=name).first()
    if row is None and (tool_id := parse_public_id("mcptool", name)) is not None:
        row = rows.filter(pk=tool_id).first()
    if row is None:
        raise NotFound("There is no such tool of an MCP server.", param="name")
    return row


def _with_changes(row: McpTool) -> ShownMcpTool:
    shown = _shown(row, tool_problems())
    if row.waits:
        shown.changes = [
            Change(member=one.member, lines=list(one.lines), is_cut=one.is_cut) for one in changes_of(row)
        ]
    return shown


def _shown(row: McpTool, problems: dict[str, str]) -> ShownMcpTool:
    return ShownMcpTool(
        id=row.public_id,
        name=row.exposed_name,
        server_id=row.server.public_id,
        server_name=row.server.name,
        tool_name=row.name,
        state=row.state,  # type: ignore[arg-type]
        enabled=row.is_enabled,
        definition=row.definition,
        fingerprint=row.fingerprint,
        findings=row.findings,
        waiting_fingerprint=waiting_fingerprint(row) if row.waits and row.is_enabled else None,
        changes=None,
        problem=problems.get(row.exposed_name, ""),
        created_at=row.created_at,
        updated_at=row.updated_at,
    )
