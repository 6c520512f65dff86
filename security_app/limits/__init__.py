"""The engine of limits and budgets: counts in one atomic step, in process or on Valkey. Knows no models.

    limiter = ValkeyLimiter(url, seeder) if url else LocalLimiter(seeder)
    await limiter.start()
    answer = await limiter.reserve(ticket_id, takes, recompute=takes_at)
    ...
    limiter.settle(ticket_id, {"requests": 1, "tokens": 321, "cost": 4_210_000})

docs/decisions/006-limits.md tells how it counts and what it guarantees.
"""

from __future__ import annotations

from security_app.limits.counters import (
    MAX_AMOUNT,
    METRICS,
    NOTHING,
    CalendarWindow,
    Counter,
    Counters,
    Granted,
    Lifetime,
    Limiter,
    LimiterState,
    Recompute,
    Refused,
    Seeder,
    SlidingWindow,
    Take,
    Takes,
    Unavailable,
    Window,
)
from security_app.limits.local import LocalLimiter

__all__ = [
    "MAX_AMOUNT",
    "METRICS",
    "NOTHING",
    "CalendarWindow",
    "Counter",
    "Counters",
    "Granted",
    "Lifetime",
    "Limiter",
    "LimiterState",
    "LocalLimiter",
    "Recompute",
    "Refused",
    "Seeder",
    "SlidingWindow",
    "Take",
    "Takes",
    "Unavailable",
    "Window",
]
