"""Amazon Bedrock: the Converse API, signed as AWS wants it, and embeddings by InvokeModel."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

from gateway_project.core.codec import dumps_loosely
from gateway_project.core.errors import InvalidRequest
from upstreams_app.providers.bedrock.answers import converse_answer
from upstreams_app.providers.bedrock.embeddings import TOKENS_HEADER, embedding_answer, embedding_request
from upstreams_app.providers.bedrock.errors import ERROR_HEADER, refused
from upstreams_app.providers.bedrock.listing import models_request, read_models
from upstreams_app.providers.bedrock.options import check_options, runtime_url
from upstreams_app.providers.bedrock.requests import converse_request
from upstreams_app.providers.bedrock.signing import Signer
from upstreams_app.providers.bedrock.streams import ConverseStream
from upstreams_app.providers.chat_parts import Json
from upstreams_app.providers.chat_request import read_chat_request
from upstreams_app.providers.wire import Authority, Exchange, ModelsPage, Site, WireRequest

_HEADERS: Final = {"Content-Type": "application/json", "Accept": "application/json"}
_EVENTS: Final = {"Content-Type": "application/json", "Accept": "application/vnd.amazon.eventstream"}


def provider() -> Bedrock:
    """The provider of this package."""
    return Bedrock()


class Bedrock:
    """As `wire.Provider`."""

    def exchange(self, path: str, fields: Json, *, model: str, site: Site) -> Exchange:
        """One chat, or texts to embed."""
        if path == "/chat/completions":
            return _Chat(fields, model, site.options)
        if path == "/embeddings":
            return _Embedding(fields, model)
        raise InvalidRequest(f"Bedrock serves no '{path}'.", param="model", code="unsupported_parameter")

    def max_choices(self, fields: Mapping[str, Any], *, model: str) -> int:
        """One."""
        return 1

    def authority(self, site: Site) -> Authority:
        """A signer."""
        return Signer(site)

    def check_options(self, options: Mapping[str, Any]) -> None:
        """As `Provider.check_options`."""
        check_options(options)

    def base_url(self, options: Mapping[str, Any]) -> str:
        """The region's endpoint."""
        return runtime_url(options)

    def models_request(self, site: Site, cursor: str = "") -> WireRequest:
        """The foundation models, then the inference profiles."""
        return models_request(site, cursor)

    def read_models(self, body: bytes) -> ModelsPage:
        """A page of either."""
        return read_models(body)


def _path(model: str, operation: str) -> str:
    # An ARN's colons and slashes are quoted once here; the signature quotes the path once more.
    return f"/model/{quote(model, safe='')}/{operation}"


class _Call:
    """What all calls have: the head of the answer, which names an error's kind and may count tokens."""

    def __init__(self, request: WireRequest) -> None:
        self.request = request
        self._head: Mapping[str, str] = {}

    def read_head(self, headers: Mapping[str, str]) -> None:
        self._head = headers

    def error(self, status: int, body: bytes) -> tuple[int, bytes]:
        return refused(status, body, kind=self._head.get(ERROR_HEADER, ""))


class _Chat(_Call):
    """One call of Converse or ConverseStream."""

    def __init__(self, fields: Json, model: str, options: Mapping[str, Any]) -> None:
        asked = read_chat_request(fields)
        made = converse_request(asked, model=model, options=options)
        self._model = model
        self._answer_tool = made.answer_tool
        self._stream = ConverseStream(model=model, answer_tool=made.answer_tool)
        operation, headers = ("converse-stream", _EVENTS) if asked.is_stream else ("converse", _HEADERS)
        super().__init__(WireRequest(_path(model, operation), dumps_loosely(made.body), headers))

    def answer(self, body: bytes) -> bytes:
        return converse_answer(body, model=self._model, answer_tool=self._answer_tool)

    def feed(self, piece: bytes) -> bytes:
        return self._stream.feed(piece)

    def finish(self) -> bytes:
        return self._stream.finish()


class _Embedding(_Call):
    """One call of InvokeModel."""

    def __init__(self, fields: Json, model: str) -> None:
        super().__init__(
            WireRequest(_path(model, "invoke"), embedding_request(fields, model=model), _HEADERS)
        )
        self._model = model
        self._fields = fields

    def answer(self, body: bytes) -> bytes:
        told = self._head.get(TOKENS_HEADER, "")
        tokens = int(told) if told else None
        return embedding_answer(body, fields=self._fields, model=self._model, tokens=tokens)

    def feed(self, piece: bytes) -> bytes:
        raise ValueError("embeddings come at once")

    def finish(self) -> bytes:
        raise ValueError("embeddings come at once")
