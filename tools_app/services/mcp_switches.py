"""Switching tools of MCP servers off and on, and refusing what a server says of one."""

from __future__ import annotations

import logging

from django.db import transaction

from gateway_project.core.errors import Conflict, NotFound
from security_app.models import ConfigVersion
from security_app.services.configuration import refresh_after_commit
from tools_app.models import McpTool
from tools_app.services.mcp_approval import waiting_fingerprint

logger = logging.getLogger(__name__)


def switch_tool(row: McpTool, *, is_enabled: bool, actor: str) -> McpTool:
    """Have clients told of a tool, or not. One that waits for a decision still does."""
    with transaction.atomic():
        found = _locked(row)
        found.is_enabled = is_enabled
        found.save(update_fields={"is_enabled"})
        refresh_after_commit()
    logger.info(
        "mcp.tool_switched", extra={"tool": found.exposed_name, "enabled": is_enabled, "actor": actor}
    )
    return found


def reject_tool(row: McpTool, *, fingerprint: str, actor: str) -> McpTool:
    """Switch off a tool whose server says what nobody wants; Conflict if it says something else by now."""
    with transaction.atomic():
        found = _locked(row)
        if not found.waits:
            raise Conflict("Nothing of this tool waits for approval any more.", param="name")
        if waiting_fingerprint(found) != fingerprint:
            raise Conflict("The server says something else by now; look at it again.", param="fingerprint")
        found.is_enabled = False
        found.save(update_fields={"is_enabled"})
        refresh_after_commit()
    logger.info("mcp.tool_rejected", extra={"tool": found.exposed_name, "actor": actor})
    return found


def _locked(row: McpTool) -> McpTool:
    ConfigVersion.lock()
    found = McpTool.objects.select_related("server").filter(pk=row.pk).first()
    if found is None:
        raise NotFound("There is no such tool any more.", param="name")
    return found
