"""A vendor whose streams go on and on: each event waits until the client has got the one before."""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from gateway_project.api.exchange import Message
from tests.fakes import bodies
from tests.fakes.behaviours import SSE
from tests.fakes.exchange import Exchange
from tests.limits.door import MODEL

# By the estimate of three bytes a token.
TOKENS_EACH = 100
# Which stream an event is of.
_NUMBER = re.compile(rb"<(\d+)>x")


class EndlessStream:
    """What the vendor does, for any number of requests at a time; `got` is told what clients get."""

    def __init__(self, most_events: int = 500) -> None:
        self._most_events = most_events
        self._turns: list[threading.Semaphore] = []
        self._is_paced = True

    def got(self, message: Message) -> None:
        """A client got events: their stream may send as many."""
        for number in _NUMBER.findall(message.get("body", b"")):
            self._turns[int(number)].release()

    @contextmanager
    def paced(self) -> Iterator[Callable[[Message], None]]:
        """While this holds streams wait for their clients; afterwards whoever waits still goes on."""
        try:
            yield self.got
        finally:
            self._is_paced = False
            for turn in self._turns:
                turn.release(self._most_events)

    async def __call__(self, exchange: Exchange) -> None:
        """Send so many events, then the end and the usage that they came to."""
        name = MODEL.partition("/")[2]
        text = f"<{len(self._turns)}>".ljust(TOKENS_EACH * 3, "x")
        turn = threading.Semaphore(1 if self._is_paced else self._most_events)
        self._turns.append(turn)
        await exchange.head(200, [("content-type", SSE), ("transfer-encoding", "chunked")])
        await exchange.chunk(bodies.sse_event(bodies.chat_chunk({"content": ""}, model=name)))
        for _ in range(self._most_events):
            if not turn.acquire(blocking=False):
                await asyncio.to_thread(turn.acquire)
            await exchange.chunk(bodies.sse_event(bodies.chat_chunk({"content": text}, model=name)))
        used = {"prompt_tokens": 10, "completion_tokens": self._most_events * TOKENS_EACH}
        last = bodies.chat_chunk({}, model=name, finish="stop")
        usage = bodies.chat_chunk(None, model=name, usage=used)
        await exchange.chunk(b"".join(bodies.sse_events([last, usage])))
        await exchange.chunk(b"")
