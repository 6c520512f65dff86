"""However many ask at the same time, a budget is not overspent by one."""

from __future__ import annotations

import asyncio
import itertools
import os
import random
import sys
from asyncio.subprocess import PIPE
from pathlib import Path

from security_app.limits import Granted, Lifetime, Limiter, Refused
from security_app.limits.valkey import ValkeyLimiter
from tests.limits.stories import DAY, NOW, PATIENT_S, ask, budget, per_minute, slots
from tests.services import own_valkey_database

ROOT = Path(__file__).resolve().parents[2]


async def test_tasks_that_interleave_spend_exactly_the_budget(limiter: Limiter) -> None:
    money, requests, five = budget(100), per_minute(150), slots(5)
    spent, most_open, open_now = 0, 0, 0
    chance = random.Random(7)

    async def worker(name: int) -> None:
        nonlocal spent, most_open, open_now
        for number in itertools.count():
            ticket_id = f"{name}-{number}"
            answer = await ask(limiter, ticket_id, (money, 2), (requests, 1), (five, 1))
            if isinstance(answer, Refused) and answer.retry_after_ms == DAY:
                return
            if not isinstance(answer, Granted):
                await asyncio.sleep(0.001)
                continue
            open_now += 1
            most_open = max(most_open, open_now)
            for _ in range(chance.randrange(3)):
                await asyncio.sleep(0)
            # Half of it is given back.
            spent += 1
            open_now -= 1
            limiter.settle(ticket_id, {"cost": 1})
            await limiter.settled()

    await asyncio.gather(*[worker(name) for name in range(20)])

    # The last unit is less than a reservation.
    assert spent == 99
    assert most_open <= 5
    assert await limiter.used([money, requests, five], now_ms=NOW) == [99, 99, 0]


async def test_processes_spend_exactly_the_budget_and_the_killed_gives_back(shared_valkey_url: str) -> None:
    url = own_valkey_database(shared_valkey_url)
    command = [sys.executable, "-m", "tests.limits.spender", url]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    workers = [
        await asyncio.create_subprocess_exec(
            *command, name, "200", stdin=PIPE, stdout=PIPE, cwd=ROOT, env=environment
        )
        for name in ("one", "two")
    ]
    said: list[bytes] = []
    for worker in workers:
        assert worker.stdout is not None
        while (line := await worker.stdout.readline()) not in (b"done\n", b""):
            said.append(line.strip())
        worker.kill()
        await worker.communicate()
    settled = said.count(b"settled")
    money = budget(100, window=Lifetime())
    limiter = ValkeyLimiter(url, timeout_s=PATIENT_S)

    held = await limiter.used([money], now_ms=NOW)
    free = await limiter.used([money], now_ms=NOW + 60_000)
    rest = await ask(limiter, "rest", (money, 100 - settled), at=NOW + 60_000)
    await limiter.stop()

    assert len(said) == 100
    assert 0 < settled < 100
    assert (held, free) == ([100], [settled])
    assert isinstance(rest, Granted)
