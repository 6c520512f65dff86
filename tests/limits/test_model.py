"""Any steps, by the limiter in process, the one on Valkey and a list of events: all answer alike."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from typing import Any

import hypothesis.strategies as st
import pytest
import redis
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from security_app.limits import (
    NOTHING,
    CalendarWindow,
    Counter,
    Counters,
    Granted,
    Lifetime,
    LocalLimiter,
    Refused,
    SlidingWindow,
    Take,
    Takes,
)
from security_app.limits.valkey import ValkeyLimiter
from tests.limits.model import Model
from tests.limits.stories import DAY, MINUTE, NOW, PATIENT_S
from tests.services import own_valkey_database

CALENDAR_MS = 25_000
# Limits are small, so that they are met.
COUNTERS = [
    Counter("second", "requests", 2, SlidingWindow(1000)),
    Counter("minute", "requests", 5, SlidingWindow(MINUTE)),
    Counter("odd", "tokens", 100, SlidingWindow(61_234)),
    Counter("day", "tokens", 300, SlidingWindow(DAY)),
    Counter("budget", "cost", 100, CalendarWindow(0, 1)),
    Counter("lifetime", "cost", 400, Lifetime()),
    Counter("open", "concurrency", 3, Lifetime()),
]
JUMPS = [1, 17, 500, 1000, 7_000, 20_000, MINUTE, DAY]


def present(takes: Sequence[Take], now: int) -> list[Take]:
    """The takes with the calendar window of a moment."""
    start = now - now % CALENDAR_MS
    window = CalendarWindow(start, start + CALENDAR_MS)
    return [
        take._replace(counter=take.counter._replace(window=window)) if take.counter.metric == "cost" else take
        for take in takes
        if take.counter.key != "lifetime"
    ] + [take for take in takes if take.counter.key == "lifetime"]


class Steps(RuleBasedStateMachine):
    """One example: a fresh limiter of each kind. `runner` and `url` are the test's."""

    runner: asyncio.Runner
    url: str

    @initialize(offset=st.integers(0, 30_000))
    def begin(self, offset: int) -> None:
        """An empty store, at a moment that is no round number."""
        with redis.Redis.from_url(self.url) as client:
            client.flushdb()
        self.model = Model(now=NOW + offset)
        self.local = LocalLimiter()
        # One that meets the same counters again and again, as plans of calls do.
        self.returning = LocalLimiter()
        self.met: dict[tuple[Counter, ...], Counters] = {}
        self.valkey = ValkeyLimiter(self.url, timeout_s=PATIENT_S)
        self.runner.run(self.valkey.start())
        self.tickets: list[str] = []

    def teardown(self) -> None:
        """Ends the example's tasks."""
        if hasattr(self, "valkey"):
            self.runner.run(self.valkey.stop())

    @rule(jump=st.sampled_from(JUMPS))
    def wait(self, jump: int) -> None:
        """Time goes by."""
        self.model.now += jump

    @rule(data=st.data(), more=st.integers(-1, 1))
    def wait_for_a_change(self, data: st.DataObject, more: int) -> None:
        """To when something leaves a window, a reservation expires or a window ends; or beside it."""
        now = self.model.now
        moments = self.model.moments(present([Take(one, 0) for one in COUNTERS], now))
        self.model.now = max(now, data.draw(st.sampled_from(moments)) + more)

    @rule(
        chosen=st.lists(st.sampled_from(COUNTERS), min_size=1, max_size=5, unique=True),
        share=st.sampled_from([0, 1, 10, 35, 60, 100, 101]),
        lag=st.sampled_from([0, 0, 0, CALENDAR_MS]),
    )
    def reserve(self, chosen: list[Counter], share: int, lag: int) -> None:
        """The same request to all; that of a machine whose clock is wrong is computed again."""
        wanted = [Take(one, 1 if one.limit < 10 else one.limit * share // 100) for one in chosen]
        ticket_id, now = f"t{len(self.tickets)}", self.model.now
        takes = present(wanted, now - lag)

        def again(now_ms: int) -> Sequence[Take]:
            return present(wanted, now_ms)

        expected = self.model.reserve(ticket_id, present(wanted, now))
        answers = [
            self.runner.run(limiter.reserve(ticket_id, takes, now_ms=now, recompute=again))
            for limiter in (self.local, self.valkey)
        ]
        met = self.meet(takes)
        answers.append(self.runner.run(self.returning.reserve(ticket_id, met, now_ms=now, recompute=again)))

        assert answers == [expected] * 3
        if isinstance(expected, Granted):
            self.tickets.append(ticket_id)
            for counter, _ in present(wanted, now):
                assert self.model.total(counter, now, is_exact=True) <= counter.limit
        else:
            self.check_retry(present(wanted, now), expected)

    def meet(self, takes: Sequence[Take]) -> Takes:
        """The takes, from the counters of the last time."""
        counters = tuple([take.counter for take in takes])
        return Takes(self.met.setdefault(counters, Counters(counters)), [take.amount for take in takes])

    def check_retry(self, takes: Sequence[Take], refused: Refused) -> None:
        """What stands in the way leaves at the moment that was told."""
        counter, amount = takes[refused.index]
        if isinstance(counter.window, SlidingWindow) and refused.retry_after_ms is not None:
            then = self.model.now + refused.retry_after_ms
            assert self.model.total(counter, then) + amount <= counter.limit
            assert self.model.total(counter, then - 1) + amount > counter.limit

    @rule(
        data=st.data(),
        actual=st.sampled_from([{}, NOTHING, {"tokens": 3, "cost": 7}, {"tokens": 90, "cost": 120}]),
    )
    def settle(self, data: st.DataObject, actual: dict[str, int]) -> None:
        """A ticket that is open, has expired or is settled already."""
        if not self.tickets:
            return
        ticket_id = data.draw(st.sampled_from(self.tickets))
        self.model.settle(ticket_id, actual)
        self.local.settle(ticket_id, actual)
        self.returning.settle(ticket_id, actual)
        self.valkey.settle(ticket_id, actual)
        self.runner.run(self.valkey.settled())

    @rule()
    def renew(self) -> None:
        """As every process does for what it has open."""
        self.model.renew()
        self.local.renew(now_ms=self.model.now)
        self.returning.renew(now_ms=self.model.now)
        self.runner.run(self.valkey.renew(now_ms=self.model.now))

    @rule()
    def forget(self) -> None:
        """What is idle is known no more, and begins anew where it is met again."""
        sliding = [(one.key, one.window) for one in COUNTERS if isinstance(one.window, SlidingWindow)]
        self.returning.forget_idle(sliding, now_ms=self.model.now)

    @rule()
    def look(self) -> None:
        """What is counted everywhere."""
        now = self.model.now
        counters = [counter for counter, _ in present([Take(one, 0) for one in COUNTERS], now)]
        expected = [self.model.total(counter, now) for counter in counters]

        for limiter in (self.local, self.returning, self.valkey):
            assert self.runner.run(limiter.used(counters, now_ms=now)) == expected


@pytest.fixture
def steps(shared_valkey_url: str) -> Iterator[type[Steps]]:
    """The machine, with its event loop and its Valkey."""
    with asyncio.Runner() as runner:
        yield type("TheSteps", (Steps,), {"runner": runner, "url": own_valkey_database(shared_valkey_url)})


def run(steps: type[Steps], *, examples: int, count: int) -> None:
    """So many examples of so many steps."""
    options: dict[str, Any] = {"suppress_health_check": list(HealthCheck), "deadline": None}
    run_state_machine_as_test(
        steps, settings=settings(max_examples=examples, stateful_step_count=count, **options)
    )


def test_all_answer_alike(steps: type[Steps]) -> None:
    run(steps, examples=60, count=25)


@pytest.mark.soak
def test_all_answer_alike_for_long(steps: type[Steps]) -> None:
    run(steps, examples=400, count=80)
