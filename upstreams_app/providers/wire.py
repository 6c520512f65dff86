"""What a provider is: how one call of OpenAI's API becomes a call of the vendor's, and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, runtime_checkable


class Site(NamedTuple):
    """What a provider knows of an upstream: its checked options, the gateway's credential there, its address.

    Where it takes clients' own credentials, the gateway has none, and must not use another in their place.
    """

    options: Mapping[str, Any]
    credential: str
    base_url: str = ""
    takes_client_credential: bool = False

    def __repr__(self) -> str:
        return f"Site(options={self.options!r})"


class WireRequest(NamedTuple):
    """A request to the vendor. `path` comes after the endpoint's own; it and `query` are percent-encoded.

    Calls are POSTs to the upstream's endpoint. Only lists of models may be a GET, or be kept elsewhere: under
    a `base_url` of their own.
    """

    path: str
    body: bytes
    headers: Mapping[str, str] = {}
    query: str = ""
    method: str = "POST"
    base_url: str = ""


@dataclass(frozen=True, slots=True)
class ListedModel:
    """One model that an upstream offers; `mode` is chat, completion, embedding or other."""

    name: str
    mode: str
    context_window: int | None = None
    max_output_tokens: int | None = None
    description: str = ""


class ModelsPage(NamedTuple):
    """A page of a vendor's list of models; `cursor` is what asks for the next one, "" on the last."""

    models: list[ListedModel]
    cursor: str = ""


class Exchange(Protocol):
    """One call on its way. It is used for one answer: either `answer`, or `feed` and `finish`, or `error`."""

    request: WireRequest

    def answer(self, body: bytes) -> bytes:
        """A whole answer of the vendor's as OpenAI's JSON; ValueError if it is none."""
        ...

    def feed(self, piece: bytes) -> bytes:
        """The next bytes of a stream, cut anywhere, as OpenAI's events; b"" while they complete none.

        A vendor's error is an event with the member `error`. ValueError for what is no stream of this kind.
        """
        ...

    def finish(self) -> bytes:
        """What is left to say once the vendor's stream is at its end: `[DONE]`, if it came to one.

        ValueError if the stream broke off: nobody may take half an answer for a whole one.
        """
        ...

    def error(self, status: int, body: bytes) -> tuple[int, bytes]:
        """A refusal of the vendor's as OpenAI's status and error object."""
        ...


@runtime_checkable
class KnowsWait(Protocol):
    """An exchange whose vendor says in the body of a refusal, not in its head, when to try again."""

    retry_after_s: int | None


@runtime_checkable
class ReadsHead(Protocol):
    """An exchange whose vendor says things in the head of an answer that others say in its body."""

    def read_head(self, headers: Mapping[str, str]) -> None:
        """The head has come; it is read before anything of the body."""
        ...


@runtime_checkable
class TellsUsage(Protocol):
    """An exchange, or an answer, whose stream says before its end what it has cost so far."""

    @property
    def usage_so_far(self) -> Mapping[str, Any] | None:
        """OpenAI's `usage` with the tokens that are certain by now; None while nothing is known."""
        ...


class Withheld(Exception):
    """The vendor answered well, and gave nothing of what was asked for: a refusal, with OpenAI's error."""

    def __init__(self, status: int, body: bytes) -> None:
        super().__init__("withheld")
        self.status = status
        self.body = body


@runtime_checkable
class MakesImages(Protocol):
    """A provider whose vendor makes pictures of a text."""

    def image_exchange(self, fields: dict[str, Any], *, model: str, site: Site) -> Exchange:
        """A call of /images/generations, as `Provider.exchange`; its `answer` may raise Withheld."""
        ...

    def max_images(self, model: str) -> int:
        """How many pictures (`n`) one call makes; for more there are several calls of one."""
        ...


class Authority(Protocol):
    """What proves to the vendor who calls: a key, a token that must be fetched, or a signature."""

    async def headers(self, request: WireRequest, url: str, credential: str) -> Mapping[str, str]:
        """The headers for one request to a URL (percent-encoded, with its query).

        `credential` is the client's own, for upstreams that take it, else "". Raises UpstreamUnreachable
        if no proof can be had, in words without secrets.
        """
        ...

    async def close(self) -> None:
        """Nothing more is asked."""
        ...


class Provider(Protocol):
    """One vendor's wire format. It has no state of its own."""

    def exchange(self, path: str, fields: dict[str, Any], *, model: str, site: Site) -> Exchange:
        """A call of OpenAI's API at a path (/chat/completions, /embeddings) for a model of the vendor's.

        `fields` is the whole request. InvalidRequest names the field that the vendor has nothing for.
        """
        ...

    def max_choices(self, fields: Mapping[str, Any], *, model: str) -> int:
        """How many choices (`n`) one call of a chat gives.

        For more there are several calls of one: `exchange` may refuse an `n` beyond this.
        """
        ...

    def authority(self, site: Site) -> Authority:
        """Who signs the calls to one upstream; it lives as long as the upstream's connections."""
        ...

    def check_options(self, options: Mapping[str, Any]) -> None:
        """WrongOption unless an upstream's `options` are as its kind describes them, and go together."""
        ...

    def base_url(self, options: Mapping[str, Any]) -> str:
        """Where the vendor is, given checked options; "" if an administrator must say."""
        ...

    def models_request(self, site: Site, cursor: str = "") -> WireRequest:
        """What asks for a page of the vendor's list of models, which is also how its health is probed."""
        ...

    def read_models(self, body: bytes) -> ModelsPage:
        """A page of that list; ValueError if it is none."""
        ...
