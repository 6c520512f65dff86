"""What a limiter counts: counters, their windows, and what it answers. Pure values; no store, no clock.

All amounts are whole numbers from 0 to MAX_AMOUNT (money in nano-dollars), all times milliseconds since 1970.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple, Protocol, overload

# Lua counts in doubles, which are exact to 9.007e15.
MAX_AMOUNT = 9_000_000_000_000_000
METRICS = ("requests", "input_tokens", "output_tokens", "tokens", "concurrency", "cost")
# What `settle` is told for a request that used nothing: everything is given back, its request too.
NOTHING: Mapping[str, int] = dict.fromkeys(METRICS, 0)

SUB_WINDOWS = 60
LONGEST_WINDOW_MS = 400 * 86_400_000
# Sliding counters up to this long start at zero when the store has lost them; all other ones are seeded.
UNSEEDED_MS = 3_600_000
# How long a reservation lives unless it is renewed, and how often a process renews all of its own.
TICKET_MS = 60_000
RENEW_S = 20.0
# Of reservations that expired, one call gives back at most this many.
SWEEP = 1000
# When only open requests stand in the way, nobody knows when the first will end.
HINT_MS = 1000
# How long callers wait for a seed, in all.
SEED_WAIT_S = 1.0


class SlidingWindow(NamedTuple):
    """Any stretch of this length. Counted by sub-windows, of which the oldest counts in full.

    An amount counts at the moment of its reservation, also what the settlement corrects.
    """

    length_ms: int


class CalendarWindow(NamedTuple):
    """From `start_ms` to just before `end_ms`, computed by the caller and checked against the store's clock.

    A reservation belongs to the window that it was made in; so does its settlement, however late.
    """

    start_ms: int
    end_ms: int


class Lifetime(NamedTuple):
    """All time: never resets. Also the window of metric "concurrency", which counts what is open now."""


Window = SlidingWindow | CalendarWindow | Lifetime


class Counter(NamedTuple):
    """One number that must not exceed `limit`.

    `key` names it: one for each scope, subject and metric, by stable ids. With the window it is the counter's
    identity; the limit is not: it may differ from call to call. `is_fail_open` is for the caller alone.
    """

    key: str
    metric: str
    limit: int
    window: Window
    is_fail_open: bool = False


class Take(NamedTuple):
    """An amount wanted from a counter; 0 asks only whether the counter is not over its limit."""

    counter: Counter
    amount: int


# A named tuple's own constructor is Python code; there are takes by the handful in each request.
_take = partial(tuple.__new__, Take)


class Counters:
    """Counters that one call after the other takes from together.

    `kept` is for the limiter that counts in this process: where it found them the last time.
    """

    __slots__ = ("all", "kept")

    def __init__(self, counters: Sequence[Counter]) -> None:
        self.all = tuple(counters)
        self.kept: object = None


class Takes(Sequence[Take]):
    """What one call wants from its counters: an amount for each."""

    __slots__ = ("amounts", "counters")

    def __init__(self, counters: Counters, amounts: Sequence[int]) -> None:
        self.counters = counters
        self.amounts = amounts

    @classmethod
    def of(cls, takes: Sequence[Take]) -> Takes:
        """The same takes, of counters that nobody has met before."""
        return cls(Counters([take.counter for take in takes]), [take.amount for take in takes])

    def __len__(self) -> int:
        return len(self.amounts)

    def __iter__(self) -> Iterator[Take]:
        return map(_take, zip(self.counters.all, self.amounts, strict=True))

    @overload
    def __getitem__(self, index: int) -> Take: ...
    @overload
    def __getitem__(self, index: slice) -> list[Take]: ...
    def __getitem__(self, index: int | slice) -> Take | list[Take]:
        return list(self)[index]


class Granted(NamedTuple):
    """Everything was reserved. What remains of each counter, and in how many ms it is fresh again.

    `reset_ms` is the whole window's for sliding ones, the end for calendar ones, 0 for what has no reset.
    """

    remaining: tuple[int, ...]
    reset_ms: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Refused:
    """Nothing was reserved. `index` is the take that must wait longest.

    `retry_after_ms` is exact: the same takes are granted then, and not 1 ms earlier, if nothing else happens
    and what is open stays open. It is HINT_MS where only open requests stand in the way, and None if waiting
    does not help: the amount is larger than the limit, or the counter never resets.
    """

    index: int
    retry_after_ms: int | None
    remaining: tuple[int, ...]
    reset_ms: tuple[int, ...]


class Unavailable(NamedTuple):
    """The store can't say. Nothing is reserved; what may have been is given back or expires."""

    reason: str


