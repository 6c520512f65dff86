"""Words for the tests of limits: counters and takes of every kind, at a time of the test's own."""

from __future__ import annotations

from security_app.limits import (
    CalendarWindow,
    Counter,
    Granted,
    Lifetime,
    Limiter,
    Refused,
    SlidingWindow,
    Take,
    Unavailable,
    Window,
)

# A moment in 2033, so that no reading of the real clock can be taken for it.
NOW = 2_000_000_000_000
MINUTE = 60_000
DAY = 86_400_000
# For limiters on Valkey whose time limit is not what is tested: machines of tests can be busy.
PATIENT_S = 10.0
TODAY = CalendarWindow(NOW, NOW + DAY)


def per_minute(limit: int, *, key: str = "key:alice", metric: str = "requests") -> Counter:
    """A sliding limit of one minute: sub-windows of a second."""
    return Counter(f"{key}:{metric}", metric, limit, SlidingWindow(MINUTE))


def budget(limit: int, *, key: str = "key:alice", window: Window = TODAY) -> Counter:
    """Money, by default of one day that has just begun."""
    return Counter(f"{key}:cost", "cost", limit, window)


def slots(limit: int, *, key: str = "key:alice") -> Counter:
    """Requests that may be open at a time."""
    return Counter(f"{key}:concurrency", "concurrency", limit, Lifetime())


async def ask(
    limiter: Limiter, ticket_id: str, *takes: tuple[Counter, int], at: int = NOW
) -> Granted | Refused | Unavailable:
    """Reserve at a time."""
    return await limiter.reserve(ticket_id, [Take(*take) for take in takes], now_ms=at)


async def is_granted(limiter: Limiter, ticket_id: str, *takes: tuple[Counter, int], at: int = NOW) -> bool:
    """Whether a reservation at a time succeeds."""
    return isinstance(await ask(limiter, ticket_id, *takes, at=at), Granted)
