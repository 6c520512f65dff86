"""Identical requests at the same time: one asks the model, and the others wait for what it gets.

Who waits depends on nobody: when the first one fails, leaves, or gets what may not be kept, each of the
others asks for itself.
"""

from __future__ import annotations

import asyncio
from typing import Final

from upstreams_app.services.answer_cache.entries import Kept

MAX_WAITING: Final = 200
# An answer that takes longer is worth asking for oneself.
WAIT_S: Final = 60.0


class Flight:
    """One request under way that others may wait for."""

    def __init__(self, key: str) -> None:
        self.key = key
        self._landed: asyncio.Future[Kept | None] = asyncio.get_running_loop().create_future()
        self._waiting = 0

    @property
    def is_full(self) -> bool:
        """Whether no more may wait."""
        return self._waiting >= MAX_WAITING

    async def wait(self) -> Kept | None:
        """What the first one got; None if one has to ask for oneself."""
        self._waiting += 1
        try:
            async with asyncio.timeout(WAIT_S):
                # The future is everybody's: who is cancelled leaves alone.
                return await asyncio.shield(self._landed)
        except TimeoutError:
            return None
        finally:
            self._waiting -= 1

    def land(self, kept: Kept | None) -> None:
        """Tell the others; once."""
        if not self._landed.done():
            self._landed.set_result(kept)


class Flights:
    """The flights of one process by key."""

    def __init__(self) -> None:
        self._by_key: dict[str, Flight] = {}

    def __len__(self) -> int:
        return len(self._by_key)

    def find(self, key: str) -> Flight | None:
        """One that is under way and takes whoever waits."""
        flight = self._by_key.get(key)
        return None if flight is None or flight.is_full else flight

    def lead(self, key: str) -> Flight | None:
        """A new one, unless there is one that is full."""
        if key in self._by_key:
            return None
        flight = self._by_key[key] = Flight(key)
        return flight

    def end(self, flight: Flight, kept: Kept | None) -> None:
        """The first one is done: with an answer for all, or without. A second time does nothing."""
        if self._by_key.get(flight.key) is flight:
            del self._by_key[flight.key]
        flight.land(kept)
