"""The limiter of a gateway without Valkey: one process counts for itself, and is the only one.

Each call is one step of the event loop; it waits only for a seed, so `await` costs next to nothing.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from math import inf

from security_app.limits.counters import (
    MAX_AMOUNT,
    RENEW_S,
    SEED_WAIT_S,
    SWEEP,
    TICKET_MS,
    CalendarWindow,
    Counter,
    Counters,
    Granted,
    LimiterState,
    Recompute,
    Refused,
    Seeder,
    Take,
    Takes,
    Unavailable,
    Window,
    check_counter,
    check_takes,
    needs_seed,
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


class _Kept:
    """Where some counters are counted, as long as `life` is the limiter's and no calendar window ends."""

    __slots__ = ("life", "limits", "metrics", "states", "until")

    def __init__(self, counters: Sequence[Counter], states: Sequence[State], life: object) -> None:
        self.states = tuple(states)
        self.limits = tuple([counter.limit for counter in counters])
        # "" for what is given back whatever was used.
        self.metrics = tuple(["" if one.metric == "concurrency" else one.metric for one in counters])
        ends = [counter.window.end_ms for counter in counters if isinstance(counter.window, CalendarWindow)]
        self.until: float = min(ends, default=inf)
        self.life = life


class _Ticket:
    """What a call holds: of each counter an amount, in the sub-window that is its place."""

    __slots__ = ("amounts", "expires", "kept", "places")

    def __init__(self, expires: int, kept: _Kept, places: list[list[int]], amounts: Sequence[int]) -> None:
        self.expires = expires
        self.kept = kept
        self.places = places
        self.amounts = amounts

    def settle(self, actual: Mapping[str, int]) -> None:
        """Replace what was reserved by what was used."""
        kept, used_of = self.kept, actual.get
        for state, metric, place, reserved in zip(
            kept.states, kept.metrics, self.places, self.amounts, strict=True
        ):
            used = used_of(metric, reserved) if metric else 0
            if not 0 <= used <= MAX_AMOUNT:
                used = min(max(used, 0), MAX_AMOUNT)
            if used != reserved or state.counts_open:
                state.settle(place, reserved, used)

    def give_back(self) -> None:
        """Nothing is held any more."""
        for state, place, amount in zip(self.kept.states, self.places, self.amounts, strict=True):
            state.settle(place, amount, 0)

    def reinstate(self) -> None:
        """All is held again."""
        for state, place, amount in zip(self.kept.states, self.places, self.amounts, strict=True):
            state.reinstate(place, amount)

    def settle_late(self, actual: Mapping[str, int]) -> None:
        """Add what was used to what was given back already."""
        self.reinstate()
        self.settle(actual)


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
        self._expired: dict[str, _Ticket] = {}
        # Another one as soon as a counter is forgotten: what is kept of it elsewhere is worth nothing then.
        self._life = object()
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
        wanted = takes if isinstance(takes, Takes) else Takes.of(takes)
        now = self._time(now_ms)
        kept = self._kept(wanted.counters, now)
        if kept is None:
            found = await self._prepared(wanted, now_ms, recompute)
            if isinstance(found, Unavailable):
                return found
            wanted, kept, now = found
        if now >= self._next_sweep:
            self._sweep(now)
        replaced = self._tickets.get(replaces) if replaces else None
        if replaced is not None:
            replaced.give_back()
        amounts = wanted.amounts
        for state, limit, amount in zip(kept.states, kept.limits, amounts, strict=True):
            if now >= state.due:
                state.advance(now)
            if not 0 <= amount <= limit - state.total:
                refused = _refusal(wanted, kept, now)
                if replaced is not None:
                    replaced.reinstate()
                check_takes(wanted)
                return refused
        if replaced is not None:
            del self._tickets[replaces]
        places = []
        remaining = []
        for state, limit, amount in zip(kept.states, kept.limits, amounts, strict=True):
            if now >= state.due:
                state.begin(now)
            place = state.newest
            place[1] += amount
            state.total = total = state.total + amount
            places.append(place)
            remaining.append(limit - total)
        self._tickets[ticket_id] = _Ticket(now + TICKET_MS, kept, places, amounts)
        reset_ms = [at - now if (at := state.resets_at) else 0 for state in kept.states]
        return Granted(tuple(remaining), tuple(reset_ms))

    def settle(self, ticket_id: str, actual: Mapping[str, int]) -> None:
        """See Limiter."""
        ticket = self._tickets.pop(ticket_id, None)
        if ticket is not None:
            ticket.settle(actual)
            return
        expired = self._expired.pop(ticket_id, None)
        if expired is not None:
            expired.settle_late(actual)

    async def settled(self) -> None:
        """See Limiter; here it is so at once."""

    async def used(self, counters: Sequence[Counter], *, now_ms: int = 0) -> list[int] | Unavailable:
        """See Limiter."""
        asked = Takes(Counters(counters), [0] * len(counters))
        found = await self._prepared(asked, now_ms, None)
        if isinstance(found, Unavailable):
            return found
        _, kept, now = found
        self._sweep(now)
        for state in kept.states:
            state.advance(now)
        return [state.total for state in kept.states]

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
                self._life = object()

    def _time(self, now_ms: int) -> int:
        # Never back, also if the system's clock is set.
        self._now = max(self._now, now_ms or int(time.time() * 1000))
        return self._now

    def _kept(self, counters: Counters, now: int) -> _Kept | None:
        """Where they are counted; None where `_prepared` has to look first."""
        kept = counters.kept
        if isinstance(kept, _Kept) and kept.life is self._life and now < kept.until:
            return kept
        states = []
        for counter in counters.all:
            state = self._counters.get((counter.key, counter.window))
            if state is None or _is_stale(counter.window, now):
                return None
            states.append(state)
        if len(set(states)) < len(states):
            return None
        counters.kept = kept = _Kept(counters.all, states, self._life)
        return kept

    def _counter(self, counter: Counter) -> State:
        key = (counter.key, counter.window)
        state = self._counters.get(key)
        if state is None:
            check_counter(counter)
            state = self._counters[key] = new_state(counter)
        return state

    async def _prepared(
        self, takes: Takes, now_ms: int, recompute: Recompute | None
    ) -> tuple[Takes, _Kept, int] | Unavailable:
        """The takes with present windows, and where they are counted: counters are known, and seeded."""
        check_takes(takes)
        try:
            async with asyncio.timeout(SEED_WAIT_S):
                for _ in range(_LOOKS):
                    now = self._time(now_ms)
                    if any(_is_stale(counter.window, now) for counter in takes.counters.all):
                        if recompute is None:
                            break
                        again = recompute(now)
                        takes = again if isinstance(again, Takes) else Takes.of(again)
                        check_takes(takes)
                    if len(self._counters) + len(takes) > self._most_counters:
                        return Unavailable("too many counters")
                    await self._make_known(takes.counters.all)
                    kept = self._kept(takes.counters, self._time(now_ms))
                    if kept is not None:
                        return takes, kept, self._now
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
            ticket.give_back()
            self._expired[ticket_id] = ticket
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


def _refusal(takes: Takes, kept: _Kept, now: int) -> Refused:
    """Names the take that waits longest, the first of several."""
    for state in kept.states:
        state.advance(now)
    longest = (-1, 0)
    for index, (state, limit, amount) in enumerate(zip(kept.states, kept.limits, takes.amounts, strict=True)):
        if state.total + amount > limit:
            wait = state.retry_after(amount, limit, now)
            longest = max(longest, (_FOREVER if wait is None else wait, -index))
    wait, index = longest
    counted = zip(kept.states, kept.limits, strict=True)
    return Refused(
        -index,
        None if wait == _FOREVER else wait,
        tuple([max(limit - state.total, 0) for state, limit in counted]),
        tuple([state.reset_ms(now) for state in kept.states]),
    )
