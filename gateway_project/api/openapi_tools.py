"""What the OpenAPI document says of tools over plain HTTP."""

from __future__ import annotations

from typing import Any

from gateway_project.api.openapi import documented

_SERVER = {"type": "string", "description": "Of the tools of one MCP server only: its name or its id."}
_CALL = documented(
    {
        "type": "object",
        "required": ["name"],
        "additionalProperties": False,
        "properties": {
            "name": {
                "type": "string",
                "description": "As GET /mcp/tools/list says it; with a server also its name there.",
                "examples": ["github__search_code"],
            },
            "arguments": {"type": "object", "description": "As the tool's inputSchema wants them."},
            "server": _SERVER,
            "server_id": _SERVER,
        },
    },
    "Call a tool",
)
_CALL["openapi_extra"]["responses"]["200"] = {
    "description": "MCP's CallToolResult: content, structuredContent, isError."
}
CALL_TOOL: dict[str, Any] = _CALL
LIST_TOOLS: dict[str, Any] = {
    "summary": "List the tools that a key may use",
    "openapi_extra": {
        "parameters": [
            {"name": "server", "in": "query", "schema": _SERVER},
            {"name": "server_id", "in": "query", "schema": _SERVER},
            {"name": "limit", "in": "query", "schema": {"type": "integer", "minimum": 1, "maximum": 1000}},
            {
                "name": "cursor",
                "in": "query",
                "schema": {"type": "string", "description": "`nextCursor` of the page before."},
            },
        ],
        "responses": {"200": {"description": "tools, servers, and error `partial_failure` if one is away."}},
    },
}
