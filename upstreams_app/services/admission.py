"""Places among an upstream's calls in flight: a bounded queue that is fair to keys, whoever asks most."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Hashable, Mapping
from typing import TYPE_CHECKING, Any

from gateway_project.core.deadline import CallScope
from gateway_project.core.errors import Overloaded
from upstreams_app.providers.wire import TellsUsage
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
        self._queues: dict[Hashable, deque[_Turn]] = {}
        self.held = 0
        self.waiting = 0

    async def enter(
        self,
        config: UpstreamConfig,
        *,
        key: Hashable,
        scope: CallScope,
        may_wait: bool = True,
        count: int = 1,
    ) -> None:
        """Take a place, to be given back by `leave`; Overloaded if there is none in time.

        A request of several calls takes that many, all at once: two that had some each would wait for ever.
        """
        self._limit = config.max_concurrency or 1
        if self.held + count <= self._limit and not self.waiting:
            self.held += count
            return
        if not may_wait or self.waiting >= config.queue_size:
            raise _overloaded(config, "is at its concurrency limit")
        await self._wait(config, key, scope, count)

    async def _wait(self, config: UpstreamConfig, key: Hashable, scope: CallScope, count: int) -> None:
        turn = _Turn(count)
        self._queues.setdefault(key, deque()).append(turn)
        self.waiting += 1
        scope.enter_phase(_PHASE, config.queue_wait_s)
        try:
            await turn.came
        except asyncio.CancelledError:
            if turn.came.done() and not turn.came.cancelled():
                # The place came in the same moment.
                self.leave(count)
            else:
                self._forget(key, turn)
            if scope.expired_phase != _PHASE:
                raise
            scope.absorb()
            raise _overloaded(config, f"had no place within {config.queue_wait_s:g} s") from None
        finally:
            scope.leave_phase()

    def leave(self, count: int = 1) -> None:
        """A call is over: its place is the next one's."""
        self.held -= count
        self._hand_out()

    def _hand_out(self) -> None:
        while self.waiting and self.held < self._limit:
            key, turns = next(iter(self._queues.items()))
            turn = turns[0]
            if self.held + turn.count > self._limit and not turn.came.done():
                # It keeps its turn: else those that want less would always be before it.
                break
            turns.popleft()
            self.waiting -= 1
            del self._queues[key]
            if turns:
                self._queues[key] = turns
            if not turn.came.done():
                self.held += turn.count
                turn.came.set_result(None)

    def _forget(self, key: Hashable, turn: _Turn) -> None:
        turns = self._queues.get(key)
        if turns is not None and turn in turns:
            turns.remove(turn)
            self.waiting -= 1
            if not turns:
                del self._queues[key]
            # It may have wanted more than those behind it do.
            self._hand_out()


class _Turn:
    """Somebody who waits for that many places."""

    __slots__ = ("came", "count")

    def __init__(self, count: int) -> None:
        self.came: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.count = count


class PlacedAnswer:
    """An answer whose calls hold their places until its end is known."""

    __slots__ = ("_answer", "_count", "_places", "headers", "status")

    def __init__(self, answer: UpstreamAnswer, places: Places, *, count: int = 1) -> None:
        self._answer = answer
        self._count = count
        self._places: Places | None = places
        self.status = answer.status
        self.headers: Mapping[str, str] = answer.headers

    @property
    def is_at_end(self) -> bool:
        """Whether the whole body has been read."""
        return self._answer.is_at_end

    @property
    def usage_so_far(self) -> Mapping[str, Any] | None:
        """As `TellsUsage`."""
        return self._answer.usage_so_far if isinstance(self._answer, TellsUsage) else None

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
            places.leave(self._count)

    def release(self, *, is_complete: bool) -> None:
        """The answer is done with, and its place free."""
        self._answer.release(is_complete=is_complete)
        places, self._places = self._places, None
        if places is not None:
            places.leave(self._count)


def _overloaded(config: UpstreamConfig, reason: str) -> Overloaded:
    return Overloaded(f"Upstream '{config.name}' {reason}.", headers={"retry-after": "1"})
