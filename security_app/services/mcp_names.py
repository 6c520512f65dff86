"""The names of MCP servers and their tools in lists of allowed tools, said by the app above that has them."""

from __future__ import annotations

from typing import Protocol


class McpNames(Protocol):
    """Who knows MCP servers. Both raise InvalidRequest for a server that there is not."""

    def server(self, reference: str) -> str:
        """A server's name, by its name or its public id."""

    def tool(self, server: str, name: str) -> str:
        """The name in the catalogue of a tool, by the name that it has at its server."""


_known: list[McpNames] = []


def register_mcp_names(names: McpNames) -> None:
    """For `ready()`."""
    _known[:] = [names]


def mcp_names() -> McpNames:
    """Who was registered."""
    return _known[0]
