"""What limiters do by themselves: renew what is open, forget what is over, stay within bounds."""

from __future__ import annotations

import asyncio
import time

import redis.asyncio

from security_app.limits import (
    CalendarWindow,
    Granted,
    Lifetime,
    LocalLimiter,
    SlidingWindow,
    Unavailable,
)
from security_app.limits.valkey import ValkeyLimiter
from tests.limits.stories import DAY, MINUTE, NOW, PATIENT_S, ask, budget, per_minute, slots
from tests.services import own_valkey_database

HOUR = 3_600_000


async def test_open_requests_are_renewed_on_valkey(shared_valkey_url: str) -> None:
    url = own_valkey_database(shared_valkey_url)
    limiter = ValkeyLimiter(url, renew_s=0.05, timeout_s=PATIENT_S)
    await limiter.start()
    async with redis.asyncio.from_url(url) as client:
        await ask(limiter, "open", (slots(1), 1), at=0)
        key = "{gateway}:limits:expiry"
        first = await client.zscore(key, "open")
        assert first is not None

        async with asyncio.timeout(20):
            while (await client.zscore(key, "open")) == first:  # noqa: ASYNC110  (a server has no event)
                await asyncio.sleep(0.02)

        limiter.settle("open", {})
        await limiter.settled()
        assert await client.zcard(key) == 0
    await limiter.stop()


async def test_open_requests_are_renewed_in_process() -> None:
    one = slots(1)
    limiter = LocalLimiter(renew_s=0.01)
    # A minute ago but for a second: without a renewal it expires while this test runs.
    await ask(limiter, "open", (one, 1), at=int(time.time() * 1000) - 59_000)
    await limiter.start()
    await asyncio.sleep(0.1)
    await limiter.stop()

    assert not isinstance(await ask(limiter, "next", (one, 1), at=int(time.time() * 1000) + 30_000), Granted)


async def test_counters_whose_time_is_over_are_forgotten() -> None:
    limiter = LocalLimiter()
    ended = budget(10, window=CalendarWindow(NOW, NOW + MINUTE))
    held, idle, month = (
        slots(5),
        budget(5, window=Lifetime()),
        per_minute(5)._replace(window=SlidingWindow(30 * DAY)),
    )
    minute = per_minute(5)
    counters = [ended, held, idle, month, minute]
    for number, counter in enumerate(counters):
        await ask(limiter, f"t{number}", (counter, 1))
        if counter is not held:
            limiter.settle(f"t{number}", {})
    limiter.renew(now_ms=NOW + MINUTE - 1)
    known = [(counter.key, counter.window) for counter in counters]

    limiter.forget_idle(known, now_ms=NOW + MINUTE)
    assert limiter.counters == 5
    # A sub-window later the minute is over; an hour later the budgets, which the ledger knows.
    limiter.forget_idle(known, now_ms=NOW + MINUTE + 999)
    assert limiter.counters == 4
    limiter.forget_idle(known, now_ms=NOW + 2 * HOUR)
    assert limiter.counters == 2
    assert await limiter.used([month], now_ms=NOW + 2 * HOUR) == [1]


async def test_made_up_names_do_not_fill_the_memory() -> None:
    limiter = LocalLimiter(most_counters=10)

    answers = [
        await ask(limiter, f"t{number}", (per_minute(5, key=f"end_user:{number}"), 1)) for number in range(12)
    ]

    assert answers[10:] == [Unavailable("too many counters")] * 2
    assert isinstance(await ask(limiter, "known", (per_minute(5, key="end_user:1"), 1)), Granted)


async def test_every_counter_on_valkey_has_an_end(shared_valkey_url: str) -> None:
    url = own_valkey_database(shared_valkey_url)
    limiter = ValkeyLimiter(url, timeout_s=PATIENT_S)
    await limiter.start()
    windows = (per_minute(5), budget(5), budget(5, key="team:b", window=Lifetime()), slots(5))
    await ask(limiter, "settled", *[(counter, 1) for counter in windows])
    await ask(limiter, "expired", *[(counter, 1) for counter in windows])
    limiter.settle("settled", {})
    await limiter.settled()
    await limiter.used(windows[:1], now_ms=NOW + MINUTE)
    await limiter.stop()

    async with redis.asyncio.from_url(url, decode_responses=True) as client:
        endless = [key async for key in client.scan_iter() if await client.ttl(key) < 0]

    assert endless == ["{gateway}:limits:generation"]
