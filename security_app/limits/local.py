"""The limiter of a gateway without Valkey: one process counts for itself, and is the only one.

Each call is one step of the event loop; it waits only for a seed, so `await` costs next to nothing.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from typing import Any

from security_app.limits.counters import (
    MAX_AMOUNT,
    RENEW_S,
    SEED_WAIT_S,
    SWEEP,
    TICKET_MS,
    CalendarWindow,
    Counter,
    Granted,
    LimiterState,
    Recompute,
    Refused,
    Seeder,
    Take,
    Unavailable,
    Window,
    check_counter,
    check_takes,
    needs_seed,
    used_of,
)
from security_app.limits.local_counters import State, new_state
from security_app.limits.seeding import SeedDesk, SeedFailed, ask_seeder

# Tickets that expired and may still be settled.
_EXPIRED_KEPT = 10_000
_IDLE_BATCH = 1000
# Some 100 MB: whoever makes up end users must not fill the memory.
_MOST_COUNTERS = 250_000
# How often a request looks again, after a window or a seed that was not there.
_LOOKS = 3
_FOREVER = MAX_AMOUNT

# One take of a ticket: metric, where it is counted, the sub-window there, the amount.
_Place = tuple[str, State, Any, int]


class _Ticket:
    __slots__ = ("expires", "places")

    def __init__(self, expires: int, places: list[_Place]) -> None:
        self.expires = expires
        self.places = places


class LocalLimiter:
    """See Limiter. All calls in one event loop's thread. Without a seeder every counter starts at zero."""

    def __init__(
        self,
        seeder: Seeder | None = None,
        *,
        renew_s: float = RENEW_S,
        most_counters: int = _MOST_COUNTERS,
    ) -> None:
        self._seeder = seeder
        self._most_counters = most_counters
        self._renew_s = renew_s
        self._counters: dict[tuple[str, Window], State] = {}
        # By expiry, for all live equally long.
        self._tickets: dict[str, _Ticket] = {}
        self._expired: dict[str, list[_Place]] = {}
        self._now = 0
        # Before this time no ticket expires.
        self._next_sweep = 0
        self._desk = SeedDesk(self._seed_unknown)
        self._upkeep: asyncio.Task[None] | None = None

    @property
    def counters(self) -> int:
        """How many counters are in memory."""
        return len(self._counters)

    async def start(self) -> None:
        """Begin to renew what is open, and to forget what is idle."""
        self._upkeep = asyncio.create_task(self._keep_up())

    async def stop(self) -> None:
        """End the upkeep."""
        await self._desk.close()
        if self._upkeep is not None:
            self._upkeep.cancel()
            with suppress(asyncio.CancelledError):
                await self._upkeep
            self._upkeep = None

    def state(self) -> LimiterState:
        """Nothing is ever degraded or queued here."""
        return LimiterState(is_shared=False, open_tickets=len(self._tickets))

    async def reserve(
        self,
        ticket_id: str,
        takes: Sequence[Take],
        *,
        now_ms: int = 0,
        recompute: Recompute | None = None,
        replaces: str = "",
    ) -> Granted | Refused | Unavailable:
        """See Limiter."""
        if ticket_id in self._tickets:
            raise ValueError(f"The ticket {ticket_id} is open.")
        now = self._time(now_ms)
        states = self._states(takes, now)
        if states is None:
            found = await self._prepared(takes, now_ms, recompute)
            if isinstance(found, Unavailable):
                return found
            takes, states, now = found
        if now >= self._next_sweep:
            self._sweep(now)
        replaced = self._tickets.get(replaces) if replaces else None
        if replaced is not None:
            for _, state, place, amount in replaced.places:
                state.settle(place, amount, 0)
        for state, (counter, amount) in zip(states, takes, strict=False):
            if now >= state.due:
                state.advance(now)
            if state.total + amount > counter[2]:
                refused = _refusal(takes, states, now)
                if replaced is not None:
                    for _, held, place, reserved in replaced.places:
                        held.reinstate(place, reserved)
                return refused
        if replaced is not None:
            del self._tickets[replaces]
        places: list[_Place] = []
        remaining = []
        reset_ms = []
        for state, (counter, amount) in zip(states, takes, strict=False):
            places.append((counter[1], state, state.take(amount, now), amount))
            remaining.append(counter[2] - state.total)
            resets_at = state.resets_at
            reset_ms.append(resets_at - now if resets_at else 0)
        self._tickets[ticket_id] = _Ticket(now + TICKET_MS, places)
        return Granted(tuple(remaining), tuple(reset_ms))

    def settle(self, ticket_id: str, actual: Mapping[str, int]) -> None:
        """See Limiter."""
        ticket = self._tickets.pop(ticket_id, None)
        if ticket is not None:
            for metric, state, place, amount in ticket.places:
                state.settle(place, amount, used_of(actual, metric, amount))
            return
        for metric, state, place, amount in self._expired.pop(ticket_id, ()):
            state.settle(place, 0, used_of(actual, metric, amount))

    async def settled(self) -> None:
        """See Limiter; here it is so at once."""

    async def used(self, counters: Sequence[Counter], *, now_ms: int = 0) -> list[int] | Unavailable:
        """See Limiter."""
        found = await self._prepared([Take(counter, 0) for counter in counters], now_ms, None)
        if isinstance(found, Unavailable):
            return found
        _, states, now = found
        self._sweep(now)
        for state in states:
            state.advance(now)
        return [state.total for state in states]

    async def seed(self, counter: Counter, used: int, *, now_ms: int = 0) -> None:
        """See Limiter; always available."""
        self._counter(counter).set_used(min(max(used, 0), MAX_AMOUNT), self._time(now_ms))

    def renew(self, *, now_ms: int = 0) -> None:
        """Let all open tickets live on from now."""
        now = self._time(now_ms)
        self._sweep(now)
        for ticket in self._tickets.values():
            ticket.expires = now + TICKET_MS

    def forget_idle(self, keys: Sequence[tuple[str, Window]], *, now_ms: int = 0) -> None:
        """Forget those of the counters whose next use begins anew anyway."""
        now = self._time(now_ms)
        for key in keys:
            state = self._counters.get(key)
            if state is not None and state.is_idle(now):
                del self._counters[key]

    def _time(self, now_ms: int) -> int:
        # Never back, also if the system's clock is set.
        self._now = max(self._now, now_ms or int(time.time() * 1000))
        return self._now

    def _states(self, takes: Sequence[Take], now: int) -> dict[State, None] | None:
        """Where the takes are counted, in their order; None where `_prepared` has to look first."""
        known = self._counters
        states: dict[State, None] = {}
        for (key, _, _, window, _), amount in takes:
            state = known.get((key, window))
            if (
                state is None
                or (len(window) == 2 and not window[0] <= now < window[1])
                or not 0 <= amount <= MAX_AMOUNT
            ):
                return None
            states[state] = None
        return states if len(states) == len(takes) else None

    def _counter(self, counter: Counter) -> State:
        key = (counter.key, counter.window)
        state = self._counters.get(key)
        if state is None:
            check_counter(counter)
            state = self._counters[key] = new_state(counter)
        return state

    async def _prepared(
        self, takes: Sequence[Take], now_ms: int, recompute: Recompute | None
    ) -> tuple[Sequence[Take], dict[State, None], int] | Unavailable:
        """The takes with present windows, and their counters, known and seeded."""
        check_takes(takes)
        try:
            async with asyncio.timeout(SEED_WAIT_S):
                for _ in range(_LOOKS):
                    now = self._time(now_ms)
                    if any(_is_stale(counter.window, now) for counter, _ in takes):
                        if recompute is None:
                            break
                        takes = recompute(now)
                        check_takes(takes)
                    if len(self._counters) + len(takes) > self._most_counters:
                        return Unavailable("too many counters")
                    await self._make_known([counter for counter, _ in takes])
                    states = self._states(takes, self._time(now_ms))
                    if states is not None:
                        return takes, states, self._now
        except (TimeoutError, SeedFailed):
            return Unavailable("seeding")
        return Unavailable("clock")

    async def _make_known(self, counters: Sequence[Counter]) -> None:
        """Begin to count what is counted for the first time, with what the ledger says of it."""
        unknown = [one for one in counters if (one.key, one.window) not in self._counters]
        if self._seeder is not None:
            wanting = [one for one in unknown if needs_seed(one)]
            if wanting:
                await self._desk.ask(wanting)
        for counter in unknown:
            self._counter(counter)

    async def _seed_unknown(self, counters: Sequence[Counter]) -> None:
        unknown = [one for one in counters if (one.key, one.window) not in self._counters]
        for counter, used in zip(unknown, await ask_seeder(self._seeder, unknown), strict=True):
            await self.seed(counter, used)

    def _sweep(self, now: int) -> None:
        """Give back what expired tickets reserved."""
        tickets = self._tickets
        for ticket_id in list(tickets)[:SWEEP]:
            ticket = tickets[ticket_id]
            if ticket.expires > now:
                break
            del tickets[ticket_id]
            for _, state, place, amount in ticket.places:
                state.settle(place, amount, 0)
            self._expired[ticket_id] = ticket.places
            if len(self._expired) > _EXPIRED_KEPT:
                del self._expired[next(iter(self._expired))]
        self._next_sweep = next((ticket.expires for ticket in tickets.values()), now + TICKET_MS)

    async def _keep_up(self) -> None:
        while True:
            await asyncio.sleep(self._renew_s)
            self.renew()
            keys = list(self._counters)
            for start in range(0, len(keys), _IDLE_BATCH):
                self.forget_idle(keys[start : start + _IDLE_BATCH])
                await asyncio.sleep(0)


def _is_stale(window: Window, now: int) -> bool:
    return isinstance(window, CalendarWindow) and not window.start_ms <= now < window.end_ms


def _refusal(takes: Sequence[Take], states: Collection[State], now: int) -> Refused:
    """Names the take that waits longest, the first of several."""
    for state in states:
        state.advance(now)
    longest = (-1, 0)
    for index, (state, (counter, amount)) in enumerate(zip(states, takes, strict=True)):
        if state.total + amount > counter.limit:
            wait = state.retry_after(amount, counter.limit, now)
            longest = max(longest, (_FOREVER if wait is None else wait, -index))
    wait, index = longest
    return Refused(
        -index,
        None if wait == _FOREVER else wait,
        tuple([max(take.counter.limit - state.total, 0) for state, take in zip(states, takes, strict=True)]),
        tuple([state.reset_ms(now) for state in states]),
    )
