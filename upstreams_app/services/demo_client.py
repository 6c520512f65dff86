"""Calls to the built-in demo, which is an upstream without a network."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping

from upstreams_app import demo
from upstreams_app.services.client import UpstreamAnswer
from upstreams_app.services.phases import Phases


class _DemoAnswer:
    __slots__ = ("_pieces", "headers", "status")

    def __init__(self, answer: demo.DemoAnswer) -> None:
        self._pieces = answer.events or _whole(answer.body or b"")
        self.status = answer.status
        self.headers: Mapping[str, str] = answer.headers

    async def read_any(self) -> bytes:
        return await anext(self._pieces, b"")

    @property
    def is_at_end(self) -> bool:
        # Nothing is held that reading on would free.
        return True

    def end_call(self) -> None:
        """Calls are not counted."""

    def release(self, *, is_complete: bool) -> None:
        """Nothing is held."""


async def _whole(body: bytes) -> AsyncIterator[bytes]:
    yield body


class DemoClient:
    """The built-in upstream: no network, no state."""

    def __init__(self) -> None:
        self.in_flight = 0

    async def post(
        self, path: str, body: bytes, *, phases: Phases, credential: str = "", model: str = ""
    ) -> UpstreamAnswer:
        return _DemoAnswer(await demo.answer(path, body))

    async def close(self) -> None:
        """Nothing is open."""
