"""MCP servers as registries of MCP describe them: each is a remote at this gateway.

Source: modelcontextprotocol/registry, server.schema.json of 2025-12-11 and the answer of `GET /v0/servers`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit

from tools_app.models import McpServer

SCHEMA = "https://static.modelcontextprotocol.io/schemas/2025-12-11/server.schema.json"
# Of the schema.
_MAX_TEXT = 100
_KEY_HEADER = {
    "name": "Authorization",
    "description": "Bearer, and a key of this gateway.",
    "isRequired": True,
    "isSecret": True,
}


def registry(servers: Iterable[McpServer], base_url: str) -> dict[str, Any]:
    """The list of a registry; `base_url` is where clients reach the gateway."""
    shown = [{"server": published(row, base_url)} for row in servers]
    return {"servers": shown, "metadata": {"count": len(shown)}}


def published(row: McpServer, base_url: str) -> dict[str, Any]:
    """One server as `server.json`. Its version counts changes: that of its software is its own matter."""
    description = " ".join(row.description.split()) or f"The MCP server {row.name}, by this gateway."
    return {
        "$schema": SCHEMA,
        "name": f"{_namespace(base_url)}/{row.name}",
        "title": row.name,
        "description": description[:_MAX_TEXT],
        "version": f"1.0.{row.changed_version}",
        "remotes": [
            {"type": "streamable-http", "url": f"{base_url}/mcp/{row.name}", "headers": [_KEY_HEADER]}
        ],
    }


def _namespace(base_url: str) -> str:
    """The host's name from the back, as registries have it; addresses stay as they are."""
    host = urlsplit(base_url).hostname or "localhost"
    parts = host.split(".")
    if ":" in host or all(part.isdigit() for part in parts):
        return host.replace(":", "-").strip("-") or "localhost"
    return ".".join(reversed(parts))
