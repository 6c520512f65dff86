"""MCP servers in access groups: a group holds a server if it names all of its tools, as `server__*`.

There is one kind of access group. Rules and lists of keys say `group:<name>` of these as of all others.
"""

from __future__ import annotations

from collections.abc import Iterable

from django.db import transaction

from security_app.models import AccessGroup, ConfigVersion
from security_app.services.access import create_group, update_group
from tools_app.mcp_definitions import SEPARATOR
from tools_app.models import McpServer


def pattern_of(server: str) -> str:
    """What names all tools of a server in lists and groups."""
    return f"{server}{SEPARATOR}*"


def groups_of_servers(servers: Iterable[str]) -> dict[str, list[str]]:
    """The groups that hold each of these servers, by name."""
    found: dict[str, list[str]] = {server: [] for server in servers}
    patterns = {pattern_of(server): server for server in found}
    for name, held in AccessGroup.objects.order_by("name").values_list("name", "tool_patterns"):
        for pattern in dict.fromkeys(held):
            if pattern in patterns:
                found[patterns[pattern]].append(name)
    return found


def servers_in_group(group: str) -> set[str]:
    """The names of the servers that a group holds."""
    row = AccessGroup.objects.filter(name=group).first()
    held = set() if row is None else set(row.tool_patterns)
    return {name for name in _names() if pattern_of(name) in held}


def all_groups() -> list[str]:
    """The groups that hold any server, by name."""
    return sorted({group for groups in groups_of_servers(_names()).values() for group in groups})


def set_groups(server: McpServer, groups: Iterable[str], *, actor: str) -> None:
    """Have these groups hold a server, and no others; one that does not exist is made."""
    wanted, pattern = set(groups), pattern_of(server.name)
    with transaction.atomic():
        # Two changes of one group at the same time would lose one of them.
        ConfigVersion.lock()
        known = {row.name: row for row in AccessGroup.objects.all()}
        for name in sorted(wanted - set(known)):
            create_group(actor=actor, name=name, tool_patterns=[pattern])
        for name, row in known.items():
            held = [one for one in row.tool_patterns if one != pattern]
            is_held = len(held) != len(row.tool_patterns)
            if name in wanted and not is_held:
                update_group(row, actor=actor, tool_patterns=[*held, pattern])
            elif name not in wanted and is_held:
                update_group(row, actor=actor, tool_patterns=held)


def _names() -> list[str]:
    return list(McpServer.objects.values_list("name", flat=True))
