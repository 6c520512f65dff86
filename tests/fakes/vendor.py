"""A fake LLM vendor with OpenAI's API: a real server on the loopback address that does what a test scripts.

    with FakeVendor() as vendor:
        vendor.script(rate_limited("3"), chat(["fine"]))   # the next two POSTs, in this order
        vendor.always(hang_before_headers(), model="slow") # each POST for this model
        ...
        assert vendor.requests[0].header("authorization") == "Bearer sk-vendor"

The behaviours are in tests/fakes/behaviours.py. Unscripted requests get a good answer.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable

from tests.fakes.behaviours import Behaviour, good
from tests.fakes.exchange import WAIT_S, Exchange, RecordedRequest
from tests.fakes.http_server import HttpServer

POLL_S = 0.005


class FakeVendor(HttpServer):
    """`url` is the base without /v1; `requests` are those received, in order."""

    def __init__(self, models: Iterable[str] = ("fake-chat", "fake-embedding")) -> None:
        super().__init__(self._behave)
        self._lock = threading.Lock()
        self._good = good(tuple(models))
        self._queues: dict[str | None, deque[Behaviour]] = {}
        self._standing: dict[str | None, Behaviour] = {}
        self._paths: dict[str, Behaviour] = {}

    @property
    def url(self) -> str:
        """Scheme, host and port."""
        return f"http://127.0.0.1:{self.port}"

    def script(self, *behaviours: Behaviour, model: str | None = None) -> None:
        """The next POSTs (with a model: those for it) get these, one each; then what stands applies again."""
        with self._lock:
            self._queues.setdefault(model, deque()).extend(behaviours)

    def always(self, behaviour: Behaviour, *, model: str | None = None) -> None:
        """Each POST (with a model: each for it) gets this when no script is left."""
        with self._lock:
            self._standing[model] = behaviour

    def on_path(self, path: str, behaviour: Behaviour) -> None:
        """Each request for a path such as /v1/models gets this, whatever its method and model."""
        with self._lock:
            self._paths[path] = behaviour

    def reset(self) -> None:
        """Forget scripts and requests; connections stay."""
        with self._lock:
            self._queues.clear()
            self._standing.clear()
            self._paths.clear()
            self.requests.clear()

    def wait_for_requests(self, count: int, timeout_s: float = WAIT_S) -> list[RecordedRequest]:
        """The requests, as soon as there are this many; fails the test if there never are."""
        self.wait_until(lambda: len(self.requests) >= count, f"{count} requests", timeout_s)
        return list(self.requests)

    def wait_until(self, holds: Callable[[], bool], what: str, timeout_s: float = WAIT_S) -> None:
        """Wait for a condition, such as a number of connections; fails the test if it never holds."""
        deadline = time.monotonic() + timeout_s
        while not holds():
            assert time.monotonic() < deadline, f"waited in vain for {what}"
            time.sleep(POLL_S)

    async def _behave(self, exchange: Exchange) -> None:
        await self._choose(exchange.request)(exchange)

    def _choose(self, request: RecordedRequest) -> Behaviour:
        with self._lock:
            if request.path in self._paths:
                return self._paths[request.path]
            if request.method != "POST":
                return self._good
            model = request.model
            for key in (model, None):
                if queue := self._queues.get(key):
                    return queue.popleft()
            return self._standing.get(model) or self._standing.get(None) or self._good
