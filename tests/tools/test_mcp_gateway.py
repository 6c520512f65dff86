"""The MCP gateway as the official client sees it: a live server in front of two MCP servers, one of them dead."""

from __future__ import annotations

from collections.abc import Iterator
from time import monotonic
from typing import Any

import pytest
from mcp.server.mcpserver import MCPServer

from tests.doors.gateway import Gateway, Template
from tests.services import wait_until
from tests.tools.mcp_live import connected, write_row
from tests.tools.mcp_peers import McpPeer, add, fails, steps, waits


def described(server: MCPServer) -> None:
    """Prompts and resources, too."""

    @server.prompt()
    def greet(name: str) -> str:
        """Greets somebody."""
        return f"Greet {name}."

    @server.resource("docs://readme")
    def readme() -> str:
        """The manual."""
        return "Read me."

    @server.resource("docs://{page}/text")
    def text(page: str) -> str:
        """A page of it."""
        return f"Page {page}."


@pytest.fixture(scope="module")
def peer() -> Iterator[McpPeer]:
    """A server that answers."""
    one = McpPeer(add, fails, waits, steps)
    described(one.server)
    with one:
        yield one


@pytest.fixture(scope="module")
def gateway(template: Template, peer: McpPeer) -> Iterator[Gateway]:
    """A gateway that knows it, and one that nobody ever reaches."""
    from tools_app.models import McpServer

    database = template.copy()
    write_row(database, McpServer(name="docs", url=peer.url))
    write_row(database, McpServer(name="gone", url="http://127.0.0.1:9/mcp", connect_timeout_s=0.5))
    with Gateway(database) as running:
        query = "SELECT name FROM tools_app_mcptool"
        wait_until(lambda: len(database.fetch(query)) == 4, 30, "the tools to be found")
        with running.client() as http:
            body = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}

            def is_listed() -> bool:
                return len(http.post("/mcp", json=body).json()["result"]["tools"]) == 4

            wait_until(is_listed, 30, "the tools to be served")
        yield running


def text_of(result: Any) -> str:
    """The first block of a result."""
    return str(result.content[0].text)


@pytest.mark.parametrize("mode", ["legacy", "auto"])
async def test_the_official_client_lists_and_calls_tools(gateway: Gateway, mode: str) -> None:
    started = monotonic()
    async with connected(gateway, mode=mode) as client:
        listed = await client.list_tools()
        told: list[Any] = []

        async def hear(progress: float, total: float | None, message: str | None) -> None:
            told.append((progress, total, message))

        added = await client.call_tool("docs__add", {"a": 2, "b": 3})
        failed = await client.call_tool("docs__fails", {})
        stepped = await client.call_tool("docs__steps", {}, progress_callback=hear)
        spoken = client.protocol_version

    assert spoken == ("2025-11-25" if mode == "legacy" else "2026-07-28")
    assert [tool.name for tool in listed.tools] == ["docs__add", "docs__fails", "docs__steps", "docs__waits"]
    assert added.structured_content == {"result": 5}
    assert not added.is_error
    assert failed.is_error
    assert "the cellar is flooded" in text_of(failed)
    assert text_of(stepped) == "done"
    assert told == [(1, 2, "half")]
    # The dead server held nobody up.
    assert monotonic() - started < 10
