"""A ticket can be exchanged for another one in one step, in which nobody else can take what it holds."""

from __future__ import annotations

from security_app.limits import Counter, Granted, Limiter, Refused, Take
from tests.limits.stories import MINUTE, NOW, ask, budget, is_granted, per_minute, slots


async def exchange(
    limiter: Limiter, old: str, new: str, *takes: tuple[Counter, int], at: int = NOW
) -> Granted | Refused:
    """Take something else in the place of a ticket."""
    answer = await limiter.reserve(new, [Take(*take) for take in takes], now_ms=at, replaces=old)
    assert isinstance(answer, Granted | Refused)
    return answer


async def test_the_last_slot_and_the_last_request_are_taken_over(limiter: Limiter) -> None:
    one, requests, money = slots(1), per_minute(1), budget(100)
    await ask(limiter, "old", (one, 1), (requests, 1), (money, 80))

    answer = await exchange(limiter, "old", "new", (one, 1), (requests, 1), (money, 90), at=NOW + 5_000)

    assert isinstance(answer, Granted)
    assert answer.remaining == (0, 0, 10)
    limiter.settle("old", {"cost": 80})
    limiter.settle("new", {"cost": 30})
    await limiter.settled()
    assert await limiter.used([one, requests, money], now_ms=NOW + 5_000) == [0, 1, 30]


async def test_what_is_refused_leaves_the_old_ticket_as_it_was(limiter: Limiter) -> None:
    one, requests, money = slots(1), per_minute(1), budget(100)
    await ask(limiter, "old", (one, 1), (requests, 1), (money, 80))

    refused = await exchange(limiter, "old", "new", (one, 1), (requests, 1), (money, 101))

    assert isinstance(refused, Refused)
    assert refused.index == 2
    assert await limiter.used([one, requests, money], now_ms=NOW) == [1, 1, 80]
    assert not await is_granted(limiter, "other", (one, 1))
    limiter.settle("old", {"cost": 50})
    await limiter.settled()
    assert await limiter.used([one, requests, money], now_ms=NOW) == [0, 1, 50]


async def test_what_others_hold_is_not_taken_over(limiter: Limiter) -> None:
    two, money = slots(2), budget(100)
    await ask(limiter, "others", (two, 1), (money, 60))
    await ask(limiter, "old", (two, 1), (money, 30))

    refused = await exchange(limiter, "old", "greedy", (two, 1), (money, 41))
    granted = await exchange(limiter, "old", "modest", (two, 1), (money, 40))

    assert isinstance(refused, Refused)
    assert isinstance(granted, Granted)
    assert await limiter.used([two, money], now_ms=NOW) == [2, 100]


async def test_counters_that_only_the_old_ticket_has_are_free_again(limiter: Limiter) -> None:
    of_first, of_second = budget(100, key="model:first"), budget(100, key="model:second")
    await ask(limiter, "old", (of_first, 100))

    await exchange(limiter, "old", "new", (of_second, 70))

    assert await limiter.used([of_first, of_second], now_ms=NOW) == [0, 70]


async def test_an_expired_ticket_has_nothing_to_take_over(limiter: Limiter) -> None:
    one, money = slots(1), budget(100)
    await ask(limiter, "slow", (one, 1), (money, 100))
    await ask(limiter, "next", (one, 1), (money, 50), at=NOW + MINUTE)

    refused = await exchange(limiter, "slow", "late", (one, 1), (money, 10), at=NOW + MINUTE)

    assert isinstance(refused, Refused)
    assert await limiter.used([one, money], now_ms=NOW + MINUTE) == [1, 50]
