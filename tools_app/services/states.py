"""What this process had to leave out of the tools, and why."""

from __future__ import annotations

from security_app.services.configuration import store
from tools_app.registry import SECTION

_PREFIXES = ("tool ", "MCP tool ")


def tool_problems() -> dict[str, str]:
    """The reasons by the tools' names."""
    if not store.is_loaded:
        return {}
    left_out = store.current.sections[SECTION].diagnostics
    return {
        item.object.removeprefix(prefix): item.message
        for item in left_out
        for prefix in _PREFIXES
        if item.object.startswith(prefix)
    }
