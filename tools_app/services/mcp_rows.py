"""MCP servers with the access groups that hold them, where groups are made by being named."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from django.db import transaction

from security_app.models import AccessGroup, ConfigVersion
from security_app.services.access import create_group
from tools_app.models import McpServer
from tools_app.services.mcp_management import create_mcp_server, update_mcp_server


def create_in_groups(*, actor: str, groups: Collection[str], **values: Any) -> McpServer:
    """Make a server that these groups hold, and those of them that do not exist; all, or nothing."""
    with transaction.atomic():
        _make_missing(groups, actor=actor)
        return create_mcp_server(actor=actor, access_groups=groups, **values)


def update_in_groups(
    row: McpServer, *, actor: str, groups: Collection[str] | None = None, **values: Any
) -> McpServer:
    """Change a server, and which groups hold it; None leaves these as they are."""
    with transaction.atomic():
        if groups is not None:
            _make_missing(groups, actor=actor)
            values["access_groups"] = groups
        return update_mcp_server(row, actor=actor, **values)


def _make_missing(groups: Collection[str], *, actor: str) -> None:
    ConfigVersion.lock()
    known = set(AccessGroup.objects.filter(name__in=groups).values_list("name", flat=True))
    for name in sorted(set(groups) - known):
        create_group(actor=actor, name=name)
