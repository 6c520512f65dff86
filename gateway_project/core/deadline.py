"""One cancellation scope per request: the client left, a phase took too long, or the server stops.

A timer per phase, let alone per streamed event, would cost more than the rest of the work. Here a phase
is three assignments without a look at the clock, and one ticker per event loop looks at all open scopes,
20 times a second while there are any: a phase's time runs from the tick after its start. A phase ends at the
second tick that finds its time over: what came in time, while the loop was held up, is taken before.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from math import inf
from time import monotonic

DISCONNECTED = "client_disconnected"
SHUTDOWN = "shutdown"
RUN_ENDED = "run_ended"
TOTAL = "total"
TICK_S = 0.05
# In place of a deadline: a phase that no tick has seen yet.
_AT_NEXT_TICK = 0.0
# In place of a deadline that one tick has found over.
_LAST_LOOK = -1.0


class CallScope:
    """Cancels one task, once, for a reason that its code can ask for.

    Catch `CancelledError`, look at `reason`; for `expired_phase` call `absorb()` and go on with an error
    of your own. A cancellation without a reason came from outside and must be raised again. `on_tick` is
    called with the clock's time at each tick; phases end up to three ticks late.
    """

    __slots__ = (
        "_deadline",
        "_parent",
        "_phase_s",
        "_task",
        "_total",
        "is_closed",
        "on_tick",
        "phase",
        "reason",
    )

    def __init__(self, task: asyncio.Task[object], *, parent: CallScope | None = None) -> None:
        self._task: asyncio.Task[object] | None = task
        self._parent = parent
        self._phase_s = inf
        self._deadline = inf
        self._total = inf
        self.is_closed = False
        self.on_tick: Callable[[float], None] | None = None
        self.phase = ""
        self.reason: str | None = None

    def limit_total(self, seconds: float) -> None:
        """Bound all phases together, from now on."""
        self._total = monotonic() + seconds

    def enter_phase(self, phase: str, seconds: float) -> None:
        """Start a phase; the task is cancelled if it outlasts `seconds`, or all phases their total."""
        self.phase = phase
        self._phase_s = seconds
        self._deadline = _AT_NEXT_TICK

    def move_to(self, task: asyncio.Task[object]) -> None:
        """From now on `task` does the work, and is what is cancelled."""
        if self._task is not None:
            self._task = task

    def leave_phase(self) -> None:
        """No phase runs; nothing can expire."""
        self._deadline = inf

    def cancel(self, reason: str) -> None:
        """Cancel the task for a reason; later calls change nothing."""
        if self.reason is None and self._task is not None:
            self.reason = reason
            self._task.cancel()

    @property
    def cause(self) -> str | None:
        """Why the task ends: this scope's own reason, or that of the request which it works for."""
        if self.reason is None and self._parent is not None:
            return self._parent.cause
        return self.reason

    @property
    def expired_phase(self) -> str | None:
        """The phase whose time ran out, if that is why the task was cancelled."""
        reason = self.reason
        return (
            reason.removeprefix("timeout:") if reason is not None and reason.startswith("timeout:") else None
        )

    def absorb(self) -> None:
        """Accept the cancellation that this scope asked for; the task goes on as if it had not been."""
        if self._task is not None:
            self._task.uncancel()
        self.reason = None
        self._deadline = inf

    def close(self) -> None:
        """End of the request: nothing is cancelled any more."""
        self.is_closed = True
        # Both lead back to this scope; without the cycles a request's objects need no collector.
        self._task = None
        self.on_tick = None

    def tick(self, now: float) -> None:
        """Look at the clock: what the ticker does to each open scope."""
        if self.on_tick is not None:
            self.on_tick(now)
        if self._deadline == _AT_NEXT_TICK:
            self._deadline = now + self._phase_s
        if self._deadline == inf or self.is_closed:
            return
        if now >= self._total:
            self.cancel("timeout:" + TOTAL)
        elif self._deadline == _LAST_LOOK:
            # Behind what the task has been woken for already.
            asyncio.get_running_loop().call_soon(self._expire)
        elif now >= self._deadline:
            self._deadline = _LAST_LOOK

    def _expire(self) -> None:
        if self._deadline == _LAST_LOOK and not self.is_closed:
            self.cancel("timeout:" + self.phase)


class Ticker:
    """The open scopes of one event loop, and the timer that looks at them."""

    def __init__(self) -> None:
        self.scopes: set[CallScope] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._idle: asyncio.Event | None = None

    def add(self, scope: CallScope) -> None:
        """Watch a scope until `remove`; call it on the event loop."""
        self.scopes.add(scope)
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
            self._loop.call_later(TICK_S, self._tick)

    def remove(self, scope: CallScope) -> None:
        """Watch it no longer."""
        self.scopes.discard(scope)

    async def wait_until_idle(self) -> None:
        """Wait for the end of all scopes."""
        if self.scopes:
            self._idle = asyncio.Event()
            await self._idle.wait()

    def _tick(self) -> None:
        loop = self._loop
        if not self.scopes or loop is None:
            # Nothing to watch: an idle server has no timer.
            self._loop = None
            if self._idle is not None:
                self._idle.set()
            return
        now = monotonic()
        for scope in list(self.scopes):
            scope.tick(now)
        loop.call_later(TICK_S, self._tick)
