"""MCP servers and their pinned tools as a part of the snapshot: rows become entries of the one catalogue."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from uuid import UUID

from gateway_project.core.crypto import DecryptionError
from tools_app.argument_guards import guarded
from tools_app.arguments import argument_check
from tools_app.entry import ToolEntry
from tools_app.errors import ConfigProblem
from tools_app.mcp_definitions import checked_schema, input_schema
from tools_app.mcp_entry import McpServerEntry, McpTarget, server_entry
from tools_app.models import McpServer, McpServerState, McpTool

KIND = "mcp"
# Told of each row that is left out: which, and why.
Report = Callable[[str, str], None]


def build_servers(report: Report) -> dict[str, McpServerEntry]:
    """The enabled servers by name, with what they listed beside their tools."""
    states = {
        state.server_id: state
        for state in McpServerState.objects.only(
            "prompts", "resources", "templates", "instructions", "capabilities"
        )
    }
    found: dict[str, McpServerEntry] = {}
    for row in McpServer.objects.filter(is_enabled=True).order_by("name"):
        try:
            entry = server_entry(row)
        except (ConfigProblem, DecryptionError) as error:
            report(f"MCP server {row.name}", reason_of(error))
            continue
        state = states.get(row.id)
        found[row.name] = entry if state is None else _with_lists(entry, state)
    return found


def build_tools(
    servers: Mapping[str, McpServerEntry], previous: Mapping[str, ToolEntry], report: Report
) -> Iterable[ToolEntry]:
    """The pinned tools of these servers; entries that are as they were are the same objects."""
    by_id = {server.id: server for server in servers.values()}
    rows = McpTool.objects.filter(state=McpTool.State.PINNED, is_enabled=True, server__in=by_id)
    new: list[UUID] = []
    columns = ("pk", "exposed_name", "name", "server_id", "fingerprint")
    for key, exposed, name, server_id, fingerprint in rows.order_by("exposed_name").values_list(*columns):
        server, known = by_id[server_id], previous.get(exposed)
        if not server.allows(name):
            continue
        if known is not None and _is_same(known, server, fingerprint):
            yield known
        else:
            new.append(key)
    # Definitions are large, and few of them are new.
    for row in McpTool.objects.in_bulk(new).values():
        try:
            yield mcp_tool_entry(by_id[row.server_id], row)
        except ConfigProblem as error:
            report(f"MCP tool {row.exposed_name}", reason_of(error))


def mcp_tool_entry(server: McpServerEntry, row: McpTool) -> ToolEntry:
    """A pinned tool as calls need it; ConfigProblem says why it can't be used."""
    schema = input_schema(row.definition)
    description = str(row.definition.get("description") or row.definition.get("title") or "").strip()
    return ToolEntry(
        name=row.exposed_name,
        kind=KIND,
        description=description or f"The tool {row.name} of the MCP server {server.name}.",
        parameters=schema,
        check_arguments=guarded(argument_check(checked_schema(schema)), server.argument_guards),
        prepared=McpTarget(server, row.name, row.definition, row.fingerprint),
        # The pool's own total time ends first, and can say where the time went.
        timeout_s=server.total_timeout_s + 1,
        max_result_bytes=server.max_result_bytes,
    )


def reason_of(error: Exception) -> str:
    """Why a row is left out, for operators."""
    return f"{error.member}: {error.message}" if isinstance(error, ConfigProblem) else str(error)


def _is_same(known: ToolEntry, server: McpServerEntry, fingerprint: str) -> bool:
    target = known.prepared
    return (
        isinstance(target, McpTarget)
        and target.fingerprint == fingerprint
        and (target.server.id, target.server.version) == (server.id, server.version)
    )


def _with_lists(entry: McpServerEntry, state: McpServerState) -> McpServerEntry:
    return replace(
        entry,
        prompts=tuple(state.prompts),
        resources=tuple(state.resources),
        templates=tuple(state.templates),
        instructions=state.instructions,
        capabilities=state.capabilities,
    )
