"""Where answers are kept: bounded, sealed where others can read, and never in the way."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from security_app.limits.wire import Address, Wire
from tests.cache.cached import Clock, until
from tests.services import ValkeyServer, own_valkey_database
from upstreams_app.services.answer_cache import valkey as stores
from upstreams_app.services.answer_cache.entries import Kept
from upstreams_app.services.answer_cache.memory import MemoryStore
from upstreams_app.services.answer_cache.valkey import ValkeyStore, opened, sealed

KEY, OTHER = "a" * 64, "b" * 64


def kept(body: bytes = b"fine") -> Kept:
    """An answer."""
    return Kept(body, 1.0, "req_1", 3, 2, 70)


def on_valkey(url: str, work: Callable[[ValkeyStore], Awaitable[None]], max_bytes: int = 10_000_000) -> None:
    """Do the work with a store that is connected."""

    async def main() -> None:
        store = ValkeyStore(url, max_bytes)
        try:
            await until(lambda: store.is_connected)
            await work(store)
        finally:
            await store.stop()

    asyncio.run(main())


async def ask(url: str, *words: bytes) -> bytes:
    """What Valkey answers to a command."""
    wire = await Wire.connect(Address.parse(url), 5.0, lambda reason: None)
    try:
        return await wire.send(*words)
    finally:
        wire.close()


def test_memory_forgets_what_was_used_least_recently() -> None:
    store = MemoryStore(80_000, Clock())
    for name in "abcdefg":
        store.put(name, kept(b"x" * 9_000), 60)
    store.get("a")
    store.put("h", kept(b"x" * 9_000), 60)
    store.put("i", kept(b"x" * 9_000), 60)

    assert [name for name in "abcdefghi" if store.get(name)] == [*"acdefghi"]
    assert store.size_bytes <= 80_000


def test_memory_keeps_nothing_that_would_push_out_all() -> None:
    store = MemoryStore(80_000, Clock())

    store.put("a", kept(b"x" * 10_000), 60)

    assert (store.get("a"), len(store), store.size_bytes) == (None, 0, 0)


def test_memory_ends_what_has_had_its_time() -> None:
    clock = Clock()
    store = MemoryStore(80_000, clock)
    store.put("a", kept(), 60)
    clock.now += 60

    assert (store.get("a"), store.size_bytes) == (None, 0)


def test_memory_forgets_by_keys_and_by_their_start() -> None:
    store = MemoryStore(80_000, Clock())
    for name in ("a1", "a2", "b1", "b2"):
        store.put(name, kept(), 60)

    assert (store.delete(["b1", "no"]), store.flush("a"), store.flush(), store.size_bytes) == (1, 2, 1, 0)


def test_what_is_sealed_opens_only_in_its_place() -> None:
    data = sealed(kept(b"a secret"), KEY)

    assert b"secret" not in data
    assert opened(data, KEY) == kept(b"a secret")
    assert opened(data, OTHER) is None
    assert opened(data[:-1] + bytes([data[-1] ^ 1]), KEY) is None
    assert opened(b"anything", KEY) is None


def test_valkey_keeps_for_all_processes_and_until_the_end(shared_valkey_url: str) -> None:
    url = own_valkey_database(shared_valkey_url)

    async def work(store: ValkeyStore) -> None:
        store.put(KEY, kept(), 60)
        assert await store.get(KEY) == kept()
        assert await store.get(OTHER) is None
        other = ValkeyStore(url, 10_000_000)
        await until(lambda: other.is_connected)
        assert await other.get(KEY) == kept()
        await other.stop()
        ttl = int(await ask(url, b"TTL", b"{gateway}:cache:answers:" + KEY.encode()))
        assert 50 < ttl <= 60

    on_valkey(url, work)


def test_valkey_forgets_by_keys_and_by_their_start(shared_valkey_url: str) -> None:
    url = own_valkey_database(shared_valkey_url)

    async def work(store: ValkeyStore) -> None:
        for name in ("a1", "a2", "b1", "b2"):
            store.put(name, kept(), 60)
        await store.get("a1")

        assert await stores.delete(url, ["b1", "no"]) == 1
        assert await stores.flush(url, "a") == 2
        assert [await store.get(name) for name in ("a1", "a2", "b1")] == [None] * 3
        assert await store.get("b2") == kept()
        assert await stores.flush(url, "") == 1
        assert await ask(url, b"DBSIZE") == b"0"

    on_valkey(url, work)


def test_valkey_holds_no_more_than_it_may(shared_valkey_url: str) -> None:
    url = own_valkey_database(shared_valkey_url)

    async def work(store: ValkeyStore) -> None:
        for number in range(30):
            store.put(f"k{number:02}", kept(b"x" * 4_300), 600 - number)
        found = [name for number in range(30) if await store.get(name := f"k{number:02}")]

        # Those that end first go first, but for the newest.
        assert 5 < len(found) < 12
        assert found[-1] == "k29"
        assert found[0] == "k00"
        assert int(await ask(url, b"GET", b"{gateway}:cache:bytes")) <= 50_000

    on_valkey(url, work, max_bytes=50_000)


def test_what_is_overwritten_in_valkey_is_counted_once(shared_valkey_url: str) -> None:
    url = own_valkey_database(shared_valkey_url)

    async def work(store: ValkeyStore) -> None:
        store.put(OTHER, kept(), 60)
        for number in range(30):
            store.put(KEY, kept(b"x" * (4_000 + number)), 600)

        assert await store.get(KEY) == kept(b"x" * 4_029)
        assert await store.get(OTHER) == kept()
        assert int(await ask(url, b"GET", b"{gateway}:cache:bytes")) < 7_000
        assert await ask(url, b"ZCARD", b"{gateway}:cache:roll") == b"2"

    on_valkey(url, work, max_bytes=50_000)


def test_lists_of_questions_go_with_their_models_answers_and_are_none(shared_valkey_url: str) -> None:
    url = own_valkey_database(shared_valkey_url)

    async def work(store: ValkeyStore) -> None:
        for name in ("a1", "a~2", "b~1"):
            store.put(name, kept(), 60)
        await store.get("a1")

        assert await stores.flush(url, "a") == 1
        assert await store.get("a~2") is None
        assert await store.get("b~1") == kept()

    on_valkey(url, work)


def test_a_valkey_that_dies_is_a_miss_until_it_is_back(valkey: ValkeyServer) -> None:
    async def work(store: ValkeyStore) -> None:
        store.put(KEY, kept(), 60)
        assert await store.get(KEY) is not None

        valkey.kill()
        assert await store.get(KEY) is None
        store.put(KEY, kept(), 60)
        valkey.start()
        await until(lambda: store.is_connected)

        store.put(OTHER, kept(), 60)
        assert await store.get(OTHER) == kept()

    on_valkey(valkey.url, work)


@pytest.mark.parametrize("url", ["redis://127.0.0.1:1/0"])
def test_without_a_valkey_nothing_waits(url: str) -> None:
    async def work() -> None:
        store: Any = ValkeyStore(url, 1_000_000)
        store.put(KEY, kept(), 60)
        assert await store.get(KEY) is None
        await store.stop()

    asyncio.run(work())
