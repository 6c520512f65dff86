"""What the gateway answers as an MCP server: one function a method, found in a table for each revision."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from django.conf import settings

from tools_app.services.mcp_gateway.asked import Asked
from tools_app.services.mcp_gateway.calls import call_tool, complete, get_prompt, read_resource
from tools_app.services.mcp_gateway.offer import definition_of
from tools_app.services.mcp_gateway.paging import page
from tools_app.services.mcp_gateway.protocol import (
    HANDSHAKE,
    INVALID_PARAMS,
    METHOD_NOT_FOUND,
    MODERN,
    SERVER_KEY,
    VERSIONS,
    RpcError,
)

_LEVELS = ("debug", "info", "notice", "warning", "error", "critical", "alert", "emergency")
_ABOUT_ALL = (
    "Tools of several servers: a name begins with its server's, and two underscores. "
    "The address of a resource is mcp://, its server's name, a slash, and its address there."
)
# What the modern revision wants of these results beside their content: how long they hold, and for whom.
_CACHEABLE = (
    "server/discover",
    "tools/list",
    "prompts/list",
    "resources/list",
    "resources/templates/list",
    "resources/read",
)


Method = Callable[[Asked], Awaitable[dict[str, Any]]]


async def answer(asked: Asked) -> dict[str, Any]:
    """The result of a request. Raises RpcError, and GatewayError for limits."""
    is_modern = asked.version == MODERN
    method = (_MODERN if is_modern else _HANDSHAKE).get(asked.rpc.method)
    if method is None:
        raise RpcError(METHOD_NOT_FOUND, f"There is no method '{asked.rpc.method[:64]}' here.")
    result = await method(asked)
    if is_modern:
        result = {"resultType": "complete", **result}
        if asked.rpc.method in _CACHEABLE:
            result = {"ttlMs": 0, "cacheScope": "private", **result}
    return result


def chosen_version(asked_for: object) -> str:
    """The revision of a session: the client's own if it is spoken here, else the newest with a handshake."""
    if not isinstance(asked_for, str):
        raise RpcError(INVALID_PARAMS, "'protocolVersion' must be a text.")
    return asked_for if asked_for in HANDSHAKE else HANDSHAKE[0]


async def _initialize(asked: Asked) -> dict[str, Any]:
    version = chosen_version(asked.rpc.params.get("protocolVersion"))
    return {"protocolVersion": version, "serverInfo": _about_us(), **_described(asked)}


async def _discover(asked: Asked) -> dict[str, Any]:
    return {"supportedVersions": list(VERSIONS), "_meta": {SERVER_KEY: _about_us()}, **_described(asked)}


def _described(asked: Asked) -> dict[str, Any]:
    changes = {"listChanged": True}
    capabilities: dict[str, Any] = {
        "tools": changes,
        "prompts": changes,
        "resources": changes,
        "completions": {},
    }
    if asked.version != MODERN:
        capabilities["logging"] = {}
    # What servers say for models in general is pinned nowhere, and so is not handed on.
    return {"capabilities": capabilities, **({} if asked.server else {"instructions": _ABOUT_ALL})}


def _about_us() -> dict[str, str]:
    return {"name": "agent-gateway", "title": "Agent Gateway", "version": settings.VERSION}


async def _ping(asked: Asked) -> dict[str, Any]:
    return {}


async def _set_level(asked: Asked) -> dict[str, Any]:
    """Accepted. Sessions with servers are shared: what they log is nobody's in particular, and stays here."""
    if asked.rpc.params.get("level") not in _LEVELS:
        raise RpcError(INVALID_PARAMS, f"'level' must be one of {', '.join(_LEVELS)}.")
    return {}


async def _list_tools(asked: Asked) -> dict[str, Any]:
    entries, following = page(
        [(name, (name, entry)) for name, entry in asked.offer.tools()], asked.rpc.params.get("cursor")
    )
    return _page("tools", [definition_of(name, entry) for name, entry in entries], following)


async def _list_prompts(asked: Asked) -> dict[str, Any]:
    items, following = page(list(asked.offer.prompts()), asked.rpc.params.get("cursor"))
    return _page("prompts", items, following)


async def _list_resources(asked: Asked) -> dict[str, Any]:
    items, following = page(list(asked.offer.resources()), asked.rpc.params.get("cursor"))
    return _page("resources", items, following)


async def _list_templates(asked: Asked) -> dict[str, Any]:
    items, following = page(list(asked.offer.templates()), asked.rpc.params.get("cursor"))
    return _page("resourceTemplates", items, following)


def _page(member: str, items: list[dict[str, Any]], following: str | None) -> dict[str, Any]:
    return {member: items} if following is None else {member: items, "nextCursor": following}


_BOTH: dict[str, Method] = {
    "tools/list": _list_tools,
    "tools/call": call_tool,
    "prompts/list": _list_prompts,
    "prompts/get": get_prompt,
    "resources/list": _list_resources,
    "resources/templates/list": _list_templates,
    "resources/read": read_resource,
    "completion/complete": complete,
}
_HANDSHAKE: dict[str, Method] = {
    **_BOTH,
    "initialize": _initialize,
    "ping": _ping,
    "logging/setLevel": _set_level,
}
_MODERN: dict[str, Method] = {**_BOTH, "server/discover": _discover}
