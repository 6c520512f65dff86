"""What a server listed, written down: first sight pins a tool, a change of it is kept from every client.

One transaction for one listing. Only what changed is written: each write is a change of the configuration.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping
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
from tools_app.mcp_definitions import (
    MAX_NAME_CHARS,
    SEPARATOR,
    changed_members,
    exposed_name,
    fingerprint_of,
    kept_definition,
)
from tools_app.mcp_scanner import Finding, LookAlikes, is_grave, scanned
from tools_app.models import McpServer, McpServerState, McpTool, Tool
from tools_app.services.mcp_client.listing import MAX_TOOLS, Listing

logger = logging.getLogger(__name__)
_ACTOR = "system:mcp-catalogue"
# Pins stay when tools go, but a server that makes up new names must not fill the database.
_MOST_ROWS = 2 * MAX_TOOLS
# What a comparison may change of a row.
_CHANGING = ("definition", "fingerprint", "seen", "seen_fingerprint", "state", "findings")
# A definition with its fingerprint.
Listed = tuple[dict[str, Any], str]


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
    changes = Changes()
    # Reading what a stranger wrote takes a while: not while everybody waits for the configuration's lock.
    listed = _readable(listing, changes)
    findings = _scanned(server_id, listed)
    with acting_as(_ACTOR), transaction.atomic():
        ConfigVersion.lock()
        server = McpServer.objects.filter(pk=server_id).first()
        if server is None:
            return Changes()
        _store_tools(server, listed, findings, changes)
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


def _readable(listing: Listing, changes: Changes) -> dict[str, Listed]:
    """The definitions that can be used, by the tools' own names, with their fingerprints."""
    found: dict[str, Listed] = {}
    for given in listing.tools:
        name = str(given.get("name", ""))[:200]
        try:
            definition = kept_definition(given)
        except ConfigProblem as error:
            changes.skipped[name] = error.message
            continue
        if definition["name"] in found:
            # The first of two of the same name counts, for a second can't be told from it.
            changes.skipped[name] = "It is listed twice."
            continue
        found[definition["name"]] = (definition, fingerprint_of(definition))
    return found


def _scanned(server_id: UUID, listed: Mapping[str, Listed]) -> dict[str, list[Finding]]:
    """What the scanner has to say of the definitions that nobody knows yet, by their fingerprints."""
    known: set[str] = set()
    for row in McpTool.objects.filter(server=server_id).values_list("fingerprint", "seen_fingerprint"):
        known.update(row)
    new = [one for one in listed.values() if one[1] not in known]
    if not new:
        return {}
    server = McpServer.objects.filter(pk=server_id).values_list("name", flat=True).first() or ""
    others = McpTool.objects.exclude(server=server_id).values_list("server__name", "name")
    alike = LookAlikes(others.iterator())
    return {
        fingerprint: scanned(definition) + alike.of(server, definition["name"])
        for definition, fingerprint in new
    }


def _store_tools(
    server: McpServer,
    listed: Mapping[str, Listed],
    findings: Mapping[str, list[Finding]],
    changes: Changes,
) -> None:
    known = {row.name: row for row in McpTool.objects.filter(server=server)}
    new: dict[str, McpTool] = {}
    changed: list[McpTool] = []
    taken = _taken_names(server)
    for name, (definition, fingerprint) in listed.items():
        row = known.get(name)
        said = findings.get(fingerprint, [])
        if row is not None:
            if _compare(row, (definition, fingerprint), said, changes):
                changed.append(row)
            continue
        if len(known) + len(new) >= _MOST_ROWS:
            changes.skipped[name] = "The server has had too many tools; they are remembered when they go."
            continue
        shown = exposed_name(server.name, name)
        if shown in taken:
            shown = exposed_name(server.name, name, is_taken=True)
        if shown in taken:
            changes.skipped[name] = f"There is another tool of the name {shown}."
            continue
        taken.add(shown)
        new[name] = _new(server, shown, (definition, fingerprint), said)
    gone = [row for name, row in known.items() if name not in listed and row.state == McpTool.State.PINNED]
    # A few writes, however many tools there are: everybody waits for the configuration's lock meanwhile.
    if new:
        McpTool.objects.bulk_create(new.values())
    if changed:
        McpTool.objects.bulk_update(changed, _CHANGING)
    if gone:
        McpTool.objects.filter(pk__in=[row.pk for row in gone]).update(state=McpTool.State.GONE)
    changes.added += new
    changes.gone += [row.name for row in gone]


def _new(server: McpServer, shown: str, listed: Listed, findings: list[Finding]) -> McpTool:
    """Pinned as it is first seen, unless a person has to look at it."""
    definition, fingerprint = listed
    waits = server.needs_approval or is_grave(findings)
    return McpTool(
        server=server,
        name=definition["name"],
        exposed_name=shown,
        definition=definition,
        fingerprint=fingerprint,
        state=McpTool.State.PENDING if waits else McpTool.State.PINNED,
        findings=findings,
    )


def _taken_names(server: McpServer) -> set[str]:
    """Names of the catalogue that a new tool of this server could meet."""
    prefix = f"{server.name}{SEPARATOR}"[:MAX_NAME_CHARS]
    names = {*McpTool.objects.filter(exposed_name__startswith=prefix).values_list("exposed_name", flat=True)}
    return names | {*Tool.objects.filter(name__startswith=prefix).values_list("name", flat=True)}


def _compare(row: McpTool, listed: Listed, findings: list[Finding], changes: Changes) -> bool:
    """A tool that is as it was pinned is served, also again; any other waits for a person.

    Whether the row, which is not saved here, is otherwise now.
    """
    definition, fingerprint = listed
    state = McpTool.State
    if fingerprint == row.fingerprint:
        if row.state in (state.GONE, state.QUARANTINED):
            row.state, row.seen, row.seen_fingerprint = state.PINNED, {}, ""
            # Of what was seen meanwhile; those of what is pinned were there for a person to see.
            row.findings = scanned(definition)
            changes.back.append(row.name)
            return True
        return False
    if row.state == state.QUARANTINED and row.seen_fingerprint == fingerprint:
        return False
    row.findings = findings
    if row.state == state.PENDING:
        # Nobody was told of it yet: the newest is what is decided on.
        row.definition, row.fingerprint = definition, fingerprint
        return True
    row.state, row.seen, row.seen_fingerprint = state.QUARANTINED, definition, fingerprint
    changes.quarantined.append(row.name)
    logger.warning(
        "mcp.tool_quarantined",
        extra={"tool": row.exposed_name, "changed": changed_members(row.definition, definition)},
    )
    return True


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
