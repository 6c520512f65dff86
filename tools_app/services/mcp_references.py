"""MCP servers and tools as lists of allowed tools name them."""

from __future__ import annotations

from tools_app.mcp_definitions import exposed_name
from tools_app.models import McpTool
from tools_app.services.mcp_management import find_mcp_server


class KnownNames:
    """What the database has. A tool that is not known yet gets the name that it would have."""

    def server(self, reference: str) -> str:
        """A server's name, by its name or its public id; NotFound otherwise."""
        return find_mcp_server(reference).name

    def tool(self, server: str, name: str) -> str:
        """The name in the catalogue of a tool, by the name that it has at its server."""
        found = McpTool.objects.filter(server__name=server, name=name).values_list("exposed_name", flat=True)
        return found.first() or exposed_name(server, name)
