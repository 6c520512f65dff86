"""OAuth client credentials: tokens are fetched, kept, renewed, and what is wrong with them is told."""

from __future__ import annotations

import asyncio
from base64 import b64decode
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qs

import orjson
import pytest

from tests.tools.mcp_peers import McpPeer
from tools_app.mcp_entry import McpServerEntry, server_entry
from tools_app.models import McpServer
from tools_app.services.mcp_client.failures import McpFailure
from tools_app.services.mcp_client.link import McpLink
from tools_app.services.mcp_client.tokens import TokenSource


class TokenEndpoint:
    """Answers in the order of `answers` with a status and a body, the last one again and again."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, dict[str, Any]]] = []
        self.asked: list[tuple[str, dict[str, list[str]]]] = []
        self.url = ""
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._answer, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/token"

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        headers = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:] if line)
        credentials = next((line[6:] for line in head.split("\r\n") if "Basic" in line), "")
        body = (await reader.readexactly(int(headers["content-length"]))).decode()
        self.asked.append((credentials.rpartition(" ")[2], parse_qs(body)))
        status, answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        text = orjson.dumps(answer)
        writer.write(
            b"HTTP/1.1 %d X\r\ncontent-length: %d\r\nconnection: close\r\n\r\n" % (status, len(text))
        )
        writer.write(text)
        await writer.drain()
        writer.close()

    def close(self) -> None:
        if self._server is not None:
            self._server.close()


@pytest.fixture
async def endpoint() -> AsyncIterator[TokenEndpoint]:
    """Where tokens are given out."""
    one = TokenEndpoint()
    await one.start()
    yield one
    one.close()


def server(endpoint: TokenEndpoint, url: str = "http://127.0.0.1:9/mcp") -> McpServerEntry:
    """A server that wants them."""
    row = McpServer(
        name="peer",
        url=url,
        auth="oauth_client_credentials",
        auth_name="client 7",
        token_url=endpoint.url,
        scopes="read write",
    )
    row.set_secret("s:cret")
    return server_entry(row)


def given(token: str, **more: Any) -> tuple[int, dict[str, Any]]:
    """An answer with a token."""
    return 200, {"access_token": token, "token_type": "Bearer", **more}


async def test_calls_have_the_token_of_the_endpoint(endpoint: TokenEndpoint) -> None:
    endpoint.answers = [given("t1", expires_in=3600)]

    async def ask(client: Any) -> Any:
        return await client.call_tool("add", {"a": 1, "b": 2})

    with McpPeer() as peer:
        link = McpLink(server(endpoint, peer.url))
        await link.request(ask)
        await link.close()

        assert {headers["authorization"] for headers in peer.headers} == {"Bearer t1"}
    credentials, fields = endpoint.asked[0]
    assert len(endpoint.asked) == 1
    assert b64decode(credentials).decode() == "client%207:s%3Acret"
    assert fields["scope"] == ["read write"]
    assert fields["resource"] == [peer.url]


async def test_a_token_is_kept_until_it_is_refused_or_ends(endpoint: TokenEndpoint) -> None:
    endpoint.answers = [given("t1"), given("t2", expires_in=1e-9), given("t3")]
    source = TokenSource(server(endpoint))

    assert [await source.token(), await source.token()] == ["t1", "t1"]
    assert await source.token(beside="t1") == "t2"
    assert await source.token() == "t3"


async def test_servers_that_want_the_secret_in_the_body_get_it_there(endpoint: TokenEndpoint) -> None:
    endpoint.answers = [(401, {"error": "invalid_client"}), given("t1")]

    assert await TokenSource(server(endpoint)).token() == "t1"

    assert endpoint.asked[1][1]["client_secret"] == ["s:cret"]


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ((403, {}), "status 403"),
        ((400, {"error": "invalid_client"}), "invalid_client"),
        ((200, {"access_token": "a\nb"}), "no token"),
    ],
)
async def test_why_there_is_no_token_is_told_before_the_server_is_asked(
    endpoint: TokenEndpoint, answer: tuple[int, dict[str, Any]], words: str
) -> None:
    endpoint.answers = [answer]
    link = McpLink(server(endpoint))

    with pytest.raises(McpFailure, match=words):
        await link.session()

    await link.close()
