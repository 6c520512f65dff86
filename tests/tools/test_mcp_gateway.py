"""The MCP gateway as the official client sees it, in front of two MCP servers of which one is dead."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from time import monotonic
from typing import Any

import httpx
import pytest
from mcp.server.mcpserver import MCPServer
from mcp_types import ReadResourceResult, TextResourceContents

from tests.doors.gateway import Gateway, Template
from tests.doors.rows import ADMIN_KEY, OTHER_KEY
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


def text_in(resource: ReadResourceResult) -> str:
    """What the first part of a resource says."""
    first = resource.contents[0]
    assert isinstance(first, TextResourceContents)
    return first.text


@pytest.mark.parametrize("mode", ["legacy", "auto"])
async def test_prompts_resources_and_completions_come_from_the_right_server(
    gateway: Gateway, mode: str
) -> None:
    async with connected(gateway, mode=mode) as client:
        prompts = await client.list_prompts()
        greeting = await client.get_prompt("docs__greet", {"name": "Ann"})
        resources = await client.list_resources()
        templates = await client.list_resource_templates()
        readme = await client.read_resource("mcp://docs/docs://readme")
        page = await client.read_resource("mcp://docs/docs://7/text")
        with pytest.raises(Exception, match="Resource not found"):
            await client.read_resource("mcp://nobody/docs://readme")

    assert [prompt.name for prompt in prompts.prompts] == ["docs__greet"]
    assert greeting.messages[0].content.model_dump()["text"] == "Greet Ann."
    assert [one.uri for one in resources.resources] == ["mcp://docs/docs://readme"]
    assert [one.uri_template for one in templates.resource_templates] == ["mcp://docs/docs://{page}/text"]
    assert readme.contents[0].uri == "mcp://docs/docs://readme"
    assert [one.contents[0].model_dump()["text"] for one in (readme, page)] == ["Read me.", "Page 7."]


async def test_the_door_of_one_server_has_its_own_names(gateway: Gateway) -> None:
    async with connected(gateway, "/mcp/docs") as client:
        listed = await client.list_tools()
        added = await client.call_tool("add", {"a": 20, "b": 1})
        readme = await client.read_resource("docs://readme")

    assert [tool.name for tool in listed.tools] == ["add", "fails", "steps", "waits"]
    assert added.structured_content == {"result": 21}
    assert readme.contents[0].model_dump()["text"] == "Read me."


def call(name: str, rpc_id: int = 1, **arguments: Any) -> dict[str, Any]:
    """A call of a tool, as it stands on the wire."""
    return {
        "jsonrpc": "2.0",
        "id": rpc_id,
        "method": "tools/call",
        "params": {"name": name, "arguments": arguments},
    }


def test_a_call_leaves_a_record_and_lines_in_the_log(gateway: Gateway) -> None:
    with gateway.client() as client:
        answer = client.post("/mcp", json=call("docs__add", a=1, b=2))
        failed = client.post("/mcp", json=call("docs__fails"))

    assert answer.json()["result"]["structuredContent"] == {"result": 3}
    record = gateway.record(answer.headers["x-request-id"])
    said = [record[name] for name in ("kind", "operation", "model", "upstream", "status")]
    assert said == ["mcp", "tools/call", "docs__add", "mcp:docs", 200]
    assert gateway.record(failed.headers["x-request-id"])["error_code"] == "tool_error"
    lines = gateway.log_lines(answer.headers["x-request-id"], count=2)
    assert {line["event"] for line in lines} == {"tool.invoke", "http.request"}


def test_strangers_are_told_in_json_rpc_how_to_come_in(gateway: Gateway) -> None:
    with gateway.client("") as client:
        answer = client.post("/mcp", json=call("docs__add"))
        too_large = client.post("/mcp", content=b"x" * 100, headers={"x-api-key": "sk-nobody-has-this-key"})

    assert answer.status_code == too_large.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert answer.json()["error"]["data"]["code"] == "invalid_api_key"


async def test_a_client_that_cancels_or_leaves_ends_the_call_at_the_server(gateway: Gateway) -> None:
    headers = {"accept": "application/json, text/event-stream"}
    with gateway.client() as plain:
        begun = plain.post(
            "/mcp",
            json={
                "jsonrpc": "2.0",
                "id": 0,
                "method": "initialize",
                "params": {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {}},
            },
        )
    headers["mcp-session-id"] = begun.headers["mcp-session-id"]
    key = gateway.client().headers["authorization"]
    async with httpx.AsyncClient(
        base_url=gateway.url, headers={**headers, "authorization": key}, timeout=30, trust_env=False
    ) as client:
        started = monotonic()
        waiting = asyncio.create_task(client.post("/mcp", json=call("docs__waits", 5, seconds=25)))
        await asyncio.sleep(0)
        cancelled = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 5}}
        while not waiting.done():
            assert (await client.post("/mcp", json=cancelled)).status_code == 202
            await asyncio.wait({waiting}, timeout=0.1)
        leaving = asyncio.create_task(client.post("/mcp", json=call("docs__waits", 6, seconds=25.5)))
        await asyncio.wait({leaving}, timeout=0.5)
        leaving.cancel()

    assert waiting.result().json()["error"] == {"code": -32800, "message": "Request cancelled"}
    assert monotonic() - started < 20
    record = gateway.record(waiting.result().headers["x-request-id"])
    assert (record["status"], record["error_code"]) == (499, "mcp_cancelled")
    query = "SELECT id FROM usage_app_usagerecord WHERE error_code = 'client_disconnected' AND kind = 'mcp'"
    wait_until(lambda: bool(gateway.database.fetch(query)), 10, "the record of the one who left")


def test_a_stream_tells_of_changed_lists_also_those_who_come_back(gateway: Gateway) -> None:
    headers = {"accept": "text/event-stream", "mcp-protocol-version": "2025-11-25"}
    tool = {"name": "news", "kind": "http", "description": "News.", "config": {"url": "http://127.0.0.1:9/"}}
    with gateway.client(OTHER_KEY, timeout=30) as client, gateway.client(ADMIN_KEY) as admin:
        with client.stream("GET", "/mcp", headers=headers) as stream:
            lines = stream.iter_lines()
            first = next(lines)
            assert admin.post("/tools", json=tool).status_code == 201
            told = next(line for line in lines if line.startswith("data: {"))
        with client.stream(
            "GET", "/mcp", headers=headers | {"last-event-id": first.removeprefix("id: ")}
        ) as stream:
            again = next(line for line in stream.iter_lines() if line.startswith("data: {"))
        assert admin.delete("/tools/news").status_code == 200

    assert json.loads(told[6:]) == {"jsonrpc": "2.0", "method": "notifications/tools/list_changed"}
    assert again == told


async def test_a_subscription_of_the_newer_revision_tells_the_same(gateway: Gateway) -> None:
    tool = {"name": "more", "kind": "http", "description": "News.", "config": {"url": "http://127.0.0.1:9/"}}
    async with (
        connected(gateway, mode="auto") as client,
        client.listen(tools_list_changed=True) as subscription,
    ):
        with gateway.client(ADMIN_KEY) as admin:
            assert admin.post("/tools", json=tool).status_code == 201
            told = type(await anext(aiter(subscription))).__name__
            assert admin.delete("/tools/more").status_code == 200

    assert told == "ToolsListChanged"
