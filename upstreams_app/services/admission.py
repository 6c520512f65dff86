"""Places among an upstream's calls in flight: a bounded queue that is fair to keys, whoever asks most."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Hashable, Mapping
from typing import TYPE_CHECKING

from gateway_project.core.deadline import CallScope
from gateway_project.core.errors import Overloaded
from upstreams_app.registry import UpstreamConfig

if TYPE_CHECKING:
    from upstreams_app.services.outbound import UpstreamAnswer

_PHASE = "queue"


class Places:
    """The calls in flight of one upstream, and who waits for one of their places.

    Keys take turns: one that sends a thousand calls delays another one's first call by one call.
    """

    __slots__ = ("_limit", "_queues", "held", "waiting")

    def __init__(self) -> None:
        self._limit = 0
        # In the order of their turns.
        self._queues: dict[Hashable, deque[asyncio.Future[None]]] = {}
        self.held = 0
        self.waiting = 0

    async def enter(
        self, config: UpstreamConfig, *, key: Hashable, scope: CallScope, may_wait: bool = True
    ) -> None:
        """Take a place, to be given back by `leave`; Overloaded if there is none in time."""
        self._limit = config.max_concurrency or 1
        if self.held < self._limit and not self.waiting:
            self.held += 1
            return
        if not may_wait or self.waiting >= config.queue_size:
            raise _overloaded(config, "is at its concurrency limit")
        await self._wait(config, key, scope)

    async def _wait(self, config: UpstreamConfig, key: Hashable, scope: CallScope) -> None:
        turn = asyncio.get_running_loop().create_future()
        self._queues.setdefault(key, deque()).append(turn)
        self.waiting += 1
        scope.enter_phase(_PHASE, config.queue_wait_s)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                # The place came in the same moment.
                self.leave()
            else:
                self._forget(key, turn)
            if scope.expired_phase != _PHASE:
                raise
            scope.absorb()
            raise _overloaded(config, f"had no place within {config.queue_wait_s:g} s") from None
        finally:
            scope.leave_phase()

    def leave(self) -> None:
        """A call is over: its place is the next one's."""
        self.held -= 1
        while self.waiting and self.held < self._limit:
            key, turns = next(iter(self._queues.items()))
            turn = turns.popleft()
            self.waiting -= 1
            del self._queues[key]
            if turns:
                self._queues[key] = turns
            if not turn.done():
                self.held += 1
                turn.set_result(None)

    def _forget(self, key: Hashable, turn: asyncio.Future[None]) -> None:
        turns = self._queues.get(key)
        if turns is not None and turn in turns:
            turns.remove(turn)
            self.waiting -= 1
            if not turns:
                del self._queues[key]


class PlacedAnswer:
    """An answer whose call holds a place until its end is known."""

    __slots__ = ("_answer", "_places", "headers", "status")

    def __init__(self, answer: UpstreamAnswer, places: Places) -> None:
        self._answer = answer
        self._places: Places | None = places
        self.status = answer.status
        self.headers: Mapping[str, str] = answer.headers

    @property
    def is_at_end(self) -> bool:
        """Whether the whole body has been read."""
        return self._answer.is_at_end

    async def read_any(self) -> bytes:
        """The next piece of the body; what a status means may stand in it."""
        piece = await self._answer.read_any()
        self.status, self.headers = self._answer.status, self._answer.headers
        return piece

    def end_call(self) -> None:
        """Another call may take the place."""
        self._answer.end_call()
        places, self._places = self._places, None
        if places is not None:
            places.leave()

    def release(self, *, is_complete: bool) -> None:
        """The answer is done with, and its place free."""
        self._answer.release(is_complete=is_complete)
        places, self._places = self._places, None
        if places is not None:
            places.leave()


def _overloaded(config: UpstreamConfig, reason: str) -> Overloaded:
    return Overloaded(f"Upstream '{config.name}' {reason}.", headers={"retry-after": "1"})
