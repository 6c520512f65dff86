"""What is left of the limits and budgets that bind the holder of keys: for pages and answers, not for calls.

What others of a team used is seen only as far as they share a counter. It is what the ledger says: calls that
are under way are not in it yet.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from security_app.limits import CalendarWindow, SlidingWindow
from security_app.models.limits import member_id
from security_app.registry import Principal
from security_app.registry.counters import Meter, Rule
from security_app.registry.limits import SECTION, LimitsConfig, Who
from security_app.services.configuration import store
from security_app.services.counter_use import use_of_counters

# Each asks the ledger a question.
MAX_COUNTERS = 100


class CounterState(NamedTuple):
    """A counter and how far it is used up; money is in nano-dollars.

    `used` is None for requests at a time and under conditions, which no ledger knows. `resets_at` is when all
    that was used is free again: the end of a calendar window, and of others the latest moment, if nothing
    more is used until then; None if it never is by itself.
    """

    rule: Rule
    subject: str
    limit: int
    used: int | None
    resets_at: datetime | None

    @property
    def remaining(self) -> int | None:
        """What is left; a limit may have become less than was used."""
        return None if self.used is None else max(self.limit - self.used, 0)


def who_is(principal: Principal) -> Who:
    """Whose counters the calls of a key take from, beside those of what is called and for whom."""
    return Who(
        key=principal.key_id.hex if principal.key_id is not None else "",
        team=principal.team_id.hex if principal.team_id is not None else "",
        organization=principal.organization_id.hex if principal.organization_id is not None else "",
        user=principal.user_id,
        member=member_id(principal.team_id, principal.user_id)
        if principal.team_id is not None and principal.user_id
        else "",
    )


def binding_counters(somebody: Iterable[Who]) -> list[CounterState]:
    """Each counter once, at most MAX_COUNTERS of them. Asks the database."""
    config: LimitsConfig = store.current.sections[SECTION].value
    meters: dict[tuple[str, str], Meter] = {}
    for who in somebody:
        for meter in config.meters_of(who):
            meters.setdefault((meter.rule.id, meter.subject), meter)
            if len(meters) >= MAX_COUNTERS:
                return _states([*meters.values()])
    return _states([*meters.values()])


def _states(meters: Sequence[Meter]) -> list[CounterState]:
    now_ms = int(time.time() * 1000)
    counters = [meter.counter(now_ms) for meter in meters]
    is_known = [
        counter.metric != "concurrency" and not meter.rule.condition_text
        for meter, counter in zip(meters, counters, strict=True)
    ]
    used = iter(
        use_of_counters([counter for counter, known in zip(counters, is_known, strict=True) if known])
    )
    return [
        CounterState(
            meter.rule,
            meter.subject,
            counter.limit,
            next(used) if known else None,
            _reset(counter.window, now_ms),
        )
        for meter, counter, known in zip(meters, counters, is_known, strict=True)
    ]


def _reset(window: object, now_ms: int) -> datetime | None:
    if isinstance(window, CalendarWindow):
        return datetime.fromtimestamp(window.end_ms / 1000, UTC)
    if isinstance(window, SlidingWindow):
        return datetime.fromtimestamp((now_ms + window.length_ms) / 1000, UTC)
    return None
