"""Counters that the store does not know are first asked of the ledger: once, by one process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest

from security_app.limits import (
    Counter,
    Granted,
    Lifetime,
    Limiter,
    LocalLimiter,
    Refused,
    SlidingWindow,
    Unavailable,
)
from security_app.limits.valkey import ValkeyLimiter
from tests.limits.stories import DAY, PATIENT_S, ask, budget, per_minute, slots
from tests.services import own_valkey_database

MONEY = budget(100, window=Lifetime())


class Ledger:
    """What a seeder reads: the same for all counters. Notes what it was asked."""

    def __init__(self) -> None:
        self.used = 60
        self.asked: list[str] = []
        self.error: Exception | None = None
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    async def seed(self, counters: Sequence[Counter]) -> list[int]:
        """See Seeder."""
        self.asked += [counter.key for counter in counters]
        await self.may_answer.wait()
        if self.error is not None:
            raise self.error
        return [self.used] * len(counters)


@pytest.fixture
def ledger() -> Ledger:
    """The ledger of all limiters of a test."""
    return Ledger()


@pytest.fixture(params=["in process", "on Valkey"])
async def limiter(request: pytest.FixtureRequest, ledger: Ledger) -> AsyncIterator[Limiter]:
    """A limiter with a ledger."""
    limiter: Limiter = LocalLimiter(ledger.seed)
    if request.param == "on Valkey":
        url = own_valkey_database(request.getfixturevalue("shared_valkey_url"))
        limiter = ValkeyLimiter(url, ledger.seed, timeout_s=PATIENT_S)
    await limiter.start()
    yield limiter
    await limiter.stop()


async def test_a_budget_goes_on_from_what_the_ledger_says(limiter: Limiter, ledger: Ledger) -> None:
    month = per_minute(100)._replace(window=SlidingWindow(30 * DAY))

    refused = await ask(limiter, "too much", (MONEY, 41), at=0)
    granted = await ask(limiter, "all", (MONEY, 40), (month, 40), at=0)

    assert isinstance(refused, Refused)
    assert isinstance(granted, Granted)
    assert granted.remaining == (0, 0)
    assert ledger.asked == [MONEY.key, month.key]


async def test_short_windows_and_concurrency_need_no_ledger(limiter: Limiter, ledger: Ledger) -> None:
    hour = per_minute(5)._replace(window=SlidingWindow(3_600_000))

    assert isinstance(await ask(limiter, "ticket", (hour, 5), (slots(1), 1), at=0), Granted)
    assert ledger.asked == []


async def test_many_requests_ask_the_ledger_together(limiter: Limiter, ledger: Ledger) -> None:
    ledger.may_answer.clear()
    budgets = [budget(100, key=f"key:{number % 3}", window=Lifetime()) for number in range(30)]
    asking = [asyncio.create_task(ask(limiter, f"t{at}", (one, 4), at=0)) for at, one in enumerate(budgets)]
    await asyncio.sleep(0.05)
    ledger.may_answer.set()

    answers = await asyncio.gather(*asking)

    assert all(isinstance(answer, Granted) for answer in answers)
    assert len(ledger.asked) <= 6
    assert await limiter.used(budgets[:3]) == [100, 100, 100]


async def test_nothing_is_granted_without_the_ledger(limiter: Limiter, ledger: Ledger) -> None:
    ledger.error = RuntimeError("the database is away")
    assert await ask(limiter, "ticket", (MONEY, 1), at=0) == Unavailable("seeding")
    assert await limiter.used([MONEY]) == Unavailable("seeding")

    ledger.error = None
    assert isinstance(await ask(limiter, "ticket", (MONEY, 1), at=0), Granted)


async def test_a_ledger_that_hangs_is_waited_for_a_second(limiter: Limiter, ledger: Ledger) -> None:
    ledger.may_answer.clear()
    loop = asyncio.get_running_loop()
    began = loop.time()

    answer = await ask(limiter, "ticket", (MONEY, 1), at=0)

    assert answer == Unavailable("seeding")
    assert 0.9 < loop.time() - began < 5
    ledger.may_answer.set()
    await asyncio.sleep(0.05)
    assert isinstance(await ask(limiter, "ticket", (MONEY, 1), at=0), Granted)


async def test_one_process_seeds_and_the_other_waits(shared_valkey_url: str, ledger: Ledger) -> None:
    url = own_valkey_database(shared_valkey_url)
    pair = [ValkeyLimiter(url, ledger.seed, timeout_s=PATIENT_S) for _ in range(2)]
    ledger.may_answer.clear()
    asking = [asyncio.create_task(ask(one, f"t{at}", (MONEY, 20), at=0)) for at, one in enumerate(pair)]
    await asyncio.sleep(0.1)
    ledger.may_answer.set()

    answers = await asyncio.gather(*asking)
    for limiter in pair:
        await limiter.stop()

    assert [type(answer) for answer in answers] == [Granted, Granted]
    assert ledger.asked == [MONEY.key]
