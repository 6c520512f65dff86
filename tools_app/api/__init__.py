"""The management routes of tools and MCP servers."""

from tools_app.api.mcp_servers import router as mcp_servers_router
from tools_app.api.mcp_tools import router as mcp_tools_router
from tools_app.api.tools import router

__all__ = ["mcp_servers_router", "mcp_tools_router", "router"]
