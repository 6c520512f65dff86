"""Pictures by vendors of another wire format: as many calls as it takes, and one answer of OpenAI's form.

What such a call answers is read whole before the answer's head is made: only then it is known whether there
is a picture at all.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from gateway_project.core.codec import loads_loosely
from gateway_project.core.errors import InvalidRequest
from upstreams_app.providers.wire import Exchange, MakesImages, Site, Withheld
from upstreams_app.services.choice_joining import join_images
from upstreams_app.services.choices import ask_together, shared_phases, single_requests, wanted_choices
from upstreams_app.services.outbound import UpstreamAnswer
from upstreams_app.services.phases import Phases

_JSON: Final = {"Content-Type": "application/json"}
Ask = Callable[[Exchange, Phases], Awaitable[UpstreamAnswer]]


class WholeAnswer:
    """An answer that has been read, and holds no connection any more."""

    __slots__ = ("_body", "headers", "status")

    def __init__(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.status = status
        self.headers = headers
        self._body = body

    @property
    def is_at_end(self) -> bool:
        """Whether it was given out."""
        return not self._body

    async def read_any(self) -> bytes:
        """All of it, once."""
        body, self._body = self._body, b""
        return body

    def end_call(self) -> None:
        """The call is over already."""

    def release(self, *, is_complete: bool) -> None:
        """Nothing is held."""


async def make_images(
    provider: MakesImages, body: bytes, ask: Ask, *, phases: Phases, model: str, site: Site
) -> UpstreamAnswer:
    """The pictures that a request asks for; InvalidRequest if the vendor has nothing for what is asked."""
    try:
        fields: dict[str, Any] = loads_loosely(body)
        wanted = wanted_choices(fields)
        requests = [fields] if wanted <= provider.max_images(model) else single_requests(fields, wanted)
        exchanges = [provider.image_exchange(request, model=model, site=site) for request in requests]
    except (ValueError, RecursionError) as error:
        raise InvalidRequest("The body has a number too large, or is nested too deeply.") from error
    if len(exchanges) == 1:
        return await _made(ask, exchanges[0], phases)
    return await ask_together(
        [
            _made(ask, exchange, one)
            for exchange, one in zip(exchanges, shared_phases(phases, len(exchanges)), strict=True)
        ],
        is_stream=False,
        join=join_images,
    )


async def _made(ask: Ask, exchange: Exchange, phases: Phases) -> UpstreamAnswer:
    answer = await ask(exchange, phases)
    is_complete = False
    pieces = []
    try:
        while piece := await answer.read_any():
            pieces.append(piece)
        is_complete = True
    except Withheld as refused:
        is_complete = True
        return WholeAnswer(refused.status, _JSON, refused.body)
    finally:
        answer.release(is_complete=is_complete)
    return WholeAnswer(answer.status, answer.headers, b"".join(pieces))
