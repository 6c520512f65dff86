"""One cancellation scope per request: the client left, a phase took too long, or the server stops.

`asyncio.timeout` around each phase would arm a timer per streamed event. Here a later deadline is one
assignment: the single timer looks, when it fires, whether the deadline moved.
"""

from __future__ import annotations

import asyncio
from math import inf

DISCONNECTED = "disconnected"
SHUTDOWN = "shutdown"


class CallScope:
    """Cancels one task, once, for a reason that its code can ask for.

    Catch `CancelledError`, look at `reason`; for `expired_phase` call `absorb()` and go on with an error
    of your own. A cancellation without a reason came from outside and must be raised again.
    """

    __slots__ = ("_deadline", "_handle", "_is_closed", "_loop", "_task", "_total", "phase", "reason")

    def __init__(self, loop: asyncio.AbstractEventLoop, task: asyncio.Task[object]) -> None:
        self._loop = loop
        self._task = task
        self._deadline = inf
        self._total = inf
        self._handle: asyncio.TimerHandle | None = None
        self._is_closed = False
        self.phase = ""
        self.reason: str | None = None

    def limit_total(self, seconds: float) -> None:
        """Bound all phases together, from now on."""
        self._total = self._loop.time() + seconds

    def enter_phase(self, phase: str, seconds: float) -> None:
        """Start a phase; the task is cancelled if it takes longer than `seconds`."""
        self.phase = phase
        self._deadline = min(self._loop.time() + seconds, self._total)
        handle = self._handle
        if handle is None or handle.when() > self._deadline:
            if handle is not None:
                handle.cancel()
            self._handle = self._loop.call_at(self._deadline, self._on_timer)

    def extend(self, seconds: float) -> None:
        """Something arrived: the running phase may take `seconds` more from now."""
        self._deadline = min(self._loop.time() + seconds, self._total)

    def leave_phase(self) -> None:
        """No phase runs; nothing can expire."""
        self._deadline = inf

    def cancel(self, reason: str) -> None:
        """Cancel the task for a reason; later calls change nothing."""
        if self.reason is None and not self._is_closed:
            self.reason = reason
            self._task.cancel()

    @property
    def expired_phase(self) -> str | None:
        """The phase whose time ran out, if that is why the task was cancelled."""
        reason = self.reason
        return reason.removeprefix("timeout:") if reason is not None and reason.startswith("timeout:") else None

    def absorb(self) -> None:
        """Accept the cancellation that this scope asked for; the task goes on as if it had not been."""
        self._task.uncancel()
        self.reason = None
        self._deadline = inf

    def close(self) -> None:
        """End of the request: nothing is cancelled any more."""
        self._is_closed = True
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _on_timer(self) -> None:
        self._handle = None
        if self._deadline == inf:
            return
        if self._loop.time() >= self._deadline:
            self.cancel("timeout:" + self.phase)
        else:
            self._handle = self._loop.call_at(self._deadline, self._on_timer)
