"""What a server listed, written down: first sight pins a tool, a change of it is kept from every client.

One transaction for one listing. Only what changed is written: each write is a change of the configuration.
"""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.db import transaction

from gateway_project.core.acting import acting_as
from gateway_project.core.clock import utc_now
from gateway_project.core.codec import dumps_loosely, loads
from security_app.models import ConfigVersion
from security_app.models.chain import cleaned
from security_app.services.configuration import refresh_after_commit
from tools_app.errors import ConfigProblem
from tools_app.mcp_definitions import changed_members, exposed_name, fingerprint_of, kept_definition
from tools_app.models import McpServer, McpServerState, McpTool, Tool
from tools_app.services.mcp_client.listing import Listing

logger = logging.getLogger(__name__)
_ACTOR = "system:mcp-catalogue"


@dataclass(slots=True)
class Changes:
    """What a listing changed, by the tools' own names; `skipped` are those that can't be used, and why."""

    added: list[str] = field(default_factory=list)
    quarantined: list[str] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)
    back: list[str] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """How many tools are otherwise now."""
        return len(self.added) + len(self.quarantined) + len(self.gone) + len(self.back)


def store_listing(server_id: UUID, listing: Listing) -> Changes:
    """Bring the catalogue up to date with what a server says now."""
    with acting_as(_ACTOR), transaction.atomic():
        ConfigVersion.lock()
        server = McpServer.objects.filter(pk=server_id).first()
        if server is None:
            return Changes()
        changes = _store_tools(server, listing)
        _store_lists(server, listing)
        refresh_after_commit()
    if changes.count or changes.skipped:
        logger.info(
            "mcp.catalogue_changed",
            extra={
                "server": server.name,
                "added": len(changes.added),
                "quarantined": changes.quarantined[:20],
                "gone": len(changes.gone),
                "back": len(changes.back),
                "skipped": len(changes.skipped),
            },
        )
    return changes


def _store_tools(server: McpServer, listing: Listing) -> Changes:
    changes = Changes()
    known = {row.name: row for row in McpTool.objects.filter(server=server)}
    listed: set[str] = set()
    for given in listing.tools:
        name = str(given.get("name", ""))[:200]
        try:
            definition = kept_definition(given)
        except ConfigProblem as error:
            changes.skipped[name] = error.message
            continue
        if definition["name"] in listed:
            # The first of two of the same name counts, for a second can't be told from it.
            changes.skipped[name] = "It is listed twice."
            continue
        listed.add(definition["name"])
        row = known.get(definition["name"])
        if row is None:
            _add(server, definition, changes)
        else:
            _compare(row, definition, changes)
    for name, row in known.items():
        if name not in listed and row.state == McpTool.State.PINNED:
            row.state = McpTool.State.GONE
            row.save(update_fields={"state"})
            changes.gone.append(name)
    return changes


def _add(server: McpServer, definition: dict[str, Any], changes: Changes) -> None:
    name = definition["name"]
    fingerprint = fingerprint_of(definition)
    shown = exposed_name(server.name, name)
    if _is_taken(shown):
        shown = exposed_name(server.name, name, is_taken=True)
        if _is_taken(shown):
            changes.skipped[name] = f"There is another tool of the name {shown}."
            return
    state = McpTool.State.PENDING if server.needs_approval else McpTool.State.PINNED
    McpTool(
        server=server,
        name=name,
        exposed_name=shown,
        definition=definition,
        fingerprint=fingerprint,
        state=state,
    ).save(force_insert=True)
    changes.added.append(name)


def _compare(row: McpTool, definition: dict[str, Any], changes: Changes) -> None:
    """A tool that is as it was pinned is served, also again; any other waits for a person."""
    fingerprint = fingerprint_of(definition)
    state = McpTool.State
    if fingerprint == row.fingerprint:
        if row.state in (state.GONE, state.QUARANTINED):
            row.state, row.seen, row.seen_fingerprint = state.PINNED, {}, ""
            row.save(update_fields={"state", "seen", "seen_fingerprint"})
            changes.back.append(row.name)
        return
    if row.state == state.PENDING:
        # Nobody was told of it yet: the newest is what is decided on.
        row.definition, row.fingerprint = definition, fingerprint
        row.save(update_fields={"definition", "fingerprint"})
        return
    if row.state == state.QUARANTINED and row.seen_fingerprint == fingerprint:
        return
    row.state, row.seen, row.seen_fingerprint = state.QUARANTINED, definition, fingerprint
    row.save(update_fields={"state", "seen", "seen_fingerprint"})
    changes.quarantined.append(row.name)
    logger.warning(
        "mcp.tool_quarantined",
        extra={"tool": row.exposed_name, "changed": changed_members(row.definition, definition)},
    )


def _is_taken(name: str) -> bool:
    return McpTool.objects.filter(exposed_name=name).exists() or Tool.objects.filter(name=name).exists()


def _storable(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Without those that hold a NUL or half a surrogate pair, which databases refuse."""
    return [item for item in items if b"\\u0000" not in (text := dumps_loosely(item)) and loads(text) == item]


def _store_lists(server: McpServer, listing: Listing) -> None:
    """What the server listed beside its tools; a change is one of the configuration."""
    lists = {
        "prompts": _storable(listing.prompts),
        "resources": _storable(listing.resources),
        "templates": _storable(listing.templates),
        "instructions": cleaned(listing.instructions),
        "capabilities": listing.capabilities if _storable([listing.capabilities]) else {},
    }
    digest = hashlib.sha256(dumps_loosely(lists)).hexdigest()
    state, _ = McpServerState.objects.get_or_create(server=server)
    values: dict[str, Any] = {
        "listed_at": utc_now(),
        "protocol_version": cleaned(listing.protocol_version),
        "software": cleaned(listing.software),
    }
    if state.listed != digest:
        values |= lists | {"listed": digest}
        ConfigVersion.bump(McpServer.config_section)
    McpServerState.objects.filter(pk=state.pk).update(**values)
