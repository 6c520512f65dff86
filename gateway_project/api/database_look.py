"""A question to the database whose answer a request can do without, so that it waits only so long."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar

from gateway_project.core.db import in_thread

T = TypeVar("T")


class DatabaseLook(Generic[T]):
    """`read` in a thread, for all who ask while it runs.

    While the database hangs the thread does too: there is never more than one of a look.
    """

    def __init__(self, read: Callable[[], T]) -> None:
        self._read = read
        self._running: asyncio.Task[T] | None = None

    async def within(self, seconds: float) -> T:
        """What was read; raises TimeoutError, and leaves the look to itself then."""
        if self._running is None or self._running.done():
            self._running = asyncio.create_task(in_thread(self._read))
            # If it fails after all who asked have gone, nobody is left to be told.
            self._running.add_done_callback(lambda task: task.cancelled() or task.exception())
        async with asyncio.timeout(seconds):
            return await asyncio.shield(self._running)
