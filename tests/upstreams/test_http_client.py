"""A call over real connections: what is sent, when it is sent again, and that nothing is left behind."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from pathlib import Path
from typing import Any

import pytest
from pytest_django.fixtures import Settings

from tests.fakes.certificates import certificate
from tests.fakes.certificates import serving as serving_tls
from tests.upstreams.loopback import HI, Handler, Peer, RecordedScope, config, phases, refusing, serving
from upstreams_app.errors import UpstreamUnreachable
from upstreams_app.registry import UpstreamConfig
from upstreams_app.services.client import HttpClient


async def call(client: HttpClient, upstream: UpstreamConfig, body: bytes = b"{}", **options: Any) -> bytes:
    """A whole call: the body of its answer."""
    answer = await client.post("/chat", body, phases=phases(upstream), **options)
    assert client.in_flight == 1
    got = b""
    while piece := await answer.read_any():
        got += piece
    assert answer.is_at_end
    answer.release(is_complete=True)
    assert client.in_flight == 0
    return got


async def test_a_request_holds_our_headers_and_no_others() -> None:
    async with serving() as server:
        upstream = config(server.url + "/v1", headers=(("X-Team", "blue"), ("user-agent", "custom")))
        client = HttpClient(upstream)

        assert [await call(client, upstream), await call(client, upstream, b"")] == [b"hi", b"hi"]
        await client.close()

    (_, head, body), (_, second, empty) = server.requests
    lines = (
        "POST /v1/chat HTTP/1.1",
        f"Host: 127.0.0.1:{server.port}",
        "Content-Type: application/json",
        "Accept: application/json, text/event-stream",
        "Accept-Encoding: identity",
        "user-agent: custom",
        "X-Team: blue",
        "Authorization: Bearer sk-upstream-0123",
        "Content-Length: 2",
    )
    assert head.decode() == "\r\n".join(lines) + "\r\n\r\n"
    assert body == b"{}"
    assert second == head.replace(b"Length: 2", b"Length: 0")
    assert empty == b""
    assert len(server.peers) == 1


async def test_a_clients_credential_serves_its_own_call_only() -> None:
    async with serving() as server:
        upstream = config(server.url, credential="")
        client = HttpClient(upstream)
        await call(client, upstream, credential="sk-of-alice")
        await call(client, upstream)
        with pytest.raises(UpstreamUnreachable, match="can't be sent"):
            await call(client, upstream, credential="x\r\nX-Admin: 1")
        assert client.in_flight == 0
        await client.close()

    alice, nobody = (head.lower() for _, head, _ in server.requests)
    assert b"\r\nauthorization: bearer sk-of-alice\r\n" in alice
    assert b"authorization" not in nobody


async def test_calls_take_turns_over_the_endpoints() -> None:
    async with serving() as first, serving() as second:
        upstream = config(first.url + "/a", second.url + "/b")
        client = HttpClient(upstream)
        for _ in range(4):
            await call(client, upstream)
        await client.close()

    assert [len(each.requests) for each in (first, second)] == [2, 2]
    assert [len(each.peers) for each in (first, second)] == [1, 1]


async def test_a_host_that_leads_inside_is_not_called(settings: Settings) -> None:
    settings.ALLOW_PRIVATE_HOSTS = False
    async with serving() as server:
        for host in ("127.0.0.1", "localhost"):
            upstream = config(f"http://{host}:{server.port}")
            client = HttpClient(upstream)
            with pytest.raises(UpstreamUnreachable, match=r"^the host name has no usable address$"):
                await call(client, upstream)
            assert client.in_flight == 0
    assert not server.peers


async def test_tls_is_as_configured(tmp_path: Path) -> None:
    pem, own = certificate(tmp_path, "models.example"), certificate(tmp_path, "gateway.example")
    tls = {
        "verify_hostname": "models.example",
        "ca_bundle": str(pem),
        "client_certificate": str(own),
        "client_key": str(own),
    }

    async with serving(tls=serving_tls(pem, clients=own)) as server:
        url = f"https://127.0.0.1:{server.port}"
        good, doubtful = config(url, connection=tls), config(url)
        client = HttpClient(good)
        assert await call(client, good) == b"hi"
        await client.close()

        client = HttpClient(doubtful)
        with pytest.raises(UpstreamUnreachable, match=r"^TLS failed$"):
            await call(client, doubtful)
        await client.close()


async def test_the_phases_are_those_of_the_connection() -> None:
    async with serving() as server:
        upstream = config(server.url)
        client = HttpClient(upstream)
        for expected in (["connect", "first token"], ["first token"]):
            told = phases(upstream)
            answer = await client.post("/chat", b"{}", phases=told)
            await answer.read_any()
            answer.release(is_complete=True)
            assert isinstance(told.scope, RecordedScope)
            assert told.scope.phases == expected
        await client.close()


async def test_a_stale_connection_is_replaced_once_by_a_fresh_one() -> None:
    async def dies_after_one(peer: Peer) -> None:
        await peer.request()
        peer.write(HI)
        await peer.request()

    async with serving(dies_after_one) as server:
        upstream = config(server.url)
        client = HttpClient(upstream)
        for number in range(1, 5):
            told = phases(upstream)
            answer = await client.post("/chat", b"{}", phases=told)
            assert await answer.read_any() == b"hi"
            answer.release(is_complete=True)
            assert len(server.peers) == number
        assert isinstance(told.scope, RecordedScope)
        assert told.scope.phases == ["first token", "connect", "first token"]
        await client.close()


@pytest.mark.parametrize("said", [b"H", b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 200 OK\r\n"])
async def test_nothing_is_sent_twice_once_a_byte_came(said: bytes) -> None:
    requests = 0

    async def handle(peer: Peer) -> None:
        nonlocal requests
        for answer in (HI, said):
            await peer.request()
            requests += 1
            peer.write(answer)
        await peer.writer.drain()
        peer.writer.close()

    async with serving(handle) as server:
        upstream = config(server.url)
        client = HttpClient(upstream)
        await call(client, upstream)
        with pytest.raises(UpstreamUnreachable, match="before an answer"):
            await call(client, upstream)
        assert (requests, len(server.peers), client.in_flight) == (2, 1, 0)
        await client.close()


async def test_a_server_may_refuse_before_it_has_read_all() -> None:
    async with serving(refusing(b"large")) as server:
        upstream = config(server.url)
        client = HttpClient(upstream)
        for _ in range(2):
            answer = await client.post("/chat", b"x" * 20_000_000, phases=phases(upstream))
            assert answer.status == 413
            assert await answer.read_any() == b"large"
            answer.release(is_complete=True)
        assert len(server.peers) == 2
        await client.close()


@pytest.mark.parametrize("is_complete", [False, True])
async def test_an_answer_that_was_not_read_to_its_end_ends_its_connection(is_complete: bool) -> None:
    async with serving(None, HI[:-1]) as server:
        upstream = config(server.url)
        client = HttpClient(upstream)
        answer = await client.post("/chat", b"{}", phases=phases(upstream))
        answer.release(is_complete=is_complete)
        assert client.in_flight == 0

        async with asyncio.timeout(5):
            await server.peers[0].gone.wait()
        # Its connection may be another call's by now.
        with pytest.raises(RuntimeError):
            await answer.read_any()
        await client.close()


async def test_a_client_that_reads_slowly_holds_the_server_back() -> None:
    size = 60_000_000
    sent = 0

    async def endless(peer: Peer) -> None:
        nonlocal sent
        await peer.request()
        peer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        while sent < size:
            peer.write(b"x" * 100_000)
            sent += 100_000
            await peer.writer.drain()
        await peer.wait_gone()

    async with serving(endless) as server:
        upstream = config(server.url)
        client = HttpClient(upstream)
        answer = await client.post("/chat", b"{}", phases=phases(upstream))
        before = -1
        while sent != before:
            before = sent
            await asyncio.sleep(0.2)
        assert sent < size / 2

        got = 0
        while piece := await answer.read_any():
            got += len(piece)
        assert got == size
        answer.release(is_complete=True)
        await client.close()


async def _says_nothing(peer: Peer) -> None:
    await peer.wait_gone()


async def _says_a_part_of_a_head(peer: Peer) -> None:
    await peer.request()
    peer.write(b"HTTP/1.1 200 OK\r\nX-")
    await peer.wait_gone()


async def _says_a_head(peer: Peer) -> None:
    await peer.request()
    peer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\npart")
    await peer.wait_gone()


@pytest.mark.parametrize(
    ("handler", "scheme"),
    [
        (_says_nothing, "https"),
        (_says_nothing, "http"),
        (_says_a_part_of_a_head, "http"),
        (_says_a_head, "http"),
    ],
    ids=["handshake", "asked", "head", "body"],
)
async def test_who_leaves_in_a_call_leaves_nothing_behind(handler: Handler, scheme: str) -> None:
    async with serving(handler) as server:
        upstream = config(f"{scheme}://127.0.0.1:{server.port}")
        client = HttpClient(upstream)

        async def read_all() -> None:
            answer = await client.post("/chat", b"{}", phases=phases(upstream))
            is_complete = False
            try:
                while await answer.read_any():
                    pass
                is_complete = True
            finally:
                answer.release(is_complete=is_complete)

        calling = asyncio.create_task(read_all())
        await server.wait_for_peers(1)
        await asyncio.sleep(0.05)
        assert client.in_flight == 1
        calling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await calling

        assert client.in_flight == 0
        async with asyncio.timeout(5):
            await server.peers[0].gone.wait()
        await client.close()


async def test_a_call_may_be_cancelled_at_every_turn_of_the_loop() -> None:
    async with serving() as server:
        upstream = config(server.url)
        client = HttpClient(upstream)

        async def read_all() -> bytes:
            answer = await client.post("/chat", b"{}", phases=phases(upstream))
            got, is_complete = b"", False
            try:
                while piece := await answer.read_any():
                    got += piece
                is_complete = True
            finally:
                answer.release(is_complete=is_complete)
            return got

        turns, got = 0, b""
        while not got:
            calling = asyncio.create_task(read_all())
            for _ in range(turns):
                await asyncio.sleep(0)
            calling.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                got = await calling
            assert client.in_flight == 0
            turns += 1

        assert got == b"hi"
        assert turns > 3
        await client.close()
        async with asyncio.timeout(5):
            for peer in server.peers:
                await peer.gone.wait()


async def test_many_calls_at_once_get_their_own_answers() -> None:
    async def echo(peer: Peer) -> None:
        while True:
            _, body = await peer.request()
            await asyncio.sleep(0)
            peer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body))
            peer.write(body)

    async with serving(echo) as server:
        upstream = config(server.url)
        client = HttpClient(upstream)

        async def one(number: int) -> None:
            for turn in range(10):
                sent = b"%d-%d " % (number, turn) * (number * 40 + 1)
                answer = await client.post("/chat", sent, phases=phases(upstream))
                got = b""
                while piece := await answer.read_any():
                    got += piece
                answer.release(is_complete=True)
                assert got == sent

        await asyncio.gather(*(one(number) for number in range(60)))

        assert client.in_flight == 0
        assert len(server.peers) <= 60
        await client.close()


async def test_ipv6_is_reached() -> None:
    with socket.socket(socket.AF_INET6) as probe:
        try:
            probe.bind(("::1", 0))
        except OSError:
            pytest.skip("this machine has no IPv6")
    async with serving(host="::1") as server:
        upstream = config(f"http://[::1]:{server.port}")
        client = HttpClient(upstream)
        assert await call(client, upstream) == b"hi"
        await client.close()
    assert f"\r\nHost: [::1]:{server.port}\r\n".encode() in server.requests[0][1]
