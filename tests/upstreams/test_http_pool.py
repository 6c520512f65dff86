"""Connections are opened to checked addresses, kept while they are good, and never leaked."""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from gateway_project.core.outbound import Address, GuardedResolver, LookUp, look_up
from tests.fakes.certificates import certificate
from tests.fakes.certificates import serving as serving_tls
from tests.upstreams.loopback import HI, Peer, Server, serving
from upstreams_app.errors import UpstreamUnreachable
from upstreams_app.services import http_pool
from upstreams_app.services.http1 import Connection
from upstreams_app.services.http_pool import ConnectionPool
from upstreams_app.services.request_head import endpoint

ASK = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"
REFUSED = "the connection was refused or failed"
NAME = "models.example"


def pool_of(
    url: str,
    *,
    look_up: LookUp = look_up,
    tls: ssl.SSLContext | None = None,
    server_name: str | None = None,
    allow_private: bool = True,
) -> ConnectionPool:
    resolver = GuardedResolver(allow_private=allow_private, look_up=look_up)
    return ConnectionPool(endpoint(url), resolver=resolver, tls=tls, server_name=server_name)


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    async with serving() as running:
        yield running


async def ask(pool: ConnectionPool, connection: Connection | None = None) -> Connection:
    """One whole exchange, its connection not yet given back."""
    connection = connection or pool.take() or await pool.connect()
    await connection.ask(ASK, b"")
    assert await connection.read_any() == b"hi"
    return connection


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not is_so():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


async def test_the_last_one_used_is_the_next_one_used(server: Server) -> None:
    pool = pool_of(server.url)
    first, second = await ask(pool), await ask(pool)

    pool.give_back(first)
    pool.give_back(second)

    assert pool.take() is second
    assert pool.take() is first
    assert pool.take() is None
    pool.close()


async def test_there_is_no_limit_on_connections_in_use(server: Server) -> None:
    pool = pool_of(server.url)

    opened = await asyncio.gather(*(pool.connect() for _ in range(150)))

    assert len(set(opened)) == 150
    await asyncio.gather(*(ask(pool, each) for each in opened))
    pool.close()
    await until(lambda: all(peer.gone.is_set() for peer in server.peers))


async def test_idle_connections_are_closed_after_a_while(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_pool, "KEEP_IDLE_S", 0.1)
    monkeypatch.setattr(http_pool, "_SWEEP_S", 0.02)
    pool = pool_of(server.url)
    held, *spare = [await ask(pool) for _ in range(3)]
    for connection in spare:
        pool.give_back(connection)

    await until(lambda: sum(peer.gone.is_set() for peer in server.peers) == 2)

    assert pool.take() is None
    pool.give_back(await ask(pool, held))
    assert pool.take() is held
    assert pool._timer is not None
    held.abort()
    await until(lambda: pool._timer is None)
    assert not pool._open


async def test_an_idle_connection_that_the_server_ends_is_not_used(server: Server) -> None:
    pool = pool_of(server.url)
    pool.give_back(await ask(pool))

    server.peers[0].writer.close()
    await until(lambda: not pool._open)

    assert pool.take() is None
    pool.give_back(await ask(pool))
    assert len(server.peers) == 2
    pool.close()


async def test_an_idle_connection_that_says_something_is_not_used(server: Server) -> None:
    pool = pool_of(server.url)
    pool.give_back(await ask(pool))

    server.peers[0].write(HI)
    await until(lambda: not pool._open)

    assert pool.take() is None
    pool.close()


async def test_a_connection_on_its_way_out_is_not_taken(server: Server) -> None:
    pool = pool_of(server.url)
    good, bad = await ask(pool), await ask(pool)
    pool.give_back(good)
    pool.give_back(bad)

    bad.abort()

    assert pool.take() is good
    assert pool.take() is None
    pool.close()


async def test_a_connection_that_comes_after_the_closing_is_closed(server: Server) -> None:
    pool = pool_of(server.url)
    connecting = asyncio.create_task(pool.connect())
    await asyncio.sleep(0)
    pool.close()

    with pytest.raises(UpstreamUnreachable, match="closed"):
        await connecting
    await until(lambda: all(peer.gone.is_set() for peer in server.peers))


async def test_closing_breaks_off_what_is_under_way() -> None:
    asked = asyncio.Event()

    async def silent(peer: Peer) -> None:
        await peer.request()
        asked.set()
        await peer.wait_gone()

    async with serving(silent) as server:
        pool = pool_of(server.url)
        connection = await pool.connect()
        asking = asyncio.create_task(connection.ask(ASK, b""))
        await asked.wait()
        pool.close()

        with pytest.raises(UpstreamUnreachable, match="closed"):
            await asking
        await until(server.peers[0].gone.is_set)
        with pytest.raises(UpstreamUnreachable, match="closed"):
            await pool.connect()


