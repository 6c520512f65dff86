"""How long the machine kept this process from running: time that is no fault of what a test measures."""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from time import process_time

_TICK_S = 0.005
# A machine that does nothing else is that late, too: timers wake by the millisecond.
_USUAL_S = 0.002


class Machine:
    """A clock on the test's event loop.

    A tick that comes late, while the process did not use the CPU for so long, was kept waiting by others.
    What the process spends itself is not counted, however long it blocks the loop.
    """

    def __init__(self) -> None:
        self._at: list[float] = []
        self._withheld_s: list[float] = [0.0]

    async def watch(self) -> None:
        """For ever."""
        loop = asyncio.get_running_loop()
        at, used = loop.time(), process_time()
        while True:
            await asyncio.sleep(_TICK_S)
            now, used_now = loop.time(), process_time()
            late_s = now - at - _TICK_S - _USUAL_S - (used_now - used)
            if late_s > 0:
                self._at.append(now)
                self._withheld_s.append(self._withheld_s[-1] + late_s)
            at, used = now, used_now

    def withheld_s(self, began: float, ended: float) -> float:
        """Seconds that were withheld between two moments of the loop's clock."""
        first, last = bisect_left(self._at, began), bisect_left(self._at, ended)
        return self._withheld_s[last] - self._withheld_s[first]
