"""`/tools`: what agents can call."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from ninja import Router, Status

from gateway_project.core.errors import InternalError
from security_app.api.auth import actor_name, admin_key
from security_app.api.queries import refuse_unknown_parameters
from security_app.services.configuration import store
from tools_app.mcp_definitions import input_schema
from tools_app.models import McpTool, Tool
from tools_app.schemas import (
    DeletedTool,
    NewTool,
    ShownTool,
    ShownTrial,
    ToolFields,
    ToolList,
    ToolPatch,
    TrialBody,
)
from tools_app.services.management import (
    config_for_display,
    create_tool,
    delete_tool,
    find_tool,
    reload_tools,
    update_tool,
)
from tools_app.services.states import tool_problems
from tools_app.services.trial import try_tool

router = Router(tags=["Tools"])


@router.get("/tools", auth=admin_key, response=ToolList, operation_id="list_tools", summary="List tools")
def list_tools(request: HttpRequest) -> ToolList:
    """All of them, also those that are off."""
    refuse_unknown_parameters(request)
    return _all()


@router.post(
    "/tools", auth=admin_key, response={201: ShownTool}, operation_id="create_tool", summary="Add a tool"
)
def add_tool(request: HttpRequest, body: NewTool) -> Status[ShownTool]:
    """Agents that name it may call it at once."""
    return Status(201, _shown(create_tool(actor=actor_name(request), **_values(body))))


@router.post(
    "/tools/refresh",
    auth=admin_key,
    response=ToolList,
    operation_id="refresh_tools",
    summary="Load all tools again",
)
def refresh_tools(request: HttpRequest) -> ToolList:
    """In this process at once, in others within two seconds. What could not be imported is tried again."""
    refuse_unknown_parameters(request)
    reload_tools()
    if store.failure is not None:
        raise InternalError("The configuration could not be loaded; the log has the details.")
    return _all()


@router.get(
    "/tools/{name}", auth=admin_key, response=ShownTool, operation_id="get_tool", summary="Show a tool"
)
def get_tool(request: HttpRequest, name: str) -> ShownTool:
    """By name or by id."""
    refuse_unknown_parameters(request)
    found = McpTool.objects.select_related("server").filter(exposed_name=name).first()
    return _shown(find_tool(name)) if found is None else _shown_mcp(found, tool_problems())


@router.patch(
    "/tools/{name}", auth=admin_key, response=ShownTool, operation_id="update_tool", summary="Change a tool"
)
def patch_tool(request: HttpRequest, name: str, body: ToolPatch) -> ShownTool:
    """What is left out, or null, stays; members of `config` too, where null removes one."""
    return _shown(update_tool(find_tool(name), actor=actor_name(request), **_values(body)))


@router.delete(
    "/tools/{name}",
    auth=admin_key,
    response=DeletedTool,
    operation_id="delete_tool",
    summary="Delete a tool",
)
def remove_tool(request: HttpRequest, name: str) -> DeletedTool:
    """Agents that name it are served without it."""
    row = find_tool(name)
    gone = DeletedTool(id=row.public_id, name=row.name)
    delete_tool(row, actor=actor_name(request))
    return gone


@router.post(
    "/tools/{name}/test", auth=admin_key, response=ShownTrial, operation_id="test_tool", summary="Try a tool"
)
def try_out(request: HttpRequest, name: str, body: TrialBody) -> ShownTrial:
    """Really calls it. A tool that fails is no error of this route."""
    found = McpTool.objects.filter(exposed_name=name).first()
    called = find_tool(name).name if found is None else found.exposed_name
    trial = try_tool(called, body.arguments, actor=actor_name(request))
    is_ok = not trial.error
    return ShownTrial(
        tool=called,
        status=trial.status,
        result=trial.result if is_ok else None,
        error=None if is_ok else trial.error,
        latency_ms=trial.latency_ms,
    )


def _values(body: ToolFields) -> dict[str, Any]:
    given = body.model_dump(exclude_unset=True)
    names = {"enabled": "is_enabled"}
    return {names.get(name, name): value for name, value in given.items() if value is not None}


def _all() -> ToolList:
    problems = tool_problems()
    data = [_shown(row, problems) for row in Tool.objects.order_by("name")]
    found = McpTool.objects.select_related("server").order_by("exposed_name")
    return ToolList(data=data + [_shown_mcp(row, problems) for row in found])


def _shown_mcp(row: McpTool, problems: dict[str, str]) -> ShownTool:
    return ShownTool(
        id=row.public_id,
        name=row.exposed_name,
        kind="mcp",
        description=str(row.definition.get("description", "")),
        config={"server": row.server.name, "tool": row.name, "state": row.state},
        parameters=input_schema(row.definition),
        argument_guards=row.server.argument_guards,
        timeout_s=row.server.total_timeout_s,
        max_result_bytes=row.server.max_result_bytes,
        enabled=row.is_enabled and row.server.is_enabled and row.state == McpTool.State.PINNED,
        problem=problems.get(row.exposed_name, ""),
        managed_by=f"mcp:{row.server.name}",
        created_at=row.created_at,
        updated_at=row.updated_at,
    )


def _shown(row: Tool, problems: dict[str, str] | None = None) -> ShownTool:
    problems = problems if problems is not None else tool_problems()
    return ShownTool(
        id=row.public_id,
        name=row.name,
        kind=row.kind,  # type: ignore[arg-type]
        description=row.description,
        config=config_for_display(row),
        parameters=row.parameters,
        argument_guards=row.argument_guards,
        timeout_s=row.timeout_s,
        max_result_bytes=row.max_result_bytes,
        enabled=row.is_enabled,
        problem=problems.get(row.name, "") if row.is_enabled else "",
        managed_by=row.managed_by,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )
