"""What this process knows of one route's second calls: how long first bytes take, and how many may be made.

The first second call is free; after it there are at most `share` of the requests, a few in a row at most.
"""

from __future__ import annotations

from upstreams_app.hedge_policy import HedgePolicy

# What an idle while may save up.
_MOST_IN_A_ROW = 5.0
_KEPT_TIMES = 200
# Fewer say nothing of one in twenty.
_ENOUGH_TIMES = 20
_TIMES_BETWEEN = 20
_MAX_ROUTES = 10_000


class _Times:
    """The latest times to a first byte, and the one that 19 of 20 were below."""

    __slots__ = ("_count", "_kept", "p95_ms")

    def __init__(self) -> None:
        self._kept: list[float] = []
        self._count = 0
        self.p95_ms: float | None = None

    def observe(self, ms: float) -> None:
        if len(self._kept) < _KEPT_TIMES:
            self._kept.append(ms)
        else:
            self._kept[self._count % _KEPT_TIMES] = ms
        self._count += 1
        if self._count >= _ENOUGH_TIMES and self._count % _TIMES_BETWEEN == 0:
            self.p95_ms = sorted(self._kept)[int(len(self._kept) * 0.95)]


class HedgeState:
    """One route's second calls in this process."""

    __slots__ = ("_allowance", "_plain", "_stream")

    def __init__(self) -> None:
        self._allowance = 1.0
        self._plain = _Times()
        self._stream = _Times()

    def delay_s(self, policy: HedgePolicy, *, is_stream: bool) -> float | None:
        """How long to wait for the first byte; None for ever, as long as too little is known."""
        if not policy.at_p95:
            return policy.after_s
        p95_ms = (self._stream if is_stream else self._plain).p95_ms
        return None if p95_ms is None else max(policy.after_s, p95_ms / 1000)

    def observe(self, ms: float, *, is_stream: bool) -> None:
        """The target that was asked first answered after so long, or had not until then."""
        (self._stream if is_stream else self._plain).observe(ms)

    def note_request(self, policy: HedgePolicy) -> None:
        """One more request."""
        self._allowance = min(self._allowance + policy.share, _MOST_IN_A_ROW)

    def take(self) -> bool:
        """Whether a second call may be made; it counts from now on."""
        # Sums of a share such as 0.1 come to a little less than 1.
        if self._allowance < 1.0 - 1e-9:
            return False
        self._allowance -= 1.0
        return True

    def give_back(self) -> None:
        """The second call was not made after all."""
        self._allowance = min(self._allowance + 1.0, _MOST_IN_A_ROW)


class HedgeStates:
    """Those of all routes of an event loop, by their ids."""

    def __init__(self) -> None:
        self._states: dict[str, HedgeState] = {}

    def of(self, route_id: str) -> HedgeState:
        """That of a route; it outlives changes of its configuration."""
        found = self._states.get(route_id)
        if found is None:
            if len(self._states) >= _MAX_ROUTES:
                self._states.clear()
            found = self._states[route_id] = HedgeState()
        return found

    def find(self, route_id: str) -> HedgeState | None:
        """That of a route, None if nobody asked it yet; from any thread."""
        return self._states.get(route_id)
