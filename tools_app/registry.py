"""The tools section of the snapshot: every enabled tool by its name, ready to be called."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from gateway_project.core.crypto import DecryptionError
from gateway_project.core.snapshot import Diagnostic, Section
from tools_app.argument_guards import guarded
from tools_app.arguments import argument_check
from tools_app.entry import ToolEntry
from tools_app.errors import ConfigProblem
from tools_app.kinds import find_kind
from tools_app.mcp_catalogue import build_servers, build_tools
from tools_app.mcp_entry import McpServerEntry
from tools_app.models import Tool

SECTION = "tools"


@dataclass(frozen=True, slots=True)
class ToolsConfig:
    """The tools that can be called, by name, and the MCP servers that some of them are of."""

    tools: dict[str, ToolEntry]
    servers: dict[str, McpServerEntry] = field(default_factory=dict)


def tools_of(sections: Mapping[str, Section[Any]]) -> dict[str, ToolEntry]:
    """The tools of a configuration; none where it has no such section."""
    section = sections.get(SECTION)
    return {} if section is None else cast(ToolsConfig, section.value).tools


def servers_of(sections: Mapping[str, Section[Any]]) -> dict[str, McpServerEntry]:
    """The MCP servers of a configuration; none where it has no such section."""
    section = sections.get(SECTION)
    return {} if section is None else cast(ToolsConfig, section.value).servers


def build(
    previous: Section[ToolsConfig] | None, version: int, _sections: Mapping[str, Section[Any]]
) -> Section[ToolsConfig]:
    """Build all tools anew; rows that can't be used are left out with a diagnostic."""
    tools: dict[str, ToolEntry] = {}
    left_out: list[Diagnostic] = []
    for row in Tool.objects.filter(is_enabled=True).order_by("name"):
        try:
            tools[row.name] = tool_entry(row)
            continue
        except ConfigProblem as error:
            reason = f"{error.member}: {error.message}"
        except DecryptionError as error:
            reason = str(error)
        except Exception as error:  # noqa: BLE001  (whatever is wrong with one row, it is shown and never fatal)
            reason = f"{type(error).__name__}: {error}"[:300]
        left_out.append(Diagnostic(SECTION, f"tool {row.name}", reason))

    def report(which: str, reason: str) -> None:
        left_out.append(Diagnostic(SECTION, which, reason))

    servers = build_servers(report)
    for entry in build_tools(servers, previous.value.tools if previous else {}, report):
        if entry.name in tools:
            report(f"MCP tool {entry.name}", "A tool of the registry has its name.")
        else:
            tools[entry.name] = entry
    return Section(ToolsConfig(tools, servers), version, tuple(left_out))


def tool_entry(row: Tool) -> ToolEntry:
    """A row as calls need it; ConfigProblem or DecryptionError says why it can't be used."""
    kind = find_kind(row.kind)
    if kind is None:
        raise ConfigProblem("kind", f"There is no kind '{row.kind}'.")
    config = row.whole_config()
    parameters = row.parameters or kind.default_parameters
    check = guarded(argument_check(parameters), tuple(row.argument_guards))
    prepared = kind.prepare(config, parameters)
    description = row.description.strip() or kind.default_description(config)
    if not description:
        raise ConfigProblem("description", "Say what the tool is for: models know nothing else of it.")
    return ToolEntry(
        name=row.name,
        kind=row.kind,
        description=description,
        parameters=parameters,
        check_arguments=check,
        prepared=prepared,
        timeout_s=row.timeout_s,
        max_result_bytes=row.max_result_bytes,
    )
