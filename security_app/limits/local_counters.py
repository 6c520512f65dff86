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
# How late its last use may be noted.
_TOUCH_MS = 60_000


class Sliding:
    """Amounts by sub-window. A sub-window leaves when its last millisecond is outside the trailing window.

    Before `due` none leaves and none begins: what is taken goes to the newest, and most takes find it so.
    """

    __slots__ = ("_length", "_oldest", "_slots", "_width", "due", "newest", "resets_at", "total")
    # What was used as it was reserved is settled by doing nothing.
    counts_open = False

    def __init__(self, window: SlidingWindow) -> None:
        self._length = window.length_ms
        self._width = sub_window_ms(window.length_ms)
        # Sub-windows before this one have left.
        self._oldest = 0
        # Each is [number, amount], the newest last.
        self._slots: list[list[int]] = []
        # The last of them, as of `due`: where what is taken is counted.
        self.newest: list[int] = [0, 0]
        self.total = 0
        self.due: float = 0
        # When nothing of what was counted is left, as of the last take.
        self.resets_at = 0

    def advance(self, now: int) -> None:
        """Forget what has left the window."""
        oldest = (now - self._length + 1) // self._width
        if oldest > self._oldest:
            self._oldest = oldest
            slots = self._slots
            while slots and slots[0][0] < oldest:
                self.total -= slots.pop(0)[1]

    def begin(self, now: int) -> None:
        """See to it that the newest sub-window is the one of this moment."""
        slots, width = self._slots, self._width
        # A clock that was set back must not write where nothing is ever forgotten.
        number = max(now // width, slots[-1][0] if slots else self._oldest)
        if not slots or slots[-1][0] != number:
            slots.append([number, 0])
        self.newest = slots[-1]
        self.resets_at = (number + 1) * width + self._length - 1
        # When the next one begins, or the oldest leaves.
        self.due = min((number + 1) * width, (self._oldest + 1) * width + self._length - 1)

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
        self.due = 0

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

    __slots__ = ("_touched", "_used", "due", "newest", "resets_at", "total")
    counts_open = True

    def __init__(self, window: CalendarWindow | Lifetime) -> None:
        # The end of the window; 0 if it has none.
        self.resets_at = window[1] if window else 0
        self._touched = 0
        self._used = 0
        # The reservations included.
        self.total = 0
        # When its use is to be noted again. Nothing ever leaves or begins.
        self.due: float = 0
        # As of a sliding counter; what is in it is of no use.
        self.newest: list[int] = [0, 0]

    def advance(self, now: int) -> None:
        """Note that it is in use."""
        self._touched = now
        self.due = now + _TOUCH_MS

    def begin(self, now: int) -> None:
        """Note that it is in use."""
        self.advance(now)

    def settle(self, _place: list[int], reserved: int, actual: int) -> None:
        """Replace a reservation by what was used."""
        self.total += actual - reserved
        self._used += actual

    def reinstate(self, _place: list[int], amount: int) -> None:
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
        wait = self.resets_at - now if self.resets_at else None
        if self._used + amount > limit:
            return wait
        return HINT_MS if wait is None else min(HINT_MS, wait)

    def reset_ms(self, now: int) -> int:
        """In how many ms the window ends; 0 if it has no end."""
        return self.resets_at - now if self.resets_at else 0

    def is_idle(self, now: int) -> bool:
        """Whether it may be forgotten: nothing is open, and a seed brings the rest back."""
        return self.total == self._used and now > max(self.resets_at, self._touched) + _KEPT_MS


State = Sliding | Amounts


def new_state(counter: Counter) -> State:
    """The empty state of a counter."""
    window = counter.window
    return Sliding(window) if isinstance(window, SlidingWindow) else Amounts(window)
