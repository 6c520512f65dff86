"""A vendor whose streams go on and on: each event waits until a client has got the one before."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tests.fakes import bodies
from tests.fakes.behaviours import SSE
from tests.fakes.exchange import Exchange
from tests.limits.door import MODEL

# By the estimate of three bytes a token.
TOKENS_EACH = 100
_TEXT = "x" * TOKENS_EACH * 3


class EndlessStream:
    """What the vendor does, for any number of requests at a time; `got_one` is for whoever takes events."""

    def __init__(self, most_events: int = 500) -> None:
        self._most_events = most_events
        self._may_send = threading.Semaphore(0)

    def got_one(self) -> None:
        """A client got something: somebody may send again."""
        self._may_send.release()

    @contextmanager
    def paced(self) -> Iterator[Callable[[], None]]:
        """While this holds streams wait for their clients; afterwards whoever waits still goes on."""
        try:
            yield self.got_one
        finally:
            self._may_send.release(100_000)

    async def __call__(self, exchange: Exchange) -> None:
        """Send so many events, then the end and the usage that they came to."""
        name = MODEL.partition("/")[2]
        await exchange.head(200, [("content-type", SSE), ("transfer-encoding", "chunked")])
        await exchange.chunk(bodies.sse_event(bodies.chat_chunk({"content": ""}, model=name)))
        for _ in range(self._most_events):
            await asyncio.to_thread(self._may_send.acquire)
            await exchange.chunk(bodies.sse_event(bodies.chat_chunk({"content": _TEXT}, model=name)))
        used = {"prompt_tokens": 10, "completion_tokens": self._most_events * TOKENS_EACH}
        last = bodies.chat_chunk({}, model=name, finish="stop")
        usage = bodies.chat_chunk(None, model=name, usage=used)
        await exchange.chunk(b"".join(bodies.sse_events([last, usage])))
        await exchange.chunk(b"")
