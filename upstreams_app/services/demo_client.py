"""Calls to the built-in demo, which is an upstream without a network."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing

from gateway_project.core.errors import InvalidRequest
from upstreams_app import demo
from upstreams_app.services.outbound import OutboundRequest, UpstreamAnswer
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

    async def relay(
        self, request: OutboundRequest, *, phases: Phases, credential: str = "", model: str = ""
    ) -> UpstreamAnswer:
        if request.is_native:
            raise InvalidRequest("The demo has no API of its own to pass through to.")
        phases.begin_first_token()
        if request.pieces is None:
            return _DemoAnswer(await demo.answer(request.path, request.body))
        body = bytearray()
        async with aclosing(request.pieces()) as pieces:
            async for piece in pieces:
                body += piece
                if len(body) > demo.MAX_BODY_BYTES:
                    break
        content_type = request.headers.get("Content-Type", "")
        return _DemoAnswer(await demo.answer_form(request.path, content_type, bytes(body)))

    async def close(self) -> None:
        """Nothing is open."""
