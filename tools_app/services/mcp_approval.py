"""Deciding on what MCP servers say of their tools: what changed, and taking it or not."""

from __future__ import annotations

import difflib
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.db import transaction

from gateway_project.core.errors import Conflict, NotFound
from security_app.models import ConfigVersion
from security_app.services.configuration import refresh_after_commit
from tools_app.mcp_definitions import MEMBERS
from tools_app.models import McpTool

logger = logging.getLogger(__name__)
# Of one member: a person reads no more, and pages stay small.
_MAX_LINES = 400


@dataclass(frozen=True, slots=True)
class MemberChange:
    """A member of a definition that is otherwise now, as lines that begin with `+`, `-` or a blank."""

    member: str
    lines: tuple[str, ...]
    is_cut: bool

    @property
    def text(self) -> str:
        """All lines."""
        return "\n".join(self.lines)


def changes_of(row: McpTool) -> list[MemberChange]:
    """What the server says now against what is pinned; of a tool that nobody approved yet, all of it."""
    before: Mapping[str, Any] = {} if row.state == McpTool.State.PENDING else row.definition
    after: Mapping[str, Any] = row.definition if row.state == McpTool.State.PENDING else row.seen
    return [
        _change(member, before.get(member), after.get(member))
        for member in MEMBERS
        if before.get(member) != after.get(member)
    ]


def waiting_fingerprint(row: McpTool) -> str:
    """The fingerprint of what a decision is about, so that none is made about what nobody saw."""
    return row.seen_fingerprint if row.state == McpTool.State.QUARANTINED else row.fingerprint


def approve_tool(row: McpTool, *, fingerprint: str, actor: str) -> McpTool:
    """Pin what the server says now; Conflict if that is not what `fingerprint` stands for any more."""
    with transaction.atomic():
        ConfigVersion.lock()
        found = McpTool.objects.select_related("server").filter(pk=row.pk).first()
        if found is None:
            raise NotFound("There is no such tool any more.", param="name")
        if not found.waits:
            raise Conflict("Nothing of this tool waits for approval any more.", param="name")
        if waiting_fingerprint(found) != fingerprint:
            raise Conflict("The server says something else by now; look at it again.", param="fingerprint")
        if found.state == McpTool.State.QUARANTINED:
            found.definition, found.fingerprint = found.seen, found.seen_fingerprint
        found.seen, found.seen_fingerprint, found.state = {}, "", McpTool.State.PINNED
        found.save(update_fields={"definition", "fingerprint", "seen", "seen_fingerprint", "state"})
        refresh_after_commit()
    logger.info("mcp.tool_approved", extra={"tool": found.exposed_name, "actor": actor})
    return found


def _change(member: str, before: object, after: object) -> MemberChange:
    lines = [
        line.rstrip("\n") for line in difflib.ndiff(_lines(before), _lines(after)) if not line.startswith("?")
    ]
    return MemberChange(member, tuple(lines[:_MAX_LINES]), len(lines) > _MAX_LINES)


def _lines(value: object) -> list[str]:
    """As lines of text, with what is invisible written out: that is what people are to see."""
    if value is None:
        return []
    text = (
        value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=2, sort_keys=True)
    )
    return [visible(line) for line in text.splitlines()][: 2 * _MAX_LINES]


def visible(text: str) -> str:
    """The text with a code for each character that shows nothing, or that turns others around."""
    return "".join(
        one if one.isprintable() else f"⟨U+{ord(one):04X}⟩"  # Also format characters, and spaces but one.
        for one in text
    )
