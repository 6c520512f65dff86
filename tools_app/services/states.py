"""What this process had to leave out of the tools, and why."""

from __future__ import annotations

from security_app.services.configuration import store
from tools_app.registry import SECTION

_TOOLS = ("tool ", "MCP tool ")
_SERVERS = ("MCP server ",)


def tool_problems() -> dict[str, str]:
    """The reasons by the tools' names."""
    return _problems(_TOOLS)


def server_problems() -> dict[str, str]:
    """The reasons by the names of MCP servers."""
    return _problems(_SERVERS)


def _problems(prefixes: tuple[str, ...]) -> dict[str, str]:
    if not store.is_loaded:
        return {}
    left_out = store.current.sections[SECTION].diagnostics
    return {
        item.object.removeprefix(prefix): item.message
        for item in left_out
        for prefix in prefixes
        if item.object.startswith(prefix)
    }
