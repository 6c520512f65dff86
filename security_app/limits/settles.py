"""Settlements on their way to Valkey: gathered for 5 ms or 32, kept while it is away, never waited for.

The queue is bounded in number and in time. What it drops is counted: the ledger has it, and a seed repairs
the counters.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress

from security_app.limits.link import Link, LinkDown

logger = logging.getLogger(__name__)
_GATHER_S = 0.005
_BATCH = 32
# Less than how long limits.lua remembers that a ticket expired.
_OLDEST_S = 600.0
_RETRY_S = 0.5

# Ticket, generation, amounts, and where they are counted: (counter, place) each.
Settlement = tuple[str, str, Sequence[int], Sequence[tuple[str, int]]]


class SettleQueue:
    """Sends settlements in their order, in one task."""

    def __init__(self, link: Link, most: int) -> None:
        self._link = link
        self._most = most
        self._queue: deque[tuple[float, Settlement]] = deque()
        self._sending = 0
        self._has_some = asyncio.Event()
        self._is_empty = asyncio.Event()
        self._is_empty.set()
        self._task: asyncio.Task[None] | None = None
        self._is_dropping = False
        self.dropped = 0

    def __len__(self) -> int:
        return len(self._queue) + self._sending

    def start(self) -> None:
        """Begin to send, in the running loop."""
        self._task = asyncio.create_task(self._send())

    async def stop(self, timeout_s: float) -> None:
        """Send what is there, for so long at most; the rest is dropped."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._is_empty.wait()
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
            self._task = None
        self._drop(len(self))
        self._queue.clear()

    def put(self, settlement: Settlement) -> None:
        """Take a settlement; if there are too many, the oldest is dropped."""
        if len(self._queue) >= self._most:
            self._queue.popleft()
            self._drop(1)
        self._queue.append((time.monotonic(), settlement))
        self._is_empty.clear()
        self._has_some.set()

    async def drained(self) -> None:
        """Until everything that was put has been sent or dropped."""
        await self._is_empty.wait()

    async def _send(self) -> None:
        while True:
            await self._has_some.wait()
            if len(self._queue) < _BATCH:
                await asyncio.sleep(_GATHER_S)
            batch = [self._queue.popleft() for _ in range(min(_BATCH, len(self._queue)))]
            self._sending = len(batch)
            try:
                await self._link.call("settle", [settlement for _, settlement in batch])
                self._is_dropping = False
            except LinkDown:
                self._put_back(batch)
                await asyncio.sleep(_RETRY_S)
            except BaseException:
                self._put_back(batch)
                raise
            self._sending = 0
            if not self._queue:
                self._has_some.clear()
                self._is_empty.set()

    def _put_back(self, batch: list[tuple[float, Settlement]]) -> None:
        """Sent again, as Valkey may not have got it; it settles a ticket once, however often it is told."""
        self._sending = 0
        oldest = time.monotonic() - _OLDEST_S
        kept = [entry for entry in batch if entry[0] >= oldest][: max(0, self._most - len(self._queue))]
        self._queue.extendleft(reversed(kept))
        self._drop(len(batch) - len(kept))

    def _drop(self, count: int) -> None:
        if not count:
            return
        self.dropped += count
        if not self._is_dropping:
            self._is_dropping = True
            logger.error("limits.settlements_dropped", extra={"count": count})
