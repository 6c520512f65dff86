"""One of several processes that spend the same budget: `python -m tests.limits.spender <url> <name> <count>`.

Prints a line for each grant, after it, and settles every second one. It ends when asked to by its input.
"""

from __future__ import annotations

import asyncio
import sys

from security_app.limits import Granted, Lifetime
from security_app.limits.valkey import ValkeyLimiter
from tests.limits.stories import NOW, PATIENT_S, ask, budget

BUDGET = budget(100, window=Lifetime())


async def spend(url: str, name: str, count: int) -> None:
    """Ask so many times, eight at a time."""
    limiter = ValkeyLimiter(url, timeout_s=PATIENT_S)
    await limiter.start()

    async def worker(first: int) -> None:
        for number in range(first, count, 8):
            ticket_id = f"{name}-{number}"
            if isinstance(await ask(limiter, ticket_id, (BUDGET, 1), at=NOW), Granted):
                if number % 2:
                    limiter.settle(ticket_id, {"cost": 1})
                    await limiter.settled()
                sys.stdout.write("settled\n" if number % 2 else "open\n")
                sys.stdout.flush()

    await asyncio.gather(*[worker(first) for first in range(8)])
    sys.stdout.write("done\n")
    sys.stdout.flush()
    await asyncio.to_thread(sys.stdin.read)
    await limiter.stop()


if __name__ == "__main__":
    asyncio.run(spend(sys.argv[1], sys.argv[2], int(sys.argv[3])))
