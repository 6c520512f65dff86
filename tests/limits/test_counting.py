"""What limiters grant and refuse, told as stories that hold in process and on Valkey."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from security_app.limits import (
    MAX_AMOUNT,
    NOTHING,
    CalendarWindow,
    Counter,
    Granted,
    Lifetime,
    Limiter,
    Refused,
    SlidingWindow,
    Take,
    Unavailable,
)
from tests.limits.stories import DAY, MINUTE, NOW, ask, budget, is_granted, per_minute, slots


async def test_a_limit_of_three_grants_three(limiter: Limiter) -> None:
    three = per_minute(3)

    answers = [await ask(limiter, f"t{number}", (three, 1)) for number in range(4)]

    assert answers[:3] == [Granted((left,), (60_999,)) for left in (2, 1, 0)]
    assert answers[3] == Refused(0, 60_999, (0,), (60_999,))


async def test_the_time_to_retry_is_exact(limiter: Limiter) -> None:
    one = per_minute(1)
    await ask(limiter, "first", (one, 1), at=NOW + 300)
    limiter.settle("first", {})
    await limiter.settled()

    refused = await ask(limiter, "second", (one, 1), at=NOW + 5_000)

    assert isinstance(refused, Refused)
    assert refused.retry_after_ms is not None
    again = NOW + 5_000 + refused.retry_after_ms
    assert not await is_granted(limiter, "early", (one, 1), at=again - 1)
    assert await is_granted(limiter, "on time", (one, 1), at=again)


async def test_nothing_is_taken_from_any_counter_if_one_refuses(limiter: Limiter) -> None:
    wide, narrow, money = per_minute(10), per_minute(1, key="team:b"), budget(100)
    await ask(limiter, "first", (narrow, 1))

    refused = await ask(limiter, "second", (wide, 1), (narrow, 1), (money, 50))

    assert refused == Refused(1, 60_999, (10, 0, 100), (0, 60_999, DAY))
    assert await limiter.used([wide, money], now_ms=NOW) == [0, 0]


async def test_the_longest_wait_is_named(limiter: Limiter) -> None:
    minute, day, never = per_minute(1), budget(10), budget(10, key="team:b", window=Lifetime())
    await ask(limiter, "first", (minute, 1), (day, 10), (never, 10))
    limiter.settle("first", {"requests": 1, "cost": 10})
    await limiter.settled()

    both = await ask(limiter, "second", (minute, 1), (day, 1))
    all_three = await ask(limiter, "third", (minute, 1), (day, 1), (never, 1))

    assert isinstance(both, Refused)
    assert (both.index, both.retry_after_ms) == (1, DAY)
    assert isinstance(all_three, Refused)
    assert (all_three.index, all_three.retry_after_ms) == (2, None)


async def test_more_than_the_limit_is_never_granted(limiter: Limiter) -> None:
    for counter in (per_minute(5), budget(5), slots(5)):
        answer = await ask(limiter, f"ticket of {counter.key}", (counter, 6))

        assert isinstance(answer, Refused)
        assert answer.retry_after_ms is None


async def test_a_settlement_replaces_what_was_reserved(limiter: Limiter) -> None:
    tokens, money = per_minute(1000, metric="tokens"), budget(1000)
    for ticket_id in ("less", "more"):
        await ask(limiter, ticket_id, (tokens, 400), (money, 400))

    limiter.settle("less", {"tokens": 10, "cost": 10})
    limiter.settle("more", {"tokens": 900, "cost": 1200})
    await limiter.settled()

    assert await limiter.used([tokens, money], now_ms=NOW) == [910, 1210]
    over = await ask(limiter, "next", (money, 0))
    assert over == Refused(0, DAY, (0,), (DAY,))


async def test_the_second_settlement_of_a_ticket_changes_nothing(limiter: Limiter) -> None:
    money = budget(1000)
    await ask(limiter, "ticket", (money, 400))

    limiter.settle("ticket", {"cost": 100})
    limiter.settle("ticket", {"cost": 300})
    limiter.settle("of nobody", {"cost": 300})
    await limiter.settled()

    assert await limiter.used([money], now_ms=NOW) == [100]


async def test_a_release_refunds_the_request_too(limiter: Limiter) -> None:
    requests, money, open_ones = per_minute(5), budget(100), slots(1)
    takes = ((requests, 1), (money, 60), (open_ones, 1))
    await ask(limiter, "ticket", *takes)

    limiter.settle("ticket", NOTHING)
    await limiter.settled()

    assert await limiter.used([requests, money, open_ones], now_ms=NOW) == [0, 0, 0]


async def test_a_metric_that_a_settlement_lacks_used_what_was_reserved(limiter: Limiter) -> None:
    requests, money, open_ones = per_minute(5), budget(100), slots(1)
    await ask(limiter, "ticket", (requests, 1), (money, 60), (open_ones, 1))

    limiter.settle("ticket", {"cost": 50})
    await limiter.settled()

    assert await limiter.used([requests, money, open_ones], now_ms=NOW) == [1, 50, 0]


async def test_concurrency_counts_what_is_open(limiter: Limiter) -> None:
    two = slots(2)
    assert await is_granted(limiter, "first", (two, 1))
    assert await is_granted(limiter, "second", (two, 1))
    assert await ask(limiter, "third", (two, 1)) == Refused(0, 1000, (0,), (0,))

    limiter.settle("first", {})
    await limiter.settled()

    assert await is_granted(limiter, "third", (two, 1))


async def test_reservations_that_nobody_renews_expire(limiter: Limiter) -> None:
    money, one = budget(100), slots(1)
    await ask(limiter, "of the dead", (money, 100), (one, 1))

    assert not await is_granted(limiter, "early", (money, 100), (one, 1), at=NOW + 59_999)
    assert await is_granted(limiter, "next", (money, 100), (one, 1), at=NOW + MINUTE)


async def test_a_settlement_after_expiry_counts_once(limiter: Limiter) -> None:
    money, one = budget(100), slots(1)
    await ask(limiter, "slow", (money, 100), (one, 1))
    assert await limiter.used([money, one], now_ms=NOW + MINUTE) == [0, 0]

    limiter.settle("slow", {"cost": 30})
    limiter.settle("slow", {"cost": 30})
    await limiter.settled()

    assert await limiter.used([money, one], now_ms=NOW + MINUTE) == [30, 0]


async def test_a_calendar_window_ends_at_the_exact_millisecond(limiter: Limiter) -> None:
    today = CalendarWindow(NOW - DAY, NOW)
    tomorrow = CalendarWindow(NOW, NOW + DAY)

    def takes(now_ms: int) -> Sequence[Take]:
        return [Take(budget(10, window=today if now_ms < NOW else tomorrow), 10)]

    late = await limiter.reserve("late", takes(NOW - 1), now_ms=NOW - 1, recompute=takes)
    refused = await limiter.reserve("refused", takes(NOW - 1), now_ms=NOW - 1, recompute=takes)
    stale = await limiter.reserve("first", takes(NOW - 1), now_ms=NOW, recompute=takes)
    limiter.settle("late", {"cost": 7})
    await limiter.settled()

    assert late == Granted((0,), (1,))
    assert refused == Refused(0, 1, (0,), (1,))
    assert stale == Granted((0,), (DAY,))
    # What was reserved yesterday is settled there.
    assert await limiter.used([budget(10, window=tomorrow)], now_ms=NOW) == [10]


async def test_a_window_that_is_not_the_stores_is_told(limiter: Limiter) -> None:
    tomorrow = budget(10, window=CalendarWindow(NOW + DAY, NOW + 2 * DAY))

    assert await ask(limiter, "ticket", (tomorrow, 1)) == Unavailable("clock")


@pytest.mark.parametrize("amount", [-1, MAX_AMOUNT + 1])
async def test_amounts_beyond_what_lua_counts_are_refused(limiter: Limiter, amount: int) -> None:
    with pytest.raises(ValueError, match="Amounts are from 0"):
        await ask(limiter, "ticket", (budget(10), amount))


async def test_the_largest_amounts_are_counted_exactly(limiter: Limiter) -> None:
    money = budget(MAX_AMOUNT)

    assert await is_granted(limiter, "most", (money, MAX_AMOUNT - 1))
    assert not await is_granted(limiter, "two more", (money, 2))
    assert await ask(limiter, "one more", (money, 1)) == Granted((0,), (DAY,))


@pytest.mark.parametrize(
    "counter",
    [
        Counter("x", "requests", 1, SlidingWindow(0)),
        Counter("x", "cost", 1, CalendarWindow(NOW, NOW)),
        Counter("x", "cost", MAX_AMOUNT + 1, Lifetime()),
        Counter("x", "concurrency", 1, SlidingWindow(1000)),
        Counter("x", "seats", 1, Lifetime()),
    ],
)
async def test_counters_that_make_no_sense_are_refused(limiter: Limiter, counter: Counter) -> None:
    with pytest.raises(ValueError, match=r"are from|window|no metric"):
        await limiter.used([counter], now_ms=NOW)


async def test_a_counter_is_named_once(limiter: Limiter) -> None:
    with pytest.raises(ValueError, match="once"):
        await ask(limiter, "ticket", (budget(10), 1), (budget(10), 1))


async def test_an_open_ticket_can_not_be_reserved_again(limiter: Limiter) -> None:
    await ask(limiter, "ticket", (budget(10), 1))

    with pytest.raises(ValueError, match="is open"):
        await ask(limiter, "ticket", (budget(10), 1))


async def test_what_is_seeded_replaces_what_was_used(limiter: Limiter) -> None:
    money, month = budget(100), per_minute(100)._replace(window=SlidingWindow(30 * DAY))
    await ask(limiter, "open", (money, 20), (month, 1))
    await ask(limiter, "settled", (money, 20), (month, 1))
    limiter.settle("settled", {})
    await limiter.settled()

    await limiter.seed(money, 75, now_ms=NOW)
    await limiter.seed(month, 40, now_ms=NOW)

    assert await limiter.used([money, month], now_ms=NOW) == [95, 40]
