"""Calls to upstreams of another wire format: OpenAI's request goes in, an answer of its form comes out."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from functools import partial
from typing import Any

from gateway_project.core.codec import loads_loosely
from gateway_project.core.errors import InvalidRequest
from upstreams_app.errors import UpstreamUnreachable
from upstreams_app.providers.wire import (
    Exchange,
    KnowsWait,
    MakesImages,
    Provider,
    ReadsHead,
    Site,
    TellsUsage,
)
from upstreams_app.registry import UpstreamConfig
from upstreams_app.services.choices import (
    CHAT,
    IMAGES,
    ask_together,
    shared_phases,
    single_requests,
    wanted_choices,
)
from upstreams_app.services.client import HttpClient
from upstreams_app.services.image_calls import make_images
from upstreams_app.services.outbound import OutboundRequest, UpstreamAnswer
from upstreams_app.services.phases import Phases

_MAX_PLAIN_BYTES = 256 * 1024 * 1024
_MAX_ERROR_BYTES = 64 * 1024
_JSON = {"Content-Type": "application/json"}
_EVENTS = {"Content-Type": "text/event-stream"}
# What an answer's head may tell the client, or us, whatever its body becomes.
_KEPT = ("Retry-After",)


def site_of(config: UpstreamConfig) -> Site:
    """What a provider is told of an upstream."""
    return Site(config.options, config.credential, config.endpoints[0], config.takes_client_credential)


# What reading a body raises that is not what the vendor's documents say.
UNUSABLE = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError, struct.error)


class ProviderClient:
    """As `HttpClient`, through a provider."""

    def __init__(self, config: UpstreamConfig, provider: Provider) -> None:
        self._site = site_of(config)
        self._provider = provider
        self._http = HttpClient(config)
        self._authority = provider.authority(self._site)

    @property
    def in_flight(self) -> int:
        """How many calls are under way."""
        return self._http.in_flight

    async def post(
        self, path: str, body: bytes, *, phases: Phases, credential: str = "", model: str = ""
    ) -> UpstreamAnswer:
        """As `UpstreamClient.post`; InvalidRequest if the vendor has nothing for what is asked."""
        try:
            fields = loads_loosely(body)
            is_stream = fields.get("stream") is True
            exchanges = self._exchanges(path, fields, model)
        except (ValueError, RecursionError) as error:
            raise InvalidRequest("The body has a number too large, or is nested too deeply.") from error
        if len(exchanges) == 1:
            return await self._ask(exchanges[0], phases, credential=credential, is_stream=is_stream)
        return await ask_together(
            [
                self._ask(exchange, one, credential=credential, is_stream=is_stream)
                for exchange, one in zip(exchanges, shared_phases(phases, len(exchanges)), strict=True)
            ],
            is_stream=is_stream,
        )

    def _exchanges(self, path: str, fields: dict[str, Any], model: str) -> list[Exchange]:
        """The call, or one for each choice where the vendor gives fewer at once than are wanted."""
        requests = [fields]
        if fields.get("n") is not None and path == CHAT:
            wanted = wanted_choices(fields)
            if wanted > self._provider.max_choices(fields, model=model):
                requests = single_requests(fields, wanted)
        return [self._provider.exchange(path, request, model=model, site=self._site) for request in requests]

    async def _ask(
        self, exchange: Exchange, phases: Phases, *, credential: str, is_stream: bool
    ) -> UpstreamAnswer:
        answer = await self._http.send(
            exchange.request, self._authority, phases=phases, credential=credential
        )
        return translated(answer, exchange, is_stream=is_stream)

    async def relay(
        self, request: OutboundRequest, *, phases: Phases, credential: str = "", model: str = ""
    ) -> UpstreamAnswer:
        """As `UpstreamClient.relay`: of requests in OpenAI's words those for pictures are translated."""
        if request.path == IMAGES and not request.is_native and isinstance(self._provider, MakesImages):
            ask = partial(self._ask, credential=credential, is_stream=False)
            return await make_images(
                self._provider, request.body, ask, phases=phases, model=model, site=self._site
            )
        if not request.is_native:
            raise InvalidRequest(
                f"The upstream of '{model}' has nothing like {request.path}.",
                param="model",
                code="unsupported_parameter",
            )
        return await self._http.relay(
            request, phases=phases, credential=credential, authority=self._authority
        )

    async def close(self) -> None:
        """Close all connections."""
        await self._authority.close()
        await self._http.close()


