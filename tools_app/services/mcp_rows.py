"""MCP servers with the access groups that hold them: both changes, or none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db import transaction

from security_app.models import ConfigVersion
from tools_app.models import McpServer
from tools_app.services.mcp_groups import set_groups
from tools_app.services.mcp_management import create_mcp_server, update_mcp_server


def create_in_groups(*, actor: str, groups: Sequence[str], **values: Any) -> McpServer:
    """Make a server that these groups hold; `values` as for `create_mcp_server`."""
    with transaction.atomic():
        ConfigVersion.lock()
        row = create_mcp_server(actor=actor, **values)
        if groups:
            set_groups(row, groups, actor=actor)
    return row


def update_in_groups(
    row: McpServer, *, actor: str, groups: Sequence[str] | None = None, **values: Any
) -> McpServer:
    """Change a server, and which groups hold it; None leaves these as they are."""
    with transaction.atomic():
        ConfigVersion.lock()
        row = update_mcp_server(row, actor=actor, **values)
        if groups is not None:
            set_groups(row, groups, actor=actor)
    return row
