"""Budgets that end streams: whether there is money for a call to go on, asked again while it does.

A call may cost what was reserved for it. One that turns out dearer takes more while it runs, step by step and
as atomically as the first time: streams beside each other never go on with the same money. Where a budget
has no more, the stream ends.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import NamedTuple

from gateway_project.core.errors import QuotaExceeded
from gateway_project.core.ids import uuid7
from security_app.limits import MAX_AMOUNT, NOTHING, Counter, Granted, Limiter, Refused, Take, Unavailable
from security_app.registry.counters import BudgetRule, Meter
from security_app.registry.limits import SECTION
from security_app.services.configuration import store
from security_app.services.limit_answers import stream_stopped

# How often somebody else may be faster before a call goes on for now and asks again later.
_TRIES = 3
# What is taken is a growing step, so that a call of any length has a few dozen reservations at most.
_STEP_PART = 8


class _Spent(NamedTuple):
    """A budget of the call: its rule as it is now, and the counter that the call was let in by."""

    rule: BudgetRule
    subject: str
    counter: Counter


class StreamBudgets:
    """The budgets of one ticket that end streams, and what is held of each: `held_nano`."""

    __slots__ = ("_limiter", "_metered", "_more", "_room", "held_nano")

    def __init__(
        self, limiter: Limiter, metered: Sequence[tuple[Meter, Counter]], *, held_nano: int, room_nano: int
    ) -> None:
        self._limiter = limiter
        self._metered = metered
        # The ids of what was taken besides the ticket.
        self._more: list[str] = []
        # What was left besides what is held, when it was last heard of.
        self._room = room_nano
        self.held_nano = held_nano

    @classmethod
    def of(
        cls, limiter: Limiter, meters: Sequence[Meter], takes: Sequence[Take], remaining: Sequence[int]
    ) -> StreamBudgets | None:
        """Those among what a ticket took, with what remained of each; None if there are none."""
        found = [
            (meter, take, left)
            for meter, take, left in zip(meters, takes, remaining, strict=True)
            if isinstance(meter.rule, BudgetRule) and meter.rule.stops_streams
        ]
        if not found:
            return None
        # Each budget was asked for the same amount: the cost of the call.
        return cls(
            limiter,
            [(meter, take.counter) for meter, take, _ in found],
            held_nano=found[0][1].amount,
            room_nano=min(left for _, _, left in found),
        )

    async def require(self, cost_nano: int, step_nano: int) -> None:
        """QuotaExceeded if a call that has cost so much by now may not go on.

        Where it has cost more than is held, that and about `step_nano` more is held from now on.
        """
        spent = self._spent()
        if not spent:
            return
        if cost_nano > self.held_nano:
            await self._hold(spent, cost_nano, step_nano)
        else:
            await self._look(spent, cost_nano)

    def give_back(self) -> None:
        """The call is over: its ticket has what it used."""
        more, self._more = self._more, []
        for ticket_id in more:
            self._limiter.settle(ticket_id, NOTHING)

    async def _look(self, spent: Sequence[_Spent], cost_nano: int) -> None:
        """What is held may not be there any more: others were dearer, or the amount is less now."""
        used = await self._limiter.used([one.counter for one in spent])
        if isinstance(used, Unavailable):
            return
        left = [one.counter.limit - total for one, total in zip(spent, used, strict=True)]
        self._room = min(left)
        if cost_nano > self.held_nano + self._room:
            raise _stopped(spent, left)

    async def _hold(self, spent: Sequence[_Spent], cost_nano: int, step_nano: int) -> None:
        missing = cost_nano - self.held_nano
        wanted = missing + max(step_nano, self.held_nano // _STEP_PART)
        for _ in range(_TRIES):
            wanted = min(wanted, MAX_AMOUNT)
            answer = await self._take([Take(one.counter, wanted) for one in spent])
            if isinstance(answer, Granted):
                self.held_nano += wanted
                self._room = min(answer.remaining)
                return
            left = [self._room] if isinstance(answer, Unavailable) else list(answer.remaining)
            self._room = min(left)
            if missing > self._room:
                raise _stopped(spent, left)
            if isinstance(answer, Unavailable):
                return
            # The last of it.
            wanted = self._room

    async def _take(self, takes: Sequence[Take]) -> Granted | Refused | Unavailable:
        ticket_id = uuid7().hex
        try:
            answer = await self._limiter.reserve(ticket_id, takes)
        except BaseException:
            # Nobody knows whether the store did it.
            self._limiter.settle(ticket_id, NOTHING)
            raise
        if isinstance(answer, Granted):
            self._more.append(ticket_id)
        return answer

    def _spent(self) -> list[_Spent]:
        """The budgets as they are now: who raises one, or lets it end streams no more, need not wait."""
        section = store.current.sections.get(SECTION) if store.is_loaded else None
        now_ms = int(time.time() * 1000)
        spent = []
        for meter, counter in self._metered:
            rule = section.value.rule(meter.rule.id) if section is not None else None
            rule = rule or meter.rule
            if isinstance(rule, BudgetRule) and rule.stops_streams:
                spent.append(_Spent(rule, meter.subject, counter._replace(limit=rule.amount_at(now_ms))))
        return spent


def _stopped(spent: Sequence[_Spent], left: Sequence[int]) -> QuotaExceeded:
    """Names the budget that has the least left."""
    rule, subject, counter = spent[left.index(min(left))]
    return stream_stopped(rule, subject, counter)
