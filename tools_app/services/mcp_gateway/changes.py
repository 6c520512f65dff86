"""What the lists of a door are now, in a few characters: who saw them before can tell whether they changed.

The same catalogue has the same marks in every process, so a client may go on listening at another one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any, NamedTuple

from gateway_project.core.codec import dumps_loosely
from gateway_project.core.snapshot import Snapshot
from tools_app.entry import ToolEntry
from tools_app.mcp_entry import McpTarget
from tools_app.registry import SECTION, servers_of, tools_of

KINDS = ("tools", "prompts", "resources")
_MARK_CHARS = 16


class Marks(NamedTuple):
    """One of each list."""

    tools: str
    prompts: str
    resources: str

    def changed(self, before: Marks) -> list[str]:
        """The kinds of lists that are others now."""
        return [kind for kind in KINDS if getattr(self, kind) != getattr(before, kind)]

    def __str__(self) -> str:
        return ".".join(self)


def marks_of(snapshot: Snapshot, server: str) -> Marks:
    """Of the lists at the door of a server, or at that of everything (""). Made once of each snapshot."""
    place = ("mcp_marks", server)
    found: Marks | None = snapshot.cache.get(place)
    if found is None:
        found = snapshot.cache[place] = _made(snapshot, server)
    return found


def read_marks(text: str) -> Marks | None:
    """The inverse of `str`; None if it is nothing of the kind."""
    parts = text.split(".")
    if len(parts) != len(KINDS) or any(len(part) != _MARK_CHARS for part in parts):
        return None
    return Marks(*parts)


def _made(snapshot: Snapshot, server: str) -> Marks:
    tools = tools_of(snapshot.sections).values()
    servers = [one for one in servers_of(snapshot.sections).values() if not server or one.name == server]
    return Marks(
        _mark(_said_of(tool) for tool in tools if not server or _is_of(tool, server)),
        _mark([one.name, one.prompts] for one in servers),
        _mark([one.name, one.resources, one.templates] for one in servers),
    )


def _is_of(tool: ToolEntry, server: str) -> bool:
    return isinstance(tool.prepared, McpTarget) and tool.prepared.server.name == server


def _said_of(tool: ToolEntry) -> list[Any]:
    if isinstance(tool.prepared, McpTarget):
        return [tool.name, tool.prepared.fingerprint]
    return [tool.name, tool.description, tool.parameters]


def _mark(parts: Iterable[Any]) -> str:
    digest = hashlib.sha256()
    for part in sorted(dumps_loosely(part) for part in parts):
        digest.update(part + b"\n")
    return digest.hexdigest()[:_MARK_CHARS]


def section_version(snapshot: Snapshot) -> int:
    """Which state of the catalogue a snapshot holds: as long as it is the same, nothing need be compared."""
    section = snapshot.sections.get(SECTION)
    return -1 if section is None else section.version
