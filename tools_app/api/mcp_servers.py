"""`/v1/mcp/server`: MCP servers, in LiteLLM's shapes."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from django.http import HttpRequest
from ninja import Query, Router, Status

from gateway_project.core.errors import InvalidRequest
from security_app.api.auth import actor_name, admin_key
from security_app.api.queries import refuse_unknown_parameters
from tools_app.api.mcp_fields import (
    changes_of_body,
    named_as_in_bodies,
    shown_health,
    shown_server,
    shown_servers,
)
from tools_app.mcp_schemas import (
    AccessGroups,
    DeletedServer,
    NewServer,
    ServerFields,
    ServerHealth,
    ServerPatch,
    ServerPut,
    ServerQuery,
    ServerUpdate,
    ShownServer,
    TestedServer,
)
from tools_app.models import McpServer
from tools_app.services.mcp_groups import groups_of_servers, servers_in_group
from tools_app.services.mcp_management import delete_mcp_server, find_mcp_server
from tools_app.services.mcp_rows import create_in_groups, update_in_groups
from tools_app.services.mcp_trial import connect_and_list

router = Router(tags=["MCP servers"])
_MAX_IDS = 100


@router.get(
    "/v1/mcp/server",
    auth=admin_key,
    response=list[ShownServer],
    operation_id="list_mcp_servers",
    summary="List MCP servers",
)
def list_servers(request: HttpRequest, query: Query[ServerQuery]) -> list[ShownServer]:
    """All of them by name, also those that are off, each with its state."""
    refuse_unknown_parameters(request, ServerQuery)
    rows = McpServer.objects.order_by("name")
    if query.access_group is not None:
        rows = rows.filter(name__in=servers_in_group(query.access_group))
    return shown_servers(rows)


@router.post(
    "/v1/mcp/server",
    auth=admin_key,
    response={201: ShownServer},
    operation_id="create_mcp_server",
    summary="Add an MCP server",
)
def add_server(request: HttpRequest, body: NewServer) -> Status[ShownServer]:
    """It is connected to at once; what it lists is pinned as it is then."""
    name = body.server_name or body.alias
    if name is None:
        raise InvalidRequest("Give the server a name.", param="server_name")
    values = changes_of_body(body) | {"name": name}
    groups = body.mcp_access_groups or []
    with named_as_in_bodies():
        row = create_in_groups(actor=actor_name(request), groups=groups, **values)
    return Status(201, shown_server(row))


@router.put(
    "/v1/mcp/server",
    auth=admin_key,
    response=ShownServer,
    operation_id="replace_mcp_server",
    summary="Change an MCP server (id in the body)",
)
def put_server(request: HttpRequest, body: ServerUpdate) -> ShownServer:
    """As PATCH: what is left out stays. Its tools and resources are read again."""
    return _changed(request, find_mcp_server(body.server_id), body)


@router.get(
    "/v1/mcp/server/health",
    auth=admin_key,
    response=list[ServerHealth],
    operation_id="mcp_server_health",
    summary="Whether MCP servers answer",
)
def server_health(request: HttpRequest) -> list[ServerHealth]:
    """As the last look found, with its latency; nobody is asked now. `server_ids` may be repeated."""
    for name in request.GET:
        if name != "server_ids":
            raise InvalidRequest(f"Unknown query parameter: '{name[:100]}'.", param=name[:100])
    references = list(dict.fromkeys(request.GET.getlist("server_ids")))
    if len(references) > _MAX_IDS:
        raise InvalidRequest(f"Ask for at most {_MAX_IDS} servers.", param="server_ids")
    rows = McpServer.objects.select_related("noted_state").order_by("name")
    if references:
        rows = rows.filter(pk__in=[find_mcp_server(reference).pk for reference in references])
    return [shown_health(row) for row in rows]


@router.get(
    "/v1/mcp/server/{reference}",
    auth=admin_key,
    response=ShownServer,
    operation_id="get_mcp_server",
    summary="Show an MCP server",
)
def get_server(request: HttpRequest, reference: str) -> ShownServer:
    """By id or by name."""
    refuse_unknown_parameters(request)
    return shown_server(find_mcp_server(reference))


@router.put(
    "/v1/mcp/server/{reference}",
    auth=admin_key,
    response=ShownServer,
    operation_id="put_mcp_server",
    summary="Change an MCP server",
)
def put_server_by_path(request: HttpRequest, reference: str, body: ServerPut) -> ShownServer:
    """As PATCH: what is left out stays. Its tools and resources are read again."""
    row = find_mcp_server(reference)
    if body.server_id is not None and body.server_id not in (row.public_id, row.name):
        raise InvalidRequest("The path names another server.", param="server_id")
    return _changed(request, row, body)


@router.patch(
    "/v1/mcp/server/{reference}",
    auth=admin_key,
    response=ShownServer,
    operation_id="update_mcp_server",
    summary="Change an MCP server",
)
def patch_server(request: HttpRequest, reference: str, body: ServerPatch) -> ShownServer:
    """What is left out, or null, stays; secrets must be given again when the host or the command changes."""
    return _changed(request, find_mcp_server(reference), body)


@router.delete(
    "/v1/mcp/server/{reference}",
    auth=admin_key,
    response=DeletedServer,
    operation_id="delete_mcp_server",
    summary="Delete an MCP server",
)
def remove_server(request: HttpRequest, reference: str) -> DeletedServer:
    """With its tools, and out of its groups. Lists and rules that name them stay as they are."""
    row = find_mcp_server(reference)
    gone = DeletedServer(server_id=row.public_id, server_name=row.name)
    delete_mcp_server(row, actor=actor_name(request))
    return gone


@router.post(
    "/v1/mcp/server/{reference}/test",
    auth=admin_key,
    response=TestedServer,
    operation_id="test_mcp_server",
    summary="Connect to an MCP server now",
)
def test_server(request: HttpRequest, reference: str) -> TestedServer:
    """Connects in a session of its own and lists. A server that does not answer is no error of this route."""
    refuse_unknown_parameters(request)
    row = find_mcp_server(reference)
    found = connect_and_list(row, actor=actor_name(request))
    listing = asdict(found.listing)
    return TestedServer(
        server_id=row.public_id,
        server_name=row.name,
        status="error" if found.error else "ok",
        error=found.error or None,
        latency_ms=round(found.latency_ms, 3),
        protocol_version=listing["protocol_version"],
        software=listing["software"],
        tools=listing["tools"],
        prompts=listing["prompts"],
        resources=listing["resources"],
        resource_templates=listing["templates"],
    )


@router.get(
    "/v1/mcp/access_groups",
    auth=admin_key,
    response=AccessGroups,
    operation_id="list_mcp_access_groups",
    summary="List the access groups that hold MCP servers",
)
def list_access_groups(request: HttpRequest) -> AccessGroups:
    """Groups that hold all tools of some server; `/access_group/*` has all groups."""
    refuse_unknown_parameters(request)
    return AccessGroups(access_groups=groups_of_servers())


def _changed(request: HttpRequest, row: McpServer, body: ServerFields) -> ShownServer:
    values: dict[str, Any] = changes_of_body(body)
    if isinstance(body, ServerPatch):
        for given in (body.server_name, body.alias):
            if given is not None:
                values["name"] = given
    with named_as_in_bodies():
        row = update_in_groups(row, actor=actor_name(request), groups=body.mcp_access_groups, **values)
    return shown_server(row)
