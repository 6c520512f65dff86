"""The limiter of this process: started and stopped with the server, asked by every reservation."""

from __future__ import annotations

import time
from collections.abc import Sequence

from gateway_project.core.db import in_thread
from security_app.limits import Counter, Limiter, LocalLimiter, Seeder
from security_app.services.counter_use import use_of_counters

# How long after the last trouble it is still told of.
_SHOWN_S = 60.0


async def seed(counters: Sequence[Counter]) -> Sequence[int]:
    """What counters have used by what the ledger says; in a thread, for it asks the database."""
    return await in_thread(use_of_counters, counters)


class Limiting:
    """Holds the limiter, and remembers when it was of no use."""

    def __init__(self) -> None:
        self._limiter: Limiter | None = None
        self._unavailable_at: float | None = None
        self.unavailable_calls = 0

    @property
    def limiter(self) -> Limiter:
        """The limiter of this process; one of its own where no server has started one."""
        if self._limiter is None:
            self._limiter = LocalLimiter(seed)
        return self._limiter

    async def start(self, redis_url: str = "", *, seeder: Seeder = seed) -> None:
        """Begin to count: with all processes that share a Valkey, or alone."""
        if redis_url:
            # Only with a Valkey is its client worth its memory.
            from security_app.limits.valkey import ValkeyLimiter

            self._limiter = ValkeyLimiter(redis_url, seeder)
        else:
            self._limiter = LocalLimiter(seeder)
        self._unavailable_at = None
        await self._limiter.start()

    async def stop(self) -> None:
        """Hand over what is still to be settled."""
        limiter, self._limiter = self._limiter, None
        if limiter is not None:
            await limiter.stop()

    def note_unavailable(self, reason: str) -> None:
        """A call was let through, or refused, because nobody could count."""
        self._unavailable_at = time.monotonic()
        self.unavailable_calls += 1

    def problem(self) -> str | None:
        """What is wrong with counting, for a person; None while all is well."""
        state = self._limiter.state() if self._limiter is not None else None
        if state is not None and state.degraded_since_s is not None:
            return f"limits and budgets can't be counted: {state.reason}"
        if self._unavailable_at is not None and time.monotonic() - self._unavailable_at < _SHOWN_S:
            return "limits and budgets could not be counted within the last minute"
        return None


limiting = Limiting()
