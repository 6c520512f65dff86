"""What happens to Valkey does not hang a request, is visible, and is over when Valkey is back."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import pytest
import redis

from security_app.limits import Counter, Granted, Lifetime, Unavailable
from security_app.limits.valkey import ValkeyLimiter
from tests.limits.proxy import Proxy
from tests.limits.stories import PATIENT_S, ask, budget, per_minute, slots
from tests.services import ValkeyServer, own_valkey_database

# Much longer than the time limits of the limiter, for a busy machine.
SOON_S = 20.0
MONEY = budget(100, window=Lifetime())


@asynccontextmanager
async def limiter_on(
    url: str, *, used: int = 0, timeout_s: float = PATIENT_S
) -> AsyncIterator[ValkeyLimiter]:
    """A limiter whose ledger says that so much was used of everything."""

    async def seeder(counters: Sequence[Counter]) -> list[int]:
        return [used] * len(counters)

    limiter = ValkeyLimiter(url, seeder, timeout_s=timeout_s)
    await limiter.start()
    try:
        yield limiter
    finally:
        await limiter.stop()


async def until(is_true: Callable[[], bool]) -> None:
    """Returns when the condition holds."""
    async with asyncio.timeout(SOON_S):
        while not is_true():  # noqa: ASYNC110  (what is waited for has no event)
            await asyncio.sleep(0.01)


async def until_degraded(limiter: ValkeyLimiter) -> None:
    """Asks until the breaker opens; every answer on the way is Unavailable."""
    for number in range(10):
        if limiter.state().degraded_since_s is not None:
            return
        assert isinstance(await ask(limiter, f"away {number}", (MONEY, 1), at=0), Unavailable)
    pytest.fail("The breaker stays closed.")


async def until_back(limiter: ValkeyLimiter) -> None:
    """Waits for the trial that finds Valkey."""
    await until(lambda: limiter.state().degraded_since_s is None)


def events(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What was logged."""
    return [record.message for record in caplog.records if record.name.startswith("security_app.limits")]


