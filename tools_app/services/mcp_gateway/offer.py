"""What a key finds at a door of the MCP gateway: names there, and what is behind them.

At the door of one server names are the server's own. At the door of all they are those of the catalogue,
`<server>__<name>`, and a resource's address is `mcp://<server>/<its address there>`. What a key may not use
is not there for it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple
from urllib.parse import unquote

from gateway_project.core.context import RequestContext
from gateway_project.core.snapshot import Snapshot
from security_app.services.permissions import decide_tool
from tools_app.entry import ToolEntry
from tools_app.mcp_definitions import SEPARATOR, exposed_name
from tools_app.mcp_entry import McpServerEntry, McpTarget
from tools_app.registry import servers_of, tools_of
from tools_app.services.mcp_client.results import without_unseen
from tools_app.services.tool_lists import may_see

SCHEME = "mcp://"
_INDEX = "mcp_index"
_MAX_URI_CHARS = 8192
# What means the same unencoded (RFC 3986, 2.3): letters, digits, "-", ".", "_", "~".
_ENCODED = re.compile("%(?:2[DE]|3[0-9]|[46][1-9A-F]|[57][0-9A]|5F|7E)", re.IGNORECASE)
# Schemes are the same in any case (3.1).
_SHOUTED = re.compile(r"[a-z0-9+.-]*[A-Z][a-zA-Z0-9+.-]*:")
# "." and ".." as parts of a path.
_DOTS = re.compile(r"(?:^|[/\\:])\.\.?(?:[/\\?#]|$)")


class _Prompt(NamedTuple):
    server: McpServerEntry
    prompt: Mapping[str, Any]


class _Index(NamedTuple):
    """Made once of each snapshot: tools of servers by their own names, prompts by their exposed ones."""

    tools: dict[str, dict[str, ToolEntry]]
    prompts: dict[str, _Prompt]


class Place(NamedTuple):
    """Something of a server: its name or address there, and what rules call it."""

    server: McpServerEntry
    name: str
    object: str


class Offer:
    """What is at one door, for whoever makes a request. `server` None: everything."""

    def __init__(self, context: RequestContext, server: McpServerEntry | None) -> None:
        self._context = context
        self._server = server

    @property
    def is_there(self) -> bool:
        """Whether the key finds anything here. The door of everything is there for every key."""
        server = self._server
        if server is None:
            return True
        return may_see(self._context, server.name)

    def tools(self) -> Iterator[tuple[str, ToolEntry]]:
        """The tools that the key may use, by their names here."""
        for name, entry in self._own_tools().items():
            if self._may(entry.name):
                yield name, entry

    def find_tool(self, name: str) -> ToolEntry | None:
        """The tool of a name here, whether or not the key may use it."""
        return self._own_tools().get(name)

    def may_use(self, entry: ToolEntry) -> bool:
        """Whether the key may use it, as far as that depends on no arguments."""
        return self._may(entry.name)

    def may_have(self, place: Place) -> bool:
        """Whether the key may ask for it."""
        return self._may(place.object)

    def prompts(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """The prompts that the key may have, as JSON, by their names here."""
        for exposed, (server, prompt) in self._index().prompts.items():
            if self._is_here(server) and self._may(_prompt_object(server, str(prompt["name"]))):
                name = str(prompt["name"]) if self._server is not None else exposed
                yield name, {**prompt, "name": name}

    def find_prompt(self, name: str) -> Place | None:
        """What is behind a prompt's name here; None if there is none."""
        if self._server is not None:
            server, own = self._server, name
            if not any(prompt.get("name") == own for prompt in server.prompts):
                return None
        else:
            found = self._index().prompts.get(name)
            if found is None:
                return None
            server, own = found.server, str(found.prompt["name"])
        return Place(server, own, _prompt_object(server, own))

    def resources(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """The resources that the key may read, as JSON, by their addresses here."""
        return self._addressed("uri")

    def templates(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """The templates of resources' addresses, as JSON."""
        return self._addressed("uriTemplate")

    def find_resource(self, uri: str) -> Place | None:
        """What is behind an address or a template here; None if it leads to no server."""
        server, own = self._server, uri
        if server is None:
            name, slash, own = uri.removeprefix(SCHEME).partition("/")
            found = servers_of(self._context.snapshot.sections).get(name)
            if not uri.startswith(SCHEME) or not slash or found is None:
                return None
            server = found
        if not own or len(own) > _MAX_URI_CHARS or not own.isprintable():
            return None
        if not _is_listed(server, own) and not self._is_unequivocal(server, own):
            return None
        return Place(server, own, _resource_object(server, own))

    def _is_unequivocal(self, server: McpServerEntry, own: str) -> bool:
        """Whether rules can judge an address that the client made up: as it is spelt, it leads nowhere else.

        What is behind "#" is no part of what is fetched, so the address must be allowed without it, too.
        """
        whole, mark, _ = own.partition("#")
        if mark and not self._may(_resource_object(server, whole)):
            return False
        return not (_SHOUTED.match(own) or _ENCODED.search(own) or _DOTS.search(unquote(own)))

    def shown_uri(self, server: McpServerEntry, uri: str) -> str:
        """A server's address as it is written here."""
        return uri if self._server is not None else f"{SCHEME}{server.name}/{uri}"

    def shown_block(self, server: McpServerEntry, block: dict[str, Any]) -> dict[str, Any]:
        """A content block of a server with its addresses as they are written here."""
        if self._server is not None:
            return block
        inner = block.get("resource")
        if isinstance(inner, dict):
            return {**block, "resource": self.shown_block(server, inner)}
        uri = block.get("uri")
        # What is on the web clients fetch there.
        if not isinstance(uri, str) or uri.startswith(("https://", "http://")):
            return block
        return {**block, "uri": self.shown_uri(server, uri)}

    def _addressed(self, member: str) -> Iterator[tuple[str, dict[str, Any]]]:
        for server in servers_of(self._context.snapshot.sections).values():
            if not self._is_here(server):
                continue
            for item in server.resources if member == "uri" else server.templates:
                own = item.get(member)
                if isinstance(own, str) and self._may(_resource_object(server, own)):
                    shown = self.shown_uri(server, own)
                    yield shown, {**without_unseen(item), member: shown}

    def _own_tools(self) -> Mapping[str, ToolEntry]:
        if self._server is None:
            return tools_of(self._context.snapshot.sections)
        return self._index().tools.get(self._server.name, {})

    def _is_here(self, server: McpServerEntry) -> bool:
        return self._server is None or self._server.name == server.name

    def _may(self, object_id: str) -> bool:
        context = self._context
        return decide_tool(context.principal, object_id, ip=context.client_ip).is_allowed

    def _index(self) -> _Index:
        return _indexed(self._context.snapshot)


def definition_of(name: str, entry: ToolEntry) -> dict[str, Any]:
    """A tool as MCP's clients are told of it: as it was pinned, under its name at the door."""
    target = entry.prepared
    if isinstance(target, McpTarget):
        return {**target.definition, "name": name, "inputSchema": entry.parameters}
    return {"name": name, "description": entry.description, "inputSchema": entry.parameters}


def _indexed(snapshot: Snapshot) -> _Index:
    found: _Index | None = snapshot.cache.get(_INDEX)
    if found is None:
        found = _Index({}, {})
        for entry in tools_of(snapshot.sections).values():
            if isinstance(entry.prepared, McpTarget):
                found.tools.setdefault(entry.prepared.server.name, {})[entry.prepared.tool] = entry
        for server in servers_of(snapshot.sections).values():
            for prompt in server.prompts:
                if isinstance(own := prompt.get("name"), str) and own:
                    shown = exposed_name(server.name, own)
                    if shown in found.prompts:
                        shown = exposed_name(server.name, own, is_taken=True)
                    found.prompts[shown] = _Prompt(server, {**without_unseen(dict(prompt)), "name": own})
        snapshot.cache[_INDEX] = found
    return found


def _prompt_object(server: McpServerEntry, name: str) -> str:
    return f"{server.name}{SEPARATOR}prompt:{name}"


def _is_listed(server: McpServerEntry, own: str) -> bool:
    return any(item.get("uri") == own for item in server.resources) or any(
        item.get("uriTemplate") == own for item in server.templates
    )


def _resource_object(server: McpServerEntry, uri: str) -> str:
    return f"{server.name}{SEPARATOR}resource:{uri}"
