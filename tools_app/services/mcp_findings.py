"""MCP tools that wait for a person and servers that do not answer, as findings of the nightly audit."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from security_app.models import Finding
from security_app.services.findings import FindingSource, Found
from tools_app.models import McpServer, McpServerState, McpTool
from tools_app.services.mcp_client.watcher import FAILING

LONG = timedelta(hours=1)
_MOST = 200


def _waiting(_now: datetime) -> Iterator[Found]:
    states = (McpTool.State.PENDING, McpTool.State.QUARANTINED)
    for row in McpTool.objects.filter(state__in=states, is_enabled=True).order_by("pk")[:_MOST]:
        is_changed = row.state == McpTool.State.QUARANTINED
        yield Found(
            "mcp_tool_waits",
            Finding.Severity.WARNING,
            "Its server says something else of it than it is pinned as."
            if is_changed
            else "It waits for approval.",
            McpTool._meta.label_lower,
            row.pk.hex,
            row.exposed_name,
        )


def _failing(now: datetime) -> Iterator[Found]:
    states = McpServerState.objects.filter(state=FAILING, since__lte=now - LONG, server__is_enabled=True)
    for state in states.select_related("server").order_by("pk")[:_MOST]:
        yield Found(
            "mcp_server_down",
            Finding.Severity.WARNING,
            f"It has not answered since {state.since:%Y-%m-%d %H:%M} UTC.",
            McpServer._meta.label_lower,
            state.server_id.hex,
            state.server.name,
        )


WAITING_TOOLS = FindingSource("mcp_tools_waiting", _waiting)
FAILING_SERVERS = FindingSource("mcp_servers_failing", _failing)
