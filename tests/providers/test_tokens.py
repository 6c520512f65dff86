"""Tokens are fetched once for all, early enough, and not again and again after a failure."""

from __future__ import annotations

import asyncio

import pytest

from upstreams_app.errors import UpstreamUnreachable
from upstreams_app.providers.tokens import Token, TokenSource


class _Fetch:
    """Tokens t1, t2, … of 3600 s; waits while it is held, fails while it is broken."""

    def __init__(self) -> None:
        self.count = 0
        self.is_broken = False
        self.may_end = asyncio.Event()
        self.may_end.set()
        self.now = 1000.0

    async def __call__(self) -> Token:
        self.count += 1
        await self.may_end.wait()
        if self.is_broken:
            raise UpstreamUnreachable("Google gave no token (invalid_grant)")
        return Token(f"t{self.count}", 3600)

    def source(self) -> TokenSource:
        return TokenSource(self, now=lambda: self.now)


async def test_many_callers_wait_for_one_fetch() -> None:
    fetch = _Fetch()
    source = fetch.source()
    fetch.may_end.clear()

    callers = [asyncio.create_task(source.token()) for _ in range(20)]
    await asyncio.sleep(0)
    fetch.may_end.set()

    assert {token.value for token in await asyncio.gather(*callers)} == {"t1"}
    assert fetch.count == 1


async def test_a_token_serves_until_shortly_before_its_end() -> None:
    fetch = _Fetch()
    source = fetch.source()
    await source.token()

    fetch.now += 3600 - 226

    assert (await source.token()).value == "t1"
    assert fetch.count == 1


async def test_a_dying_token_serves_while_its_successor_is_fetched() -> None:
    fetch = _Fetch()
    source = fetch.source()
    await source.token()
    fetch.now += 3600 - 100
    fetch.may_end.clear()

    meanwhile = await source.token()
    fetch.may_end.set()
    for _ in range(5):
        await asyncio.sleep(0)

    assert meanwhile.value == "t1"
    assert (await source.token()).value == "t2"
    assert fetch.count == 2


async def test_a_dead_token_is_not_given() -> None:
    fetch = _Fetch()
    source = fetch.source()
    await source.token()

    fetch.now += 3600 - 10

    assert (await source.token()).value == "t2"


async def test_a_failed_fetch_leaves_the_token_that_still_serves() -> None:
    fetch = _Fetch()
    source = fetch.source()
    await source.token()
    fetch.now += 3600 - 100
    fetch.is_broken = True

    values = {(await source.token()).value for _ in range(5)}
    await asyncio.sleep(0)
    values |= {(await source.token()).value for _ in range(5)}

    assert values == {"t1"}
    assert fetch.count == 2


async def test_after_a_failure_nobody_asks_for_five_seconds() -> None:
    fetch = _Fetch()
    source = fetch.source()
    fetch.is_broken = True

    for _ in range(10):
        with pytest.raises(UpstreamUnreachable, match="invalid_grant"):
            await source.token()
    asked = fetch.count
    fetch.is_broken = False
    fetch.now += 5

    assert asked == 1
    assert (await source.token()).value == "t2"


async def test_a_caller_who_leaves_takes_nobodys_token() -> None:
    fetch = _Fetch()
    source = fetch.source()
    fetch.may_end.clear()
    leaving, staying = (asyncio.create_task(source.token()) for _ in range(2))
    await asyncio.sleep(0)

    leaving.cancel()
    await asyncio.sleep(0)
    fetch.may_end.set()

    assert (await staying).value == "t1"
    assert leaving.cancelled()


async def test_closing_ends_a_fetch() -> None:
    fetch = _Fetch()
    source = fetch.source()
    fetch.may_end.clear()
    waiting = asyncio.create_task(source.token())
    await asyncio.sleep(0)

    await source.close()

    with pytest.raises(UpstreamUnreachable, match="closed"):
        await waiting


def test_a_token_is_not_shown() -> None:
    assert "secret" not in repr(Token("secret", 10))