class LimiterState(NamedTuple):
    """For readiness and metrics. `degraded_since_s` is a Unix time, None while all is well."""

    is_shared: bool
    degraded_since_s: float | None = None
    reason: str = ""
    open_tickets: int = 0
    queued_settles: int = 0
    dropped_settles: int = 0


# What the counters have used so far, in their order: from the ledger. May raise; then nothing is granted.
Seeder = Callable[[Sequence[Counter]], Awaitable[Sequence[int]]]
# The takes of a request as of another time: called when a calendar window is not the store's.
Recompute = Callable[[int], Sequence[Take]]


class Limiter(Protocol):
    """Counts for all requests of this process, or of all processes that share a Valkey.

    `now_ms` is for tests: 0 means the store's own clock.
    """

    async def start(self) -> None:
        """Begin renewals and settlements, in the running loop."""

    async def stop(self) -> None:
        """Hand over what is still to be settled, soon, and end all tasks."""

    async def reserve(
        self,
        ticket_id: str,
        takes: Sequence[Take],
        *,
        now_ms: int = 0,
        recompute: Recompute | None = None,
        replaces: str = "",
    ) -> Granted | Refused | Unavailable:
        """Reserve all takes in one atomic step, or nothing.

        `replaces` is an open ticket that is given back in the same step, as by NOTHING: nobody else can get
        what it held. Unless the answer is Granted, it stays as it is.

        `ticket_id` is new and unique; ValueError for one that is open, and for amounts out of range. It must
        be settled exactly once if the answer is Granted. If the window of a calendar counter isn't the
        present one of the store, `recompute(store's time)` gives the takes to ask for instead.
        """

    def settle(self, ticket_id: str, actual: Mapping[str, int]) -> None:
        """Turn what a ticket reserved into what it used; never raises, never blocks.

        `actual` is by metric; a metric that it lacks used what was reserved, and concurrency is always given
        back. More than reserved is added, also beyond the limit. Only the first call for a ticket acts.
        NOTHING refunds everything.
        """

    async def settled(self) -> None:
        """Until every settlement so far was carried out, or dropped."""

    async def used(self, counters: Sequence[Counter], *, now_ms: int = 0) -> list[int] | Unavailable:
        """What counts against each limit now, open reservations included."""

    async def seed(self, counter: Counter, used: int, *, now_ms: int = 0) -> Unavailable | None:
        """Set what a counter has used, as the ledger knows it.

        Reservations stay; in sliding windows what is open now is no longer counted.
        """

    def state(self) -> LimiterState:
        """How it is, for readiness and metrics."""


def sub_window_ms(length_ms: int) -> int:
    """How long a sub-window is: at most SUB_WINDOWS of them, and one begun, make the window."""
    return -(-length_ms // SUB_WINDOWS)


def needs_seed(counter: Counter) -> bool:
    """Whether the counter must be seeded before its first use; the others start at zero."""
    if counter.metric == "concurrency":
        return False
    window = counter.window
    return not isinstance(window, SlidingWindow) or window.length_ms > UNSEEDED_MS


def check_counter(counter: Counter) -> None:
    """ValueError unless every store can count it."""
    _, metric, limit, window, _ = counter
    if metric not in METRICS:
        raise ValueError(f"'{metric}' is no metric.")
    if not 0 <= limit <= MAX_AMOUNT:
        raise ValueError(f"Limits are from 0 to {MAX_AMOUNT}, not {limit}.")
    if metric == "concurrency" and not isinstance(window, Lifetime):
        raise ValueError("Concurrency is counted without a window: Lifetime().")
    if isinstance(window, SlidingWindow) and not 0 < window.length_ms <= LONGEST_WINDOW_MS:
        raise ValueError(f"Windows are from 1 to {LONGEST_WINDOW_MS} ms, not {window.length_ms}.")
    if isinstance(window, CalendarWindow) and not window.start_ms < window.end_ms <= MAX_AMOUNT:
        raise ValueError(f"{window} is no window.")


def check_takes(takes: Sequence[Take]) -> None:
    """ValueError for what can't be counted, and for a counter that is named twice."""
    for counter, amount in takes:
        check_counter(counter)
        if not 0 <= amount <= MAX_AMOUNT:
            raise ValueError(f"Amounts are from 0 to {MAX_AMOUNT}, not {amount}.")
    if len({(counter[0], counter[3]) for counter, _ in takes}) != len(takes):
        raise ValueError("A request takes from a counter once.")


def used_of(actual: Mapping[str, int], metric: str, reserved: int) -> int:
    """What a settlement says of one metric, within what can be counted."""
    if metric == "concurrency":
        return 0
    used = actual.get(metric, reserved)
    return used if 0 <= used <= MAX_AMOUNT else min(max(used, 0), MAX_AMOUNT)
