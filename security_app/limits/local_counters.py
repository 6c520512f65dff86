"""The counters of the in-process limiter: what each kind of window keeps. Times are arguments.

The Lua script (limits.lua) does the same, step by step; a change here is a change there.
"""

from __future__ import annotations

from security_app.limits.counters import (
    HINT_MS,
    CalendarWindow,
    Counter,
    Lifetime,
    SlidingWindow,
    sub_window_ms,
)

# How long a calendar window's counter outlives it, for settlements, and an idle one of all time its last use.
_KEPT_MS = 3_600_000


class Sliding:
    """Amounts by sub-window. A sub-window leaves when its last millisecond is outside the trailing window."""

    __slots__ = ("_length", "_oldest", "_slots", "_width", "total")

    def __init__(self, window: SlidingWindow) -> None:
        self._length = window.length_ms
        self._width = sub_window_ms(window.length_ms)
        # Sub-windows before this one have left.
        self._oldest = 0
        # Each is [number, amount], the newest last.
        self._slots: list[list[int]] = []
        self.total = 0

    def advance(self, now: int) -> None:
        """Forget what has left the window."""
        oldest = (now - self._length + 1) // self._width
        if oldest > self._oldest:
            self._oldest = oldest
            slots = self._slots
            while slots and slots[0][0] < oldest:
                self.total -= slots.pop(0)[1]

    def take(self, amount: int, now: int) -> list[int]:
        """Count an amount; returns where, for `settle`."""
        slots = self._slots
        # A clock that was set back must not write where nothing is ever forgotten.
        number = max(now // self._width, slots[-1][0] if slots else self._oldest)
        if slots and slots[-1][0] == number:
            slot = slots[-1]
            slot[1] += amount
        else:
            slot = [number, amount]
            slots.append(slot)
        self.total += amount
        return slot

    def settle(self, slot: list[int], reserved: int, actual: int) -> None:
        """Correct what was counted there, unless it has left the window."""
        if slot[0] >= self._oldest:
            slot[1] += actual - reserved
            self.total += actual - reserved

    def reinstate(self, slot: list[int], amount: int) -> None:
        """Undo the settlement of a reservation as nothing."""
        self.settle(slot, 0, amount)

    def set_used(self, used: int, now: int) -> None:
        """As if so much had been used just now and nothing before; what is open is settled in vain."""
        # In a sub-window that no ticket knows.
        self._oldest = max(now // self._width, self._slots[-1][0] if self._slots else self._oldest) + 1
        self._slots = [[self._oldest, used]]
        self.total = used

    def retry_after(self, amount: int, limit: int, now: int) -> int | None:
        """In how many ms an amount that is too much now fits; None for never."""
        excess = self.total + amount - limit
        for number, counted in self._slots:
            excess -= counted
            if excess <= 0:
                return (number + 1) * self._width + self._length - 1 - now
        return None

    def reset_ms(self, now: int) -> int:
        """In how many ms nothing of what was counted is left."""
        slots = self._slots
        return (slots[-1][0] + 1) * self._width + self._length - 1 - now if slots else 0

    def is_idle(self, now: int) -> bool:
        """Whether forgetting it changes nothing."""
        self.advance(now)
        return not self._slots


class Amounts:
    """What was used and what is reserved: budgets by calendar and of all time, and concurrency."""

    __slots__ = ("_end", "_touched", "_used", "total")

    def __init__(self, window: CalendarWindow | Lifetime) -> None:
        self._end = window[1] if window else 0
        self._touched = 0
        self._used = 0
        # The reservations included.
        self.total = 0

    def advance(self, now: int) -> None:
        """Note that it is in use."""
        self._touched = now

    def take(self, amount: int, _now: int) -> None:
        """Reserve an amount."""
        self.total += amount

    def settle(self, _place: None, reserved: int, actual: int) -> None:
        """Replace a reservation by what was used."""
        self.total += actual - reserved
        self._used += actual

    def reinstate(self, _place: None, amount: int) -> None:
        """Undo the settlement of a reservation as nothing."""
        self.total += amount

    def set_used(self, used: int, _now: int) -> None:
        """Replace what was used; reservations stay."""
        self.total += used - self._used
        self._used = used

    def retry_after(self, amount: int, limit: int, now: int) -> int | None:
        """As for Sliding; if only open requests stand in the way, a hint."""
        if amount > limit:
            return None
        wait = self._end - now if self._end else None
        if self._used + amount > limit:
            return wait
        return HINT_MS if wait is None else min(HINT_MS, wait)

    def reset_ms(self, now: int) -> int:
        """In how many ms the window ends; 0 if it has no end."""
        return self._end - now if self._end else 0

    def is_idle(self, now: int) -> bool:
        """Whether it may be forgotten: nothing is open, and a seed brings the rest back."""
        return self.total == self._used and now > max(self._end, self._touched) + _KEPT_MS


State = Sliding | Amounts


def new_state(counter: Counter) -> State:
    """The empty state of a counter."""
    window = counter.window
    return Sliding(window) if isinstance(window, SlidingWindow) else Amounts(window)
