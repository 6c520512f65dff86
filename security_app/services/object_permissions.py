"""LiteLLM's `object_permission` as entries of `allowed_tools`, and back: a view of the one list.

A server is `name__*`, a tool of one `name__tool`, an access group `group:name`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypedDict

from gateway_project.core.errors import GatewayError, InvalidRequest
from security_app.models.access import GROUP_PREFIX
from security_app.services.mcp_names import mcp_names

_SEPARATOR = "__"
_PARAM = "object_permission"
_MAX_TOOLS = 200


class Permission(TypedDict, total=False):
    """The members that are given."""

    mcp_servers: list[str]
    mcp_access_groups: list[str]
    mcp_tool_permissions: dict[str, list[str]]


def shown_permission(allowed_tools: Iterable[str]) -> Permission:
    """The part of a list that is about servers, their tools, and groups."""
    servers: list[str] = []
    groups: list[str] = []
    tools: dict[str, list[str]] = {}
    for entry in allowed_tools:
        server, separator, tool = entry.partition(_SEPARATOR)
        if entry.startswith(GROUP_PREFIX):
            groups.append(entry.removeprefix(GROUP_PREFIX))
        elif separator and server.replace("-", "").replace("_", "").isalnum():
            if tool == "*":
                servers.append(server)
            else:
                tools.setdefault(server, []).append(tool)
    return {"mcp_servers": servers, "mcp_access_groups": groups, "mcp_tool_permissions": tools}


def tools_with_permission(
    given: Permission, *, stored: list[str], allowed_tools: list[str] | None
) -> list[str]:
    """The list that a body asks for, with the entries of `stored` that it leaves as they are.

    InvalidRequest for a server that there is not, and for a list that would be empty: that allows every tool.
    """
    if sum(map(len, given.get("mcp_tool_permissions", {}).values())) > _MAX_TOOLS:
        # Each is looked for; and no list of tools is longer.
        message = f"Name at most {_MAX_TOOLS} tools."
        raise InvalidRequest(message, param=f"{_PARAM}.mcp_tool_permissions")
    base = stored if allowed_tools is None else allowed_tools
    wanted = shown_permission(base)
    others = _without(base, wanted)
    entries = [*others, *_entries(given, wanted)]
    if not entries:
        message = "This leaves an empty list, which allows every tool; name what may be used."
        raise InvalidRequest(message, param=_PARAM)
    return list(dict.fromkeys(entries))


def _entries(given: Permission, kept: Permission) -> list[str]:
    """Entries of what is given, and of what was there where nothing is."""
    tools = given.get("mcp_tool_permissions")
    servers = given.get("mcp_servers")
    # Who names tools of a server means these, and not all of it; also who named them before.
    narrowed = {_server(name, "mcp_tool_permissions") for name in tools or {}}
    if tools is None and servers is not None:
        narrowed = set(kept["mcp_tool_permissions"])
    named = kept["mcp_servers"] if servers is None else [_server(name, "mcp_servers") for name in servers]
    groups = given.get("mcp_access_groups", kept["mcp_access_groups"])
    return [
        *(f"{server}{_SEPARATOR}*" for server in named if server not in narrowed),
        *(_kept_tools(kept["mcp_tool_permissions"]) if tools is None else _tools(tools)),
        *(GROUP_PREFIX + group for group in groups),
    ]


def _kept_tools(tools: Mapping[str, list[str]]) -> list[str]:
    return [f"{server}{_SEPARATOR}{tool}" for server, names in tools.items() for tool in names]


def _tools(given: Mapping[str, list[str]]) -> list[str]:
    found: list[str] = []
    for reference, names in given.items():
        server = _server(reference, "mcp_tool_permissions")
        found += [mcp_names().tool(server, name) for name in names]
    return found


def _server(reference: str, member: str) -> str:
    try:
        return mcp_names().server(reference)
    except GatewayError as error:
        message = f"There is no MCP server '{reference[:100]}'."
        raise InvalidRequest(message, param=f"{_PARAM}.{member}") from error


def _without(base: list[str], shown: Permission) -> list[str]:
    known = {GROUP_PREFIX + group for group in shown["mcp_access_groups"]}
    known |= {f"{server}{_SEPARATOR}*" for server in shown["mcp_servers"]}
    known |= set(_kept_tools(shown["mcp_tool_permissions"]))
    return [entry for entry in base if entry not in known]
