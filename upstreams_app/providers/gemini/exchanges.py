"""Calls of Google's models, whichever of its services they go to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

from gateway_project.core.codec import dumps_loosely, loads_loosely
from gateway_project.core.errors import InvalidRequest
from upstreams_app.providers.answers import refusal
from upstreams_app.providers.chat_request import read_chat_request
from upstreams_app.providers.gemini.answers import Wanted, whole
from upstreams_app.providers.gemini.errors import read_refusal
from upstreams_app.providers.gemini.generations import generation_of
from upstreams_app.providers.gemini.requests import answer_tool, generate_request, service_tier
from upstreams_app.providers.gemini.streams import Stream
from upstreams_app.providers.wire import WireRequest

# How the Gemini API tells what way of service it was.
_TIER_HEADER: Final = "x-gemini-service-tier"


class GoogleExchange:
    """What all calls have in common: the form of refusals."""

    def __init__(self, request: WireRequest) -> None:
        self.request = request
        self.retry_after_s: int | None = None

    def error(self, status: int, body: bytes) -> tuple[int, bytes]:
        """As `Exchange.error`."""
        status, error, self.retry_after_s = read_refusal(status, body)
        return refusal(status, error)


class ChatExchange(GoogleExchange):
    """One call of `generateContent` or `streamGenerateContent`; `resource` is the model's path."""

    def __init__(self, fields: dict[str, Any], *, model: str, resource: str) -> None:
        asked = read_chat_request(fields)
        self._model = model
        generation = generation_of(model)
        own_tool = answer_tool(asked, generation)
        self._wanted = Wanted(asked.is_parallel is False, own_tool, service_tier(asked))
        self._stream = Stream(model, self._wanted)
        body = dumps_loosely(generate_request(asked, generation))
        if asked.is_stream:
            super().__init__(WireRequest(f"{resource}:streamGenerateContent", body, query="alt=sse"))
        else:
            super().__init__(WireRequest(f"{resource}:generateContent", body))

    @property
    def usage_so_far(self) -> Mapping[str, Any] | None:
        """As `TellsUsage`."""
        return self._stream.usage_so_far

    def read_head(self, headers: Mapping[str, str]) -> None:
        """As `ReadsHead.read_head`: what was to have priority may have been served as usual."""
        if told := headers.get(_TIER_HEADER):
            tier = told if told in ("flex", "priority") else ""
            self._wanted = self._wanted._replace(service_tier=tier)
            self._stream = Stream(self._model, self._wanted)

    def answer(self, body: bytes) -> bytes:
        """As `Exchange.answer`."""
        return whole(loads_loosely(body), self._model, self._wanted)

    def feed(self, piece: bytes) -> bytes:
        """As `Exchange.feed`."""
        return self._stream.feed(piece)

    def finish(self) -> bytes:
        """As `Exchange.finish`."""
        return self._stream.finish()


def unknown_path(path: str) -> InvalidRequest:
    """The error for a call that Google has nothing for."""
    return InvalidRequest(
        f"Google's models can't be called at '{path}'.", param="model", code="unsupported_parameter"
    )


def quoted(name: str) -> str:
    """A name as one segment of a path."""
    return quote(name, safe="@:.-_~")
