"""What limiters must say, worked out anew for each question from the list of all that ever happened."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from security_app.limits import CalendarWindow, Counter, Granted, Lifetime, Refused, SlidingWindow, Take

TICKET_MS = 60_000
HINT_MS = 1000
_NEVER = 10**15


@dataclass
class Event:
    """A reservation that was granted, and what became of it."""

    ticket_id: str
    at: int
    takes: Sequence[Take]
    expires: int
    actual: Mapping[str, int] | None = None

    def amount(self, take: Take, now: int) -> int:
        """What it counts for one of its takes."""
        if self.actual is None:
            return take.amount if now < self.expires else 0
        if take.counter.metric == "concurrency":
            return 0
        return self.actual.get(take.counter.metric, take.amount)


@dataclass
class Model:
    """All events; `now` never goes back."""

    events: list[Event] = field(default_factory=list)
    now: int = 0

    def total(self, counter: Counter, now: int, *, is_exact: bool = False, settled_only: bool = False) -> int:
        """What counts against the limit at a time; `is_exact`: of the trailing window to the millisecond."""
        return sum(
            event.amount(take, self.now)
            for event in self.events
            for take in event.takes
            if (take.counter.key, take.counter.window) == (counter.key, counter.window)
            and now < (_leaves(counter, event.at) if not is_exact else _leaves_exactly(counter, event.at))
            and not (settled_only and event.actual is None)
        )

    def reserve(self, ticket_id: str, takes: Sequence[Take]) -> Granted | Refused:
        """The answer to a request, which is remembered if granted."""
        fits = [self.total(take.counter, self.now) + take.amount <= take.counter.limit for take in takes]
        if all(fits):
            self.events.append(Event(ticket_id, self.now, takes, self.now + TICKET_MS))
        remaining = tuple(max(0, one.limit - self.total(one, self.now)) for one, _ in takes)
        reset_ms = tuple(self.reset_ms(one) for one, _ in takes)
        if all(fits):
            return Granted(remaining, reset_ms)
        waits = [0 if fit else self.wait(take) for take, fit in zip(takes, fits, strict=True)]
        longest = max(waits, key=lambda wait: float("inf") if wait is None else wait)
        if None in waits:
            longest = None
        return Refused(waits.index(longest), longest, remaining, reset_ms)

    def settle(self, ticket_id: str, actual: Mapping[str, int]) -> None:
        """The first settlement of a ticket."""
        for event in self.events:
            if event.ticket_id == ticket_id and event.actual is None:
                event.actual = dict(actual)

    def renew(self) -> None:
        """All that is open and has not expired lives on."""
        for event in self.events:
            if event.expires > self.now:
                event.expires = self.now + TICKET_MS

    def wait(self, take: Take) -> int | None:
        """Tries every moment at which something changes, until the take fits."""
        counter, amount = take
        if amount > counter.limit:
            return None
        window = counter.window
        if isinstance(window, SlidingWindow):
            moments = sorted({_leaves(counter, event.at) for event in self.events})
            return next(
                moment - self.now
                for moment in moments
                if moment > self.now and self.total(counter, moment) + amount <= counter.limit
            )
        is_open_only = self.total(counter, self.now, settled_only=True) + amount <= counter.limit
        if isinstance(window, CalendarWindow):
            end = window.end_ms - self.now
            return min(HINT_MS, end) if is_open_only else end
        return HINT_MS if is_open_only else None

    def moments(self, counters: Sequence[Take]) -> list[int]:
        """When, from now on, something changes by itself."""
        found = {one.window.end_ms for one, _ in counters if isinstance(one.window, CalendarWindow)} | {
            event.expires for event in self.events
        }
        for event in self.events:
            found |= {_leaves(take.counter, event.at) for take in event.takes}
        return sorted(moment for moment in found if self.now < moment < _NEVER)

    def reset_ms(self, counter: Counter) -> int:
        """When the last that was counted leaves, or the window ends."""
        window = counter.window
        if isinstance(window, Lifetime):
            return 0
        if isinstance(window, CalendarWindow):
            return window.end_ms - self.now
        leaving = [
            _leaves(counter, event.at)
            for event in self.events
            for take in event.takes
            if take.counter == counter
        ]
        return max(0, max(leaving, default=0) - self.now)


def _leaves(counter: Counter, at: int) -> int:
    """From when on an amount no longer counts: its whole sub-window is out of every trailing window."""
    window = counter.window
    if not isinstance(window, SlidingWindow):
        return _NEVER
    sub_window = -(-window.length_ms // 60)
    begins = at - at % sub_window
    return begins + sub_window - 1 + window.length_ms


def _leaves_exactly(counter: Counter, at: int) -> int:
    window = counter.window
    return at + window.length_ms if isinstance(window, SlidingWindow) else _NEVER
