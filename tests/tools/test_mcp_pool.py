"""Calls to MCP servers by the pool: sessions that come and go, servers that die, and their neighbours."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from typing import Any

import pytest

from gateway_project.core.codec import dumps, loads
from tests.tools.mcp_peers import McpPeer, peers, steps
from tools_app.mcp_entry import McpServerEntry, server_entry
from tools_app.models import McpServer
from tools_app.services.mcp_client.failures import McpFailure, McpTimeout
from tools_app.services.mcp_client.link import McpLink
from tools_app.services.mcp_client.listing import read_listing

pytestmark = pytest.mark.asyncio


def server(url: str, **columns: Any) -> McpServerEntry:
    """A server as the pool needs it."""
    return server_entry(McpServer(name="peer", url=url, **columns))


@pytest.fixture(params=["new", "old"])
def peer(request: pytest.FixtureRequest) -> Iterator[McpPeer]:
    """A server that answers, by either protocol: without sessions, and with them."""
    with McpPeer(is_old=request.param == "old") as one:
        yield one


@pytest.fixture
async def link(peer: McpPeer) -> AsyncIterator[McpLink]:
    """The sessions with it."""
    one = McpLink(server(peer.url))
    yield one
    await one.close()
    assert len(asyncio.all_tasks()) == 1


async def added(link: McpLink, a: int = 1, b: int = 2) -> Any:
    """The result of one call."""

    async def ask(client: Any) -> Any:
        return await client.call_tool("add", {"a": a, "b": b})

    return (await link.request(ask)).structured_content["result"]


async def waited(link: McpLink, seconds: float) -> Any:
    """A call that takes a while."""

    async def ask(client: Any) -> Any:
        return await client.call_tool("waits", {"seconds": seconds})

    return await link.request(ask)


async def test_a_server_is_asked_and_listed(link: McpLink) -> None:
    assert await added(link, 2, 3) == 5

    listing = await read_listing(await link.session())
    assert [tool["name"] for tool in listing.tools] == ["add", "fails", "waits"]
    assert listing.software == "peer 1.2.3"
    assert listing.instructions == "Ask politely."


async def test_calls_at_once_spread_over_no_more_sessions_than_allowed(link: McpLink) -> None:
    await added(link)

    found = await asyncio.gather(*(added(link, number, 1) for number in range(40)))

    assert found == [number + 1 for number in range(40)]
    assert 1 <= link.open_sessions <= link.server.max_sessions


async def test_a_server_that_forgot_its_sessions_is_asked_again_unnoticed(
    link: McpLink, peer: McpPeer
) -> None:
    await added(link)

    peer.kill()
    peer.start()

    assert await added(link, 4, 4) == 8


async def test_all_sessions_that_a_server_forgot_are_repaired_at_once(peer: McpPeer) -> None:
    link = McpLink(server(peer.url, max_sessions=2))
    await asyncio.gather(*(added(link) for _ in range(20)))

    peer.kill()
    peer.start()

    assert await asyncio.gather(*(added(link, number) for number in range(20))) == [*range(2, 22)]
    await link.close()


async def test_an_answer_that_breaks_off_is_the_matter_of_one_call(unused_tcp_port: int) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = int(head.partition("content-length: ")[2].partition("\r")[0])
        asked = loads(await reader.readexactly(length))
        result: Any = {"serverInfo": {"name": "x", "version": "1"}, "capabilities": {}}
        result["protocolVersion"] = "2025-11-25"
        body = dumps({"jsonrpc": "2.0", "id": asked.get("id"), "result": result})
        status = b"202 Accepted" if "id" not in asked else b"200 OK"
        is_cut = asked["method"] == "tools/call" and asked["params"]["name"] == "cut"
        is_unknown = asked["method"] == "server/discover"
        writer.write(b"HTTP/1.1 %s\r\n" % (b"400 No" if is_unknown else status))
        writer.write(b"content-type: %s\r\n" % (b"text/plain" if is_unknown else b"application/json"))
        writer.write(b"connection: close\r\ncontent-length: %d\r\n\r\n" % (len(body) + 7 * is_cut))
        writer.write(body)
        writer.close()

    async def call(link: McpLink, name: str) -> Any:
        async def ask(client: Any) -> Any:
            return await client.session.send_ping() if name == "ping" else await client.call_tool(name, {})

        return await link.request(ask)

    peer = await asyncio.start_server(answer, "127.0.0.1", unused_tcp_port)
    link = McpLink(server(f"http://127.0.0.1:{unused_tcp_port}/mcp", max_sessions=1))

    with pytest.raises(McpFailure):
        await call(link, "cut")

    session = await link.session()
    await call(link, "ping")
    assert await link.session() is session
    await link.close()
    peer.close()


async def test_a_dead_server_is_told_of_at_once_and_returns(peer: McpPeer) -> None:
    link = McpLink(server(peer.url))
    await added(link)
    peer.kill()

    with pytest.raises(McpFailure, match="can't be reached") as caught:
        await added(link)

    assert not caught.value.was_sent
    peer.start()
    assert await added(link) == 3
    await link.close()


async def test_opening_pauses_after_failures_and_says_why(peer: McpPeer) -> None:
    peer.kill()
    link = McpLink(server(peer.url))

    with pytest.raises(McpFailure) as first:
        await added(link)
    with pytest.raises(McpFailure) as second:
        await added(link)

    assert first.value.message == second.value.message
    assert not link.may_try()
    await link.close()


async def test_a_slow_call_ends_at_its_time_and_its_neighbour_is_not_delayed() -> None:
    with peers(2) as (slow, fast):
        slow_link = McpLink(replace(server(slow.url), call_timeout_s=0.3))
        fast_link = McpLink(server(fast.url))
        late = asyncio.create_task(waited(slow_link, 30))

        assert await added(fast_link) == 3
        with pytest.raises(McpTimeout, match=r"did not answer within 0\.3 s"):
            await late

        assert await added(slow_link) == 3
        await slow_link.close()
        await fast_link.close()


async def test_all_of_a_call_ends_at_the_total_time(peer: McpPeer) -> None:
    link = McpLink(replace(server(peer.url), total_timeout_s=0.3, call_timeout_s=30))

    with pytest.raises(McpTimeout, match="in all"):
        await waited(link, 30)

    await link.close()


async def test_a_server_that_accepts_and_never_answers_is_given_up(unused_tcp_port: int) -> None:
    held: list[Any] = []
    silent = await asyncio.start_server(lambda *pair: held.append(pair), "127.0.0.1", unused_tcp_port)
    link = McpLink(server(f"http://127.0.0.1:{unused_tcp_port}/mcp", connect_timeout_s=0.3))

    with pytest.raises(McpFailure, match="did not answer in time"):
        await added(link)

    await link.close()
    for _, writer in held:
        writer.close()
    silent.close()


async def test_a_cancelled_call_leaves_the_session_to_others(link: McpLink) -> None:
    await added(link)
    late = asyncio.create_task(waited(link, 30))
    await asyncio.sleep(0)

    late.cancel()

    with pytest.raises(asyncio.CancelledError):
        await late
    assert await added(link) == 3


async def test_addresses_that_must_not_be_called_are_not(settings: Any, peer: McpPeer) -> None:
    entry = server(peer.url.replace("127.0.0.1", "localhost"))
    settings.ALLOW_PRIVATE_HOSTS = False
    link = McpLink(entry)

    with pytest.raises(McpFailure):
        await added(link)

    assert peer.headers == []
    await link.close()


async def test_credentials_and_headers_are_sent(peer: McpPeer) -> None:
    row = McpServer(name="peer", url=peer.url, auth="bearer")
    row.set_secret("token-4711")
    row.set_headers({"x-team": "ops"})
    link = McpLink(server_entry(row))

    await added(link)

    assert {headers["authorization"] for headers in peer.headers} == {"Bearer token-4711"}
    assert {headers["x-team"] for headers in peer.headers} == {"ops"}
    await link.close()


async def test_progress_is_told_while_a_call_runs() -> None:
    told: list[tuple[float, float | None, str | None]] = []

    async def tell(progress: float, total: float | None, message: str | None) -> None:
        told.append((progress, total, message))

    async def ask(client: Any) -> Any:
        return await client.call_tool("steps", {}, progress_callback=tell)

    with McpPeer(steps) as peer:
        link = McpLink(server(peer.url))
        await link.request(ask)
        await link.close()

    assert told == [(1, 2, "half")]


async def test_a_server_over_sse_is_asked_too() -> None:
    with McpPeer(transport="sse") as peer:
        link = McpLink(server(peer.url, transport="sse"))

        assert await added(link, 2, 2) == 4

        await link.close()
