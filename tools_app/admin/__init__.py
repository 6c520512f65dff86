"""Tools and MCP servers in the admin."""

from tools_app.admin import mcp_servers, mcp_tools, tools

__all__ = ["mcp_servers", "mcp_tools", "tools"]
