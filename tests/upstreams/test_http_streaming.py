"""Bodies that stream to an upstream: no faster than it takes them, no further than until it answers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from tests.upstreams.loopback import HI, Peer, config, phases, refusing, serving
from upstreams_app.errors import UpstreamUnreachable
from upstreams_app.services.client import HttpClient
from upstreams_app.services.outbound import OutboundRequest

PIECE = b"x" * 65_536
EMPTY = b"HTTP/1.1 204 No Content\r\n\r\n"


class Source:
    """So many pieces, and how many of them were taken; `is_closed` once nobody wants more."""

    def __init__(self, count: int, piece: bytes = PIECE) -> None:
        self.count = count
        self.piece = piece
        self.taken = 0
        self.is_closed = False

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        try:
            for _ in range(self.count):
                self.taken += 1
                yield self.piece
        finally:
            self.is_closed = True

    def request(self, **fields: Any) -> OutboundRequest:
        length = self.count * len(self.piece)
        return OutboundRequest("/files", **{"pieces": self.pieces, "length": length, **fields})


async def body_of(client: HttpClient, request: OutboundRequest, upstream: Any) -> tuple[int, bytes]:
    answer = await client.relay(request, phases=phases(upstream))
    got = b""
    while piece := await answer.read_any():
        got += piece
    answer.release(is_complete=True)
    assert client.in_flight == 0
    return answer.status, got


async def test_all_pieces_arrive_and_the_connection_serves_again() -> None:
    async with serving() as server:
        upstream = config(server.url + "/v1")
        client = HttpClient(upstream)
        source = Source(20)

        for _ in range(2):
            assert await body_of(client, source.request(), upstream) == (200, b"hi")
        await client.close()

    assert [body for _, _, body in server.requests] == [PIECE * 20] * 2
    assert len(server.peers) == 1
    assert source.is_closed


async def test_what_was_not_kept_goes_over_a_new_connection() -> None:
    async with serving() as server:
        upstream = config(server.url)
        client = HttpClient(upstream)

        for _ in range(2):
            await body_of(client, Source(1).request(is_kept=False), upstream)
        await client.close()

    assert len(server.peers) == 2


async def test_a_length_that_nobody_knows_is_sent_in_chunks() -> None:
    got: list[bytes] = []

    async def handle(peer: Peer) -> None:
        got.append(await peer.reader.readuntil(b"\r\n\r\n"))
        got.append(await peer.reader.readuntil(b"0\r\n\r\n"))
        peer.write(HI)
        await peer.wait_gone()

    async with serving(handle) as server:
        upstream = config(server.url)
        client = HttpClient(upstream)

        await body_of(client, Source(2, b"abc").request(length=None), upstream)
        await client.close()

    assert b"Transfer-Encoding: chunked\r\n" in got[0]
    assert got[1] == b"3\r\nabc\r\n3\r\nabc\r\n0\r\n\r\n"


async def test_an_upstream_that_takes_nothing_is_sent_little() -> None:
    async def handle(peer: Peer) -> None:
        await peer.reader.readuntil(b"\r\n\r\n")
        await asyncio.Event().wait()

    async with serving(handle) as server:
        upstream = config(server.url)
        client = HttpClient(upstream)
        source = Source(1000)
        task = asyncio.create_task(client.relay(source.request(), phases=phases(upstream)))

        await server.wait_for_peers(1)
        async with asyncio.timeout(5):
            while source.taken < 2:  # noqa: ASYNC110
                await asyncio.sleep(0.005)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

        assert source.taken < 500
        assert source.is_closed
        assert client.in_flight == 0
        await client.close()


async def test_an_answer_ends_the_sending_and_the_connection() -> None:
    async with serving(refusing(b"no")) as server:
        upstream = config(server.url)
        client = HttpClient(upstream)
        source = Source(100_000)

        assert await body_of(client, source.request(), upstream) == (413, b"no")
        assert source.taken < 90_000
        async with asyncio.timeout(5):
            await server.peers[0].gone.wait()
        await client.close()


async def test_an_upstream_that_leaves_is_told() -> None:
    async def handle(peer: Peer) -> None:
        await peer.reader.readuntil(b"\r\n\r\n")

    async with serving(handle) as server:
        upstream = config(server.url)
        client = HttpClient(upstream)

        with pytest.raises(UpstreamUnreachable):
            await client.relay(Source(100_000).request(), phases=phases(upstream))
        assert client.in_flight == 0
        await client.close()


@pytest.mark.parametrize(("method", "answer"), [("HEAD", HI), ("GET", EMPTY), ("DELETE", EMPTY)])
async def test_answers_without_a_body_end_with_their_heads(method: str, answer: bytes) -> None:
    heads: list[bytes] = []

    async def handle(peer: Peer) -> None:
        heads.append(await peer.reader.readuntil(b"\r\n\r\n"))
        peer.write(answer.removesuffix(b"hi"))
        await peer.wait_gone()

    async with serving(handle) as server:
        upstream = config(server.url)
        client = HttpClient(upstream)
        request = OutboundRequest("/v1/x", method=method, query="a=b", is_native=True)

        assert (await body_of(client, request, upstream))[1] == b""
        await client.close()

    assert heads[0].startswith(f"{method} /v1/x?a=b HTTP/1.1\r\n".encode())
    assert b"content-length" not in heads[0].lower()
