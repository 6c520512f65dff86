"""What a server offers, read page by page: tools, prompts, resources and templates of resources."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel

from gateway_project.core.codec import dumps_loosely
from tools_app.services.mcp_client.failures import McpFailure, McpRefusal
from tools_app.services.mcp_client.session import McpSession

MAX_TOOLS = 1000
_MAX_PAGES = 100
_MAX_BYTES = 8 * 1024 * 1024
_METHOD_NOT_FOUND = -32601
_MAX_INSTRUCTIONS = 16_384


@dataclass(slots=True)
class Listing:
    """All that a server offers, as JSON in the protocol's spelling, and who it says it is."""

    tools: list[dict[str, Any]] = field(default_factory=list)
    prompts: list[dict[str, Any]] = field(default_factory=list)
    resources: list[dict[str, Any]] = field(default_factory=list)
    templates: list[dict[str, Any]] = field(default_factory=list)
    instructions: str = ""
    capabilities: dict[str, Any] = field(default_factory=dict)
    protocol_version: str = ""
    software: str = ""


async def read_listing(session: McpSession) -> Listing:
    """Ask one session for everything that its server says it has; McpFailure if it can't be read."""
    client = session.client
    found = described(session)
    has = client.server_capabilities
    if has.tools is not None:
        found.tools = await _pages(session, client.session.list_tools, "tools")
    if has.prompts is not None:
        found.prompts = await _pages(session, client.session.list_prompts, "prompts")
    if has.resources is not None:
        found.resources = await _pages(session, client.session.list_resources, "resources")
        found.templates = await _pages(session, client.session.list_resource_templates, "resource_templates")
    return found


def described(session: McpSession) -> Listing:
    """Who the server says it is, from the handshake."""
    client = session.client
    info = client.server_info
    return Listing(
        instructions=(client.instructions or "")[:_MAX_INSTRUCTIONS],
        capabilities=_plain(client.server_capabilities),
        protocol_version=client.protocol_version[:20],
        software=f"{info.name} {info.version}"[:200] if info is not None else "",
    )


async def _pages(
    session: McpSession, ask: Callable[..., Awaitable[BaseModel]], member: str
) -> list[dict[str, Any]]:
    from mcp_types import PaginatedRequestParams

    found: list[dict[str, Any]] = []
    seen: set[str] = set()
    cursor: str | None = None
    size = 0
    for _ in range(_MAX_PAGES):
        request = _asked(ask, PaginatedRequestParams(cursor=cursor))
        try:
            page = await session.ask(request, timeout_s=session.server.call_timeout_s)
        except McpRefusal as refusal:
            if refusal.code == _METHOD_NOT_FOUND and not found:
                # It has the capability, but not this list of it.
                return found
            raise
        items = [_plain(item) for item in getattr(page, member)]
        found += items
        size += sum(len(dumps_loosely(item)) for item in items)
        if len(found) > MAX_TOOLS or size > _MAX_BYTES:
            raise McpFailure(f"it lists more {member} than {MAX_TOOLS}, or more than can be kept")
        cursor = page.next_cursor
        if not cursor or cursor in seen:
            return found
        seen.add(cursor)
    raise McpFailure(f"its list of {member} has no end")


async def _asked(ask: Callable[..., Awaitable[BaseModel]], params: BaseModel) -> BaseModel:
    return await ask(params=params)


def _plain(model: BaseModel) -> dict[str, Any]:
    return model.model_dump(by_alias=True, mode="json", exclude_none=True)
