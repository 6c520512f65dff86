"""One scope ends a request's work for one reason, and the code can ask which."""

from __future__ import annotations

import asyncio
import socket
import time
from time import monotonic

import pytest

from gateway_project.core.deadline import DISCONNECTED, SHUTDOWN, TICK_S, CallScope, Ticker


def current_task() -> asyncio.Task[object]:
    task = asyncio.current_task()
    assert task is not None
    return task


@pytest.fixture
def ticker() -> Ticker:
    return Ticker()


async def test_a_phase_that_takes_too_long_is_cancelled_and_named(ticker: Ticker) -> None:
    scope = CallScope(current_task())
    ticker.add(scope)
    scope.enter_phase("first token", 0.05)
    started = monotonic()

    with pytest.raises(asyncio.CancelledError):
        await asyncio.sleep(10)

    assert scope.expired_phase == "first token"
    assert monotonic() - started > 0.04
    scope.absorb()
    assert current_task().cancelling() == 0
    assert scope.reason is None
    await asyncio.sleep(0)


async def test_a_phase_in_time_is_not_cancelled() -> None:
    scope = CallScope(current_task())

    for start in (1.0, 2.0, 3.0):
        scope.enter_phase("idle", 0.5)
        scope.tick(start)
        scope.tick(start + 0.4)
    scope.leave_phase()
    scope.tick(100.0)

    assert scope.reason is None


async def test_the_time_of_a_phase_runs_from_its_first_tick() -> None:
    scope = CallScope(current_task())
    scope.enter_phase("idle", 0.5)

    scope.tick(8.0)
    assert scope.reason is None
    scope.tick(8.4)
    scope.tick(8.5)
    scope.tick(8.6)

    with pytest.raises(asyncio.CancelledError):
        await asyncio.sleep(1)
    assert scope.expired_phase == "idle"
    scope.absorb()


async def test_what_came_in_time_is_taken_though_the_loop_was_held_up(ticker: Ticker) -> None:
    loop = asyncio.get_running_loop()
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    was_seen = asyncio.Event()

    async def read() -> bytes:
        scope = CallScope(current_task())
        scope.on_tick = lambda now: was_seen.set()
        ticker.add(scope)
        scope.enter_phase("first token", 0.1)
        try:
            return await loop.sock_recv(ours, 10)
        finally:
            ticker.remove(scope)

    with ours, theirs:
        reading = asyncio.create_task(read())
        await was_seen.wait()
        theirs.send(b"fine")
        time.sleep(0.3)  # noqa: ASYNC251  (the loop is held up, and finds answer and end of time together)

        assert await reading == b"fine"


async def test_a_task_that_has_been_woken_is_not_cancelled() -> None:
    answer = asyncio.get_running_loop().create_future()
    scopes: list[CallScope] = []

    async def work() -> str | None:
        scope = CallScope(current_task())
        scopes.append(scope)
        scope.enter_phase("first token", 0.5)
        scope.tick(1.0)
        scope.tick(1.5)
        await answer
        scope.leave_phase()
        await asyncio.sleep(0)
        return scope.reason

    working = asyncio.create_task(work())
    await asyncio.sleep(0)
    answer.set_result(None)
    scopes[0].tick(1.6)

    assert await working is None


async def test_the_total_bounds_all_phases_and_is_named(ticker: Ticker) -> None:
    scope = CallScope(current_task())
    ticker.add(scope)
    scope.limit_total(0.1)

    with pytest.raises(asyncio.CancelledError):
        while True:
            scope.enter_phase("idle", 10)
            await asyncio.sleep(0.02)

    assert scope.expired_phase == "total"


async def test_a_new_total_replaces_the_old() -> None:
    scope = CallScope(current_task())
    scope.limit_total(0)
    scope.limit_total(100)

    scope.enter_phase("idle", 10)
    scope.tick(monotonic())

    assert scope.reason is None
    assert scope.phase == "idle"


@pytest.mark.parametrize("reason", [DISCONNECTED, SHUTDOWN])
async def test_the_first_reason_counts(reason: str) -> None:
    scope = CallScope(current_task())

    scope.cancel(reason)
    scope.cancel("another")

    with pytest.raises(asyncio.CancelledError):
        await asyncio.sleep(0)
    assert scope.reason == reason
    assert scope.expired_phase is None
    scope.absorb()
    assert current_task().cancelling() == 0


async def test_a_closed_scope_cancels_nothing() -> None:
    scope = CallScope(current_task())
    scope.enter_phase("idle", 0)
    scope.close()

    scope.cancel(DISCONNECTED)
    scope.tick(monotonic() + 10)

    await asyncio.sleep(0)
    assert scope.reason is None


async def test_a_cancellation_from_outside_has_no_reason() -> None:
    started = asyncio.Event()
    scopes: list[CallScope] = []

    async def work() -> None:
        scopes.append(CallScope(current_task()))
        started.set()
        await asyncio.sleep(10)

    task = asyncio.create_task(work())
    await started.wait()
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
    assert scopes[0].reason is None


async def test_the_ticker_calls_back_while_a_scope_is_open_and_then_rests(ticker: Ticker) -> None:
    ticks: list[float] = []
    scope = CallScope(current_task())
    scope.on_tick = ticks.append
    ticker.add(scope)

    async with asyncio.timeout(10):
        while len(ticks) < 3:  # noqa: ASYNC110  (the ticks are what is waited for)
            await asyncio.sleep(0.01)
    ticker.remove(scope)
    seen = len(ticks)
    await asyncio.sleep(3 * TICK_S)

    assert len(ticks) == seen
    assert ticker.scopes == set()
    assert ticker._loop is None

    ticker.add(scope)
    async with asyncio.timeout(10):
        while len(ticks) == seen:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    ticker.remove(scope)


async def test_one_ticker_watches_many_scopes(ticker: Ticker) -> None:
    ended: list[str | None] = []
    are_ended = asyncio.Event()

    async def work(seconds: float) -> None:
        scope = CallScope(current_task())
        ticker.add(scope)
        scope.enter_phase("idle", seconds)
        try:
            async with asyncio.timeout(30):
                await are_ended.wait()
        except asyncio.CancelledError:
            ended.append(scope.expired_phase)
            if len(ended) == 50:
                are_ended.set()
            scope.absorb()
        finally:
            ticker.remove(scope)
            scope.close()

    await asyncio.gather(*(work(seconds) for seconds in [0.01] * 50 + [1000] * 50))

    assert ended == ["idle"] * 50
    assert ticker.scopes == set()
