"""Asking the ledger what counters have used, when the store does not know."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import NoReturn

from security_app.limits.counters import Counter, Seeder, Window

logger = logging.getLogger(__name__)
_BATCH = 500
_SEEDER_S = 5.0

_Name = tuple[str, Window]


class SeedFailed(Exception):
    """The ledger or the store did not say; nothing may be granted from these counters."""


class SeedDesk:
    """Gathers the counters that requests ask for while a seed is under way, into the next one."""

    def __init__(self, seed: Callable[[Sequence[Counter]], Awaitable[None]]) -> None:
        self._seed = seed
        self._wanted: dict[_Name, Counter] = {}
        # What comes after the seed that is under way.
        self._next: asyncio.Future[None] | None = None
        self._task: asyncio.Task[None] | None = None

    async def ask(self, counters: Sequence[Counter]) -> None:
        """Returns when all were seeded, here or by somebody else; raises SeedFailed."""
        for counter in counters:
            self._wanted[counter.key, counter.window] = counter
        if self._next is None:
            self._next = asyncio.get_running_loop().create_future()
        answer = self._next
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run())
        await asyncio.shield(answer)

    async def close(self) -> None:
        """End what is under way."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        while self._next is not None:
            answer, self._next = self._next, None
            counters, self._wanted = list(self._wanted.values()), {}
            try:
                for start in range(0, len(counters), _BATCH):
                    await self._seed(counters[start : start + _BATCH])
            except SeedFailed as error:
                answer.set_exception(error)
                # Those who asked may have given up.
                answer.exception()
            except BaseException:
                answer.cancel()
                raise
            else:
                answer.set_result(None)


async def ask_seeder(seeder: Seeder | None, counters: Sequence[Counter]) -> Sequence[int]:
    """What each has used; SeedFailed if the seeder can't say. Zeros without one."""
    if seeder is None or not counters:
        return [0] * len(counters)
    try:
        async with asyncio.timeout(_SEEDER_S):
            used = await seeder(counters)
    except Exception as error:  # noqa: BLE001  (whatever it is, nothing may be granted without a seed)
        _fail(type(error).__name__)
    if len(used) != len(counters):
        _fail("another number of answers than questions")
    return used


def _fail(reason: str) -> NoReturn:
    logger.warning("limits.seed_failed", extra={"reason": reason})
    raise SeedFailed(reason)
