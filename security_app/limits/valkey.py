"""The limiter of several processes: all count in one Valkey, by one script (limits.lua).

A reservation is one round trip; those of one tick of the event loop travel together. When Valkey is away the
answer is Unavailable, at once after a few failures, and what is then allowed is for the caller to say.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from typing import Any, NamedTuple

from security_app.limits.counters import (
    MAX_AMOUNT,
    RENEW_S,
    SEED_WAIT_S,
    TICKET_MS,
    CalendarWindow,
    Counter,
    Granted,
    LimiterState,
    Recompute,
    Refused,
    Seeder,
    SlidingWindow,
    Take,
    Unavailable,
    check_counter,
    check_takes,
    needs_seed,
    sub_window_ms,
    used_of,
)
from security_app.limits.link import Link, LinkDown
from security_app.limits.seeding import SeedDesk, SeedFailed, ask_seeder
from security_app.limits.settles import SettleQueue

_TIMEOUT_S = 0.25
# Settlements that wait for Valkey: a few MB at most.
_QUEUE_SIZE = 10_000
_FLUSH_S = 2.0
_LOCK_MS = 2000
_SEED_POLL_S = 0.02
_RENEW_RETRY_S = 2.0
_RENEW_BATCH = 1000
# How often the takes of a request are computed again because a calendar window was not the store's.
_RECOMPUTED = 2
_SLIDING, _CALENDAR, _LIFETIME = 0, 1, 2

# What limits.lua calls a counter: name, kind, limit, two numbers of the window, needs_seed.
_LuaCounter = tuple[str, int, int, int, int, bool]


class _Ticket(NamedTuple):
    """What a settlement must say: also of a reservation that expired or that Valkey has lost."""

    generation: str
    takes: Sequence[Take]
    places: Sequence[int]


class ValkeyLimiter:
    """See Limiter. All calls in the event loop that started it. Without a seeder counters start at zero."""

    def __init__(
        self,
        url: str,
        seeder: Seeder | None = None,
        *,
        timeout_s: float = _TIMEOUT_S,
        queue_size: int = _QUEUE_SIZE,
        renew_s: float = RENEW_S,
    ) -> None:
        self._seeder = seeder
        self._renew_s = renew_s
        self._link = Link(url, timeout_s)
        self._settles = SettleQueue(self._link, queue_size)
        self._desk = SeedDesk(self._seed_unknown)
        self._tickets: dict[str, _Ticket] = {}
        # What names the life of the store if this process is the first to use it.
        self._proposal = secrets.token_hex(8)
        self._upkeep: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to renew and to settle. Valkey may be away; the first call connects."""
        self._settles.start()
        self._upkeep = asyncio.create_task(self._keep_up())

    async def stop(self) -> None:
        """Hand over the last settlements, and give back the connection."""
        if self._upkeep is not None:
            self._upkeep.cancel()
            with suppress(asyncio.CancelledError):
                await self._upkeep
            self._upkeep = None
        await self._desk.close()
        await self._settles.stop(_FLUSH_S)
        await self._link.close()

    def state(self) -> LimiterState:
        """Degraded from the third failure in a row until a trial succeeds."""
        return LimiterState(
            is_shared=True,
            degraded_since_s=self._link.degraded_since_s,
            reason=self._link.reason,
            open_tickets=len(self._tickets),
            queued_settles=len(self._settles),
            dropped_settles=self._settles.dropped,
        )

    async def reserve(
        self,
        ticket_id: str,
        takes: Sequence[Take],
        *,
        now_ms: int = 0,
        recompute: Recompute | None = None,
        replaces: str = "",
    ) -> Granted | Refused | Unavailable:
        """See Limiter. Where it is not known what became of this, settling `replaces` is still right."""
        if ticket_id in self._tickets:
            raise ValueError(f"The ticket {ticket_id} is open.")
        try:
            takes, answer = await self._ask(
                "reserve", (self._proposal, ticket_id, TICKET_MS, replaces), takes, now_ms, recompute
            )
        except LinkDown as error:
            if error.may_have_acted:
                self._give_back(ticket_id, len(takes))
            return Unavailable(error.reason)
        except _NoAnswer as error:
            return Unavailable(str(error))
        except asyncio.CancelledError:
            self._give_back(ticket_id, len(takes))
            raise
        if answer[0] == "granted":
            _, _, remaining, reset_ms, places, generation = answer
            self._tickets[ticket_id] = _Ticket(generation, takes, places)
            self._tickets.pop(replaces, None)
            return Granted(tuple(remaining), tuple(reset_ms))
        if answer[0] == "open":
            raise ValueError(f"The ticket {ticket_id} is open.")
        _, _, remaining, reset_ms, index, wait = answer
        return Refused(index, None if wait < 0 else wait, tuple(remaining), tuple(reset_ms))

    def settle(self, ticket_id: str, actual: Mapping[str, int]) -> None:
        """See Limiter: sent within milliseconds, again and again while Valkey is away."""
        ticket = self._tickets.pop(ticket_id, None)
        if ticket is None:
            return
        amounts = [used_of(actual, counter.metric, amount) for counter, amount in ticket.takes]
        counted = zip(ticket.takes, ticket.places, strict=True)
        places = [(lua_counter(take.counter)[0], place) for take, place in counted]
        self._settles.put((ticket_id, ticket.generation, amounts, places))

    async def settled(self) -> None:
        """Until every settlement so far was carried out, or dropped."""
        await self._settles.drained()

    async def used(self, counters: Sequence[Counter], *, now_ms: int = 0) -> list[int] | Unavailable:
        """See Limiter."""
        try:
            _, answer = await self._ask("used", (), [Take(one, 0) for one in counters], now_ms, None)
        except LinkDown as error:
            return Unavailable(error.reason)
        except _NoAnswer as error:
            return Unavailable(str(error))
        return list(answer[2])

    async def seed(self, counter: Counter, used: int, *, now_ms: int = 0) -> Unavailable | None:
        """See Limiter."""
        check_counter(counter)
        amount = min(max(used, 0), MAX_AMOUNT)
        try:
            await self._link.call("seed", [lua_counter(counter)], [amount], True, now_ms=now_ms)
        except LinkDown as error:
            return Unavailable(error.reason)
        return None

    async def renew(self, *, now_ms: int = 0) -> None:
        """Let all open tickets of this process live on from now; raises LinkDown."""
        tickets = list(self._tickets)
        for start in range(0, len(tickets), _RENEW_BATCH):
            batch = tickets[start : start + _RENEW_BATCH]
            await self._link.call("renew", TICKET_MS, batch, now_ms=now_ms)

    async def _ask(
        self,
        operation: str,
        arguments: tuple[Any, ...],
        takes: Sequence[Take],
        now_ms: int,
        recompute: Recompute | None,
    ) -> tuple[Sequence[Take], list[Any]]:
        """The script's answer for takes with present windows and seeded counters, and these takes."""
        recomputed = 0
        seeded_until = 0.0
        while True:
            check_takes(takes)
            counters = [lua_counter(counter) for counter, _ in takes]
            amounts = [amount for _, amount in takes]
            answer = await self._link.call(operation, *arguments, counters, amounts, now_ms=now_ms)
            if answer[0] == "stale":
                if recompute is None or recomputed == _RECOMPUTED:
                    raise _NoAnswer("clock")
                takes = recompute(answer[1])
                recomputed += 1
            elif answer[0] == "unseeded":
                time = asyncio.get_running_loop().time
                if seeded_until:
                    # Another process is at it.
                    await asyncio.sleep(_SEED_POLL_S)
                seeded_until = seeded_until or time() + SEED_WAIT_S
                await self._seeded([takes[index].counter for index in answer[2]], seeded_until - time())
            else:
                return takes, answer

    async def _seeded(self, counters: Sequence[Counter], timeout_s: float) -> None:
        """Once these counters should be known."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._desk.ask(counters)
        except (TimeoutError, SeedFailed):
            raise _NoAnswer("seeding") from None

    async def _seed_unknown(self, counters: Sequence[Counter]) -> None:
        """Seed those that no other process is seeding."""
        try:
            answer = await self._link.call("lock", _LOCK_MS, [lua_counter(one) for one in counters])
            ours = [counter for counter, is_ours in zip(counters, answer[1], strict=True) if is_ours]
            if ours:
                try:
                    used = await ask_seeder(self._seeder, ours)
                except SeedFailed:
                    await self._link.call("unlock", [lua_counter(one) for one in ours])
                    raise
                amounts = [min(max(amount, 0), MAX_AMOUNT) for amount in used]
                await self._link.call("seed", [lua_counter(one) for one in ours], amounts, False)
        except LinkDown as error:
            raise SeedFailed(error.reason) from error

    def _give_back(self, ticket_id: str, count: int) -> None:
        """Release what Valkey may have reserved for a request that will not know."""
        self._settles.put((ticket_id, self._proposal, [0] * count, []))

    async def _keep_up(self) -> None:
        pause_s = self._renew_s
        while True:
            await asyncio.sleep(pause_s)
            try:
                await self.renew()
                pause_s = self._renew_s
            except LinkDown:
                pause_s = _RENEW_RETRY_S


class _NoAnswer(Exception):
    """Valkey answers, but can't say: "clock" or "seeding"."""


@lru_cache(maxsize=20_000)
def lua_counter(counter: Counter) -> _LuaCounter:
    """A counter as limits.lua knows it; its name holds the window, as the identity does."""
    key, _, limit, window, _ = counter
    if isinstance(window, SlidingWindow):
        length = window.length_ms
        name = f"{key}|s{length}"
        return name, _SLIDING, limit, length, sub_window_ms(length), needs_seed(counter)
    if isinstance(window, CalendarWindow):
        return f"{key}|c{window[0]}-{window[1]}", _CALENDAR, limit, *window, needs_seed(counter)
    return f"{key}|l", _LIFETIME, limit, 0, 0, needs_seed(counter)
