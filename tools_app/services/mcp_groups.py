"""Access groups that hold a whole MCP server: as the pattern of its tools' names, and nowhere beside it.

So one list says what a group holds, and one function decides who may use a tool.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from django.db import transaction

from gateway_project.core.errors import InvalidRequest
from security_app.models import AccessGroup, ConfigVersion
from security_app.services.access import update_group
from tools_app.mcp_definitions import SEPARATOR
from tools_app.models import McpServer


def tools_pattern(server: str) -> str:
    """The pattern that names all tools of a server: `github__*`."""
    return f"{server}{SEPARATOR}*"


def groups_by_server() -> Mapping[str, list[str]]:
    """The names of the groups that hold a server, by the server's name; servers in none are left out."""
    found: dict[str, list[str]] = {}
    suffix = tools_pattern("")
    for name, patterns in AccessGroup.objects.order_by("name").values_list("name", "tool_patterns"):
        for pattern in patterns:
            if isinstance(pattern, str) and pattern.endswith(suffix):
                found.setdefault(pattern.removesuffix(suffix), []).append(name)
    return found


def set_groups(row: McpServer, groups: Collection[str], *, actor: str) -> None:
    """Have these groups hold the server, and no others; InvalidRequest for one that there is not."""
    pattern = tools_pattern(row.name)
    with transaction.atomic():
        ConfigVersion.lock()
        known = {group.name: group for group in AccessGroup.objects.order_by("name")}
        if missing := sorted(set(groups) - known.keys()):
            raise InvalidRequest(f"There is no access group '{missing[0][:100]}'.", param="access_groups")
        for name, group in known.items():
            has = pattern in group.tool_patterns
            if has != (name in groups):
                kept = [one for one in group.tool_patterns if one != pattern]
                update_group(group, actor=actor, tool_patterns=[*kept, pattern] if name in groups else kept)


def servers_in_group(group: str) -> list[str]:
    """The names of the servers that a group holds."""
    return [server for server, groups in groups_by_server().items() if group in groups]


def groups_of_servers() -> list[str]:
    """The names of the groups that hold any server that there is."""
    found = groups_by_server()
    servers = McpServer.objects.filter(name__in=found).values_list("name", flat=True)
    return sorted({group for server in servers for group in found[server]})
