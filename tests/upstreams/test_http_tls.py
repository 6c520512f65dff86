"""TLS to an upstream: whom it trusts, what it asks for, and that nothing is left of a broken handshake."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

import pytest

from tests.fakes.certificates import certificate
from tests.fakes.certificates import serving as serving_tls
from tests.upstreams.loopback import Peer, serving
from tests.upstreams.pools import NAME, ask, leading_to, pool_of, until
from upstreams_app.errors import UpstreamUnreachable


def trusting(pem: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(pem))


async def test_tls_asks_for_the_name_and_verifies_it(tmp_path: Path) -> None:
    pem = certificate(tmp_path, NAME)
    tls = serving_tls(pem)
    asked: list[str | None] = []
    tls.sni_callback = lambda _socket, name, _context: asked.append(name)

    async with serving(tls=tls) as server:
        url = f"https://{NAME}.:{server.port}"
        pool = pool_of(url, look_up=leading_to("127.0.0.1"), tls=trusting(pem))
        pool.give_back(await ask(pool))
        pool.give_back(await ask(pool))
        pool.close()

        assert len(server.peers) == 1
        assert asked == [NAME]


@pytest.mark.parametrize("fault", ["name", "issuer", "no-tls"])
async def test_tls_that_can_not_be_trusted_is_told(tmp_path: Path, fault: str) -> None:
    pem, other = certificate(tmp_path, NAME), certificate(tmp_path, "other.example")
    host = "other.example" if fault == "name" else NAME

    async def plain(peer: Peer) -> None:
        await peer.reader.read(100)
        peer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await peer.wait_gone()

    async with serving(plain, tls=None if fault == "no-tls" else serving_tls(pem)) as server:
        pool = pool_of(
            f"https://{host}:{server.port}",
            look_up=leading_to("127.0.0.1"),
            tls=trusting(other if fault == "issuer" else pem),
        )

        with pytest.raises(UpstreamUnreachable, match=r"^TLS failed$"):
            await pool.connect()


@pytest.mark.parametrize("name", [".models.example", "x" * 300, "a..b"])
async def test_a_name_that_no_certificate_can_have_is_refused_at_once(name: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        pool_of("https://127.0.0.1", tls=ssl.create_default_context(), server_name=name)


async def test_tls_may_verify_another_name_and_show_a_certificate(tmp_path: Path) -> None:
    pem, own = certificate(tmp_path, NAME), certificate(tmp_path, "gateway.example")
    context = trusting(pem)
    context.load_cert_chain(own)

    async with serving(tls=serving_tls(pem, clients=own)) as server:
        pool = pool_of(f"https://127.0.0.1:{server.port}", tls=context, server_name=NAME)
        await ask(pool)
        pool.close()


async def test_large_bodies_pass_tls_both_ways(tmp_path: Path) -> None:
    pem = certificate(tmp_path, NAME)
    size = 3_000_000

    async def echo(peer: Peer) -> None:
        _, body = await peer.request()
        peer.write(b"HTTP/1.1 200 OK\r\n\r\n" + body)
        await peer.writer.drain()
        peer.writer.close()

    async with serving(echo, tls=serving_tls(pem)) as server:
        pool = pool_of(f"https://{NAME}:{server.port}", look_up=leading_to("127.0.0.1"), tls=trusting(pem))
        connection = await pool.connect()
        body = bytes(range(256)) * (size // 256)
        await connection.ask(b"POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % len(body), body)
        got = bytearray()
        while piece := await connection.read_any():
            got += piece
            await asyncio.sleep(0)

    assert got == body
    assert not connection.finish()


async def test_who_stops_waiting_in_a_handshake_leaves_no_connection() -> None:
    async def mute(peer: Peer) -> None:
        await peer.wait_gone()

    async with serving(mute) as server:
        pool = pool_of(f"https://127.0.0.1:{server.port}", tls=ssl.create_default_context())
        connecting = asyncio.create_task(pool.connect())
        await server.wait_for_peers(1)
        await asyncio.sleep(0.02)
        connecting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await connecting

        await until(server.peers[0].gone.is_set)
    assert not pool._open
