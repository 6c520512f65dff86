"""Connections are opened to checked addresses, kept while they are good, and never leaked."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from gateway_project.core.outbound import Address, GuardedResolver
from tests.upstreams.loopback import HI, Peer, Server, serving
from tests.upstreams.pools import ASK, NAME, ask, leading_to, pool_of, until
from upstreams_app.errors import UpstreamUnreachable
from upstreams_app.services import http_pool

REFUSED = "the connection was refused or failed"


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    async with serving() as running:
        yield running


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


async def test_connections_are_made_for_small_writes(server: Server) -> None:
    (address,) = await GuardedResolver(allow_private=True).resolve("127.0.0.1", server.port)

    with await http_pool.connected_socket([address]) as connected:
        assert connected.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert connected.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert not connected.getblocking()
