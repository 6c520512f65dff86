"""Tools: rows of the registry, MCP servers and the tools that were found at them."""

from tools_app.models.mcp import McpServer, McpServerState, McpTool
from tools_app.models.tool import MAX_RESULT_BYTES, MAX_TIMEOUT_S, Tool

__all__ = ["MAX_RESULT_BYTES", "MAX_TIMEOUT_S", "McpServer", "McpServerState", "McpTool", "Tool"]