def translated(answer: UpstreamAnswer, exchange: Exchange, *, is_stream: bool) -> UpstreamAnswer:
    """An answer whose head has come, as the exchange turns it."""
    if isinstance(exchange, ReadsHead):
        exchange.read_head(answer.headers)
    if not 200 <= answer.status < 300:
        return _Refusal(answer, exchange)
    return _Stream(answer, exchange) if is_stream else _Plain(answer, exchange)


class _Translated:
    """An answer of the vendor's, and what becomes of it."""

    def __init__(self, answer: UpstreamAnswer, exchange: Exchange, headers: Mapping[str, str]) -> None:
        # Imported late: it types what it reads by this package's answers.
        from upstreams_app.services.decoding import decoded

        self._answer = answer
        self._exchange = exchange
        self.status = answer.status
        kept = {name: answer.headers[name] for name in _KEPT if name in answer.headers}
        self.headers: Mapping[str, str] = {**kept, **headers}
        try:
            self._reader = decoded(answer)
        except UpstreamUnreachable:
            answer.release(is_complete=False)
            raise
        self._is_over = False

    @property
    def is_at_end(self) -> bool:
        """Whether all has been read: only reading on tells, since the vendor's end is not ours."""
        return self._is_over

    def end_call(self) -> None:
        """Another call may take the place of this one."""
        self._answer.end_call()

    def release(self, *, is_complete: bool) -> None:
        """Give the connection back, or close it."""
        self._answer.release(is_complete=is_complete and self._is_over)

    async def _whole(self, limit: int) -> bytes:
        body = bytearray()
        while piece := await self._reader.read_any():
            body += piece
            if len(body) > limit:
                raise UpstreamUnreachable("the answer is too large")
        return bytes(body)


class _Plain(_Translated):
    def __init__(self, answer: UpstreamAnswer, exchange: Exchange) -> None:
        super().__init__(answer, exchange, _JSON)

    async def read_any(self) -> bytes:
        if self._is_over:
            return b""
        body = await self._whole(_MAX_PLAIN_BYTES)
        self._is_over = True
        try:
            return self._exchange.answer(body)
        except UNUSABLE as error:
            raise UpstreamUnreachable("the answer is not what this kind of upstream sends") from error


class _Refusal(_Translated):
    """What the vendor's status means for us may stand in the body: `status` is final once that is read."""

    def __init__(self, answer: UpstreamAnswer, exchange: Exchange) -> None:
        super().__init__(answer, exchange, _JSON)

    async def read_any(self) -> bytes:
        if self._is_over:
            return b""
        body = await self._whole(_MAX_ERROR_BYTES)
        self._is_over = True
        try:
            self.status, error = self._exchange.error(self.status, body)
        except UNUSABLE as problem:
            raise UpstreamUnreachable("the refusal is not what this kind of upstream sends") from problem
        if isinstance(self._exchange, KnowsWait) and self._exchange.retry_after_s is not None:
            self.headers = {"Retry-After": str(self._exchange.retry_after_s), **self.headers}
        return error


class _Stream(_Translated):
    def __init__(self, answer: UpstreamAnswer, exchange: Exchange) -> None:
        super().__init__(answer, exchange, _EVENTS)

    @property
    def usage_so_far(self) -> Mapping[str, Any] | None:
        """As `TellsUsage`."""
        return self._exchange.usage_so_far if isinstance(self._exchange, TellsUsage) else None

    async def read_any(self) -> bytes:
        while not self._is_over:
            piece = await self._reader.read_any()
            try:
                if not piece:
                    self._is_over = True
                    return self._exchange.finish()
                if events := self._exchange.feed(piece):
                    return events
            except UNUSABLE as error:
                raise UpstreamUnreachable("the stream is not what this kind of upstream sends") from error
        return b""