async def test_nobody_listening_is_told(server: Server) -> None:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        port = reserved.getsockname()[1]

        with pytest.raises(UpstreamUnreachable, match=f"^{REFUSED}$"):
            await pool_of(f"http://127.0.0.1:{port}").connect()


@pytest.mark.parametrize("host", ["no-such-name.invalid", "a..b", "x" * 64 + ".example"])
async def test_a_name_that_means_nothing_is_told(host: str) -> None:
    async def unknown(host: str, port: int) -> list[Address]:
        host.encode("idna")
        raise socket.gaierror(socket.EAI_NONAME, "unknown")

    try:
        pool = pool_of(f"http://{host}/", look_up=unknown)
    except ValueError:
        return
    with pytest.raises(UpstreamUnreachable, match=r"^the host name has no usable address$"):
        await pool.connect()


@pytest.mark.parametrize("host", ["127.0.0.1", NAME])
async def test_a_forbidden_address_is_never_connected_to(server: Server, host: str) -> None:
    pool = pool_of(f"http://{host}:{server.port}", look_up=leading_to("127.0.0.1"), allow_private=False)

    with pytest.raises(UpstreamUnreachable, match=r"^the host name has no usable address$"):
        await pool.connect()
    await asyncio.sleep(0.02)
    assert not server.peers


def leading_to(*addresses: str) -> LookUp:
    """Answers each name with these addresses."""

    async def answer(host: str, port: int) -> list[Address]:
        return [
            Address(socket.AF_INET6, (address, port, 0, 0))
            if ":" in address
            else Address(socket.AF_INET, (address, port))
            for address in addresses
        ]

    return answer


@pytest.mark.parametrize(
    "addresses", [["127.0.0.9", "127.0.0.1"], ["::1", "127.0.0.9", "127.0.0.1", "127.0.0.8"]]
)
async def test_an_address_that_refuses_is_followed_by_the_next(server: Server, addresses: list[str]) -> None:
    pool = pool_of(f"http://{NAME}:{server.port}", look_up=leading_to(*addresses))

    started = time.monotonic()
    await ask(pool)

    assert time.monotonic() - started < 0.2
    pool.close()


async def test_nobody_behind_any_address_is_told(server: Server) -> None:
    pool = pool_of(f"http://{NAME}:{server.port}", look_up=leading_to("127.0.0.9", "127.0.0.8"))

    with pytest.raises(UpstreamUnreachable, match=f"^{REFUSED}$"):
        await pool.connect()


@pytest.fixture
def silent_address() -> Iterator[Address]:
    """Where connections are neither accepted nor refused: the queue of the listener is full."""
    with ExitStack() as held, socket.socket() as listener:
        listener.bind(("127.0.0.7", 0))
        listener.listen(0)
        for _ in range(3):
            waiting = held.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        yield Address(socket.AF_INET, listener.getsockname())


async def test_an_address_that_says_nothing_delays_the_next_only_a_little(
    server: Server, silent_address: Address
) -> None:
    async def both(host: str, port: int) -> list[Address]:
        return [silent_address, Address(socket.AF_INET, ("127.0.0.1", server.port))]

    pool = pool_of(f"http://{NAME}", look_up=both)

    started = time.monotonic()
    await ask(pool)

    assert 0.2 < time.monotonic() - started < 2
    pool.close()


@pytest.mark.parametrize("count", [1, 2])
async def test_who_stops_waiting_for_a_connection_leaves_no_socket(
    silent_address: Address, count: int
) -> None:
    async def silent(host: str, port: int) -> list[Address]:
        return [silent_address] * count

    pool = pool_of(f"http://{NAME}", look_up=silent)
    await asyncio.sleep(0.01)
    before = open_files()

    connecting = asyncio.create_task(pool.connect())
    await asyncio.sleep(0.3)
    assert open_files() == before + count
    connecting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await connecting

    await until(lambda: open_files() == before)
    assert not pool._open


def open_files() -> int:
    """How many descriptors this process has open, but for the one that counts."""
    return len(list(Path("/proc/self/fd").iterdir()))


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


async def test_of_two_addresses_that_answer_one_connection_is_left(server: Server) -> None:
    two = [Address(socket.AF_INET, ("127.0.0.1", server.port))] * 2
    before = open_files()

    for _ in range(20):
        attempts = [asyncio.create_task(http_pool.connected_socket(two)) for _ in range(2)]
        for turn in range(3):
            await asyncio.sleep(0)
            attempts[1].cancel() if turn == 1 else None
        (await attempts[0]).close()
        await asyncio.wait(attempts)
        if not attempts[1].cancelled():
            attempts[1].result().close()

    await until(lambda: all(peer.gone.is_set() for peer in server.peers))
    await until(lambda: open_files() <= before)


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


async def test_connections_are_made_for_small_writes(server: Server) -> None:
    (address,) = await GuardedResolver(allow_private=True).resolve("127.0.0.1", server.port)

    with await http_pool.connected_socket([address]) as connected:
        assert connected.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert connected.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert not connected.getblocking()