async def test_a_paused_valkey_costs_three_timeouts_then_nothing(
    valkey: ValkeyServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with limiter_on(valkey.url, timeout_s=0.25) as limiter:
        assert isinstance(await ask(limiter, "open", (MONEY, 40), at=0), Granted)

        valkey.pause()
        await until_degraded(limiter)
        began = time.process_time()
        answers = [await ask(limiter, f"fast {number}", (MONEY, 1), at=0) for number in range(1000)]
        limiter.settle("open", {"cost": 30})
        assert time.process_time() - began < 1.0
        assert answers == [Unavailable("timeout")] * 1000
        assert limiter.state().queued_settles > 0

        valkey.resume()
        await until_back(limiter)
        await limiter.settled()
        # What was asked of a paused Valkey may have been reserved late; it was given back.
        assert await limiter.used([MONEY]) == [30]
        assert events(caplog) == ["limits.degraded", "limits.recovered"]
        assert limiter.state().dropped_settles == 0


async def test_a_killed_valkey_comes_back_empty_and_is_seeded(
    valkey: ValkeyServer, caplog: pytest.LogCaptureFixture
) -> None:
    async with limiter_on(valkey.url, used=60) as limiter:
        assert isinstance(await ask(limiter, "lost", (MONEY, 40), at=0), Granted)
        valkey.kill()
        await until_degraded(limiter)

        valkey.start()
        await until_back(limiter)

        assert not isinstance(await ask(limiter, "too much", (MONEY, 41), at=0), Granted)
        # Its reservation is gone; what it used is not in the seed, and is added.
        limiter.settle("lost", {"cost": 25})
        await limiter.settled()
        assert await limiter.used([MONEY]) == [85]
        assert events(caplog) == ["limits.degraded", "limits.recovered"]


async def test_a_flushed_valkey_is_seeded_within_the_next_request(valkey: ValkeyServer) -> None:
    minute = per_minute(10)
    async with limiter_on(valkey.url, used=60) as limiter:
        await ask(limiter, "lost", (MONEY, 1), (minute, 9), at=0)
        with redis.Redis.from_url(valkey.url) as client:
            client.flushall()
            client.script_flush()

        answer = await ask(limiter, "next", (MONEY, 40), (minute, 1), at=0)

        assert isinstance(answer, Granted)
        # Short windows start at zero.
        assert answer.remaining == (0, 9)
        assert limiter.state().degraded_since_s is None


async def test_a_slow_valkey_is_waited_for_up_to_the_timeout(shared_valkey_url: str) -> None:
    async with (
        Proxy(own_valkey_database(shared_valkey_url)) as proxy,
        limiter_on(proxy.url, timeout_s=0.5) as limiter,
    ):
        proxy.delay_s = 0.05
        assert isinstance(await ask(limiter, "slow", (MONEY, 1), at=0), Granted)

        proxy.delay_s = 30.0
        await until_degraded(limiter)
        assert limiter.state().reason == "timeout"

        proxy.delay_s = 0.0
        await until_back(limiter)
        assert isinstance(await ask(limiter, "fast", (MONEY, 1), at=0), Granted)


async def test_a_settlement_whose_answer_is_lost_counts_once(shared_valkey_url: str) -> None:
    async with Proxy(own_valkey_database(shared_valkey_url)) as proxy, limiter_on(proxy.url) as limiter:
        await ask(limiter, "open", (MONEY, 40), at=0)

        proxy.lost = 2
        limiter.settle("open", {"cost": 30})
        await limiter.settled()

        assert await limiter.used([MONEY]) == [30]


async def test_a_reservation_whose_answer_is_lost_is_given_back(shared_valkey_url: str) -> None:
    async with Proxy(own_valkey_database(shared_valkey_url)) as proxy, limiter_on(proxy.url) as limiter:
        await limiter.used([MONEY])

        proxy.lost = 1
        assert await ask(limiter, "lost", (MONEY, 40), at=0) == Unavailable("connection lost")
        await limiter.settled()

        assert await limiter.used([MONEY]) == [0]
        assert limiter.state().open_tickets == 0


async def test_a_reservation_that_nobody_waits_for_is_given_back(shared_valkey_url: str) -> None:
    async with limiter_on(own_valkey_database(shared_valkey_url)) as limiter:
        one = slots(1)
        asking = asyncio.create_task(ask(limiter, "gone", (one, 1), at=0))
        await asyncio.sleep(0)
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        await limiter.settled()

        assert isinstance(await ask(limiter, "next", (one, 1), at=0), Granted)


async def test_a_valkey_that_forbids_scripts_is_no_valkey(valkey: ValkeyServer) -> None:
    with redis.Redis.from_url(valkey.url) as client:
        client.acl_setuser(
            "nobody", enabled=True, passwords=["+secret"], keys=["*"], commands=["+@all", "-@scripting"]
        )
    url = valkey.url.replace(f":{valkey.password}@", "nobody:secret@")
    async with limiter_on(url) as limiter:
        await until_degraded(limiter)

        assert limiter.state().reason == "NOPERM"
        with redis.Redis.from_url(valkey.url) as client:
            client.acl_setuser("nobody", commands=["+@scripting"])
        await until_back(limiter)
        assert isinstance(await ask(limiter, "ticket", (MONEY, 1), at=0), Granted)


async def test_a_wrong_password_is_said_without_it(
    valkey: ValkeyServer, caplog: pytest.LogCaptureFixture
) -> None:
    async with limiter_on(valkey.url.replace(valkey.password, "hunter2")) as limiter:
        await until_degraded(limiter)

        assert limiter.state().reason == "WRONGPASS"
        assert "hunter2" not in caplog.text


async def test_settlements_beyond_the_bound_are_dropped_and_counted(
    valkey: ValkeyServer, caplog: pytest.LogCaptureFixture
) -> None:
    limiter = ValkeyLimiter(valkey.url, queue_size=100)
    await limiter.start()
    await asyncio.gather(*[ask(limiter, f"t{number}", (slots(150), 1), at=0) for number in range(150)])
    valkey.kill()

    for number in range(150):
        limiter.settle(f"t{number}", {})

    state = limiter.state()
    assert (state.queued_settles, state.dropped_settles, state.open_tickets) == (100, 50, 0)
    await limiter.stop()
    assert limiter.state().dropped_settles == 150
    assert events(caplog).count("limits.settlements_dropped") == 1
