"""Requests of the pass-through: in the vendor's own words, to one upstream, and what can be told of them."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from contextlib import aclosing
from typing import NamedTuple
from urllib.parse import unquote

import msgspec

from gateway_project.core.codec import NotAnObject, RawFields, dumps, split_object
from gateway_project.core.context import RequestContext
from security_app.services.reservation import ONE_REQUEST, Demand
from upstreams_app.registry import ModelEntry, Target, UpstreamConfig
from upstreams_app.services.outbound import OutboundRequest
from usage_app.registry import UsageConfig
from usage_app.services.estimate import demand, input_tokens, output_tokens

# What of a request's head means something to the vendor and nothing to who pays: no credentials, no
# cookies, no accounts, nothing of the way that it came.
_TO_VENDOR = frozenset(
    {
        "accept",
        "accept-language",
        "anthropic-beta",
        "anthropic-version",
        "content-disposition",
        "content-language",
        "content-range",
        "content-type",
        "idempotency-key",
        "if-match",
        "if-modified-since",
        "if-none-match",
        "last-event-id",
        "openai-beta",
        "prefer",
        "range",
        "x-goog-api-client",
        "x-goog-fieldmask",
    }
)
_TO_VENDOR_PREFIXES = ("x-stainless-", "x-goog-upload-")
_TO_CLIENT = frozenset(
    {
        "accept-ranges",
        "cache-control",
        "content-disposition",
        "content-encoding",
        "content-language",
        "content-range",
        "content-type",
        "etag",
        "last-modified",
        "openai-processing-ms",
        "openai-version",
        "request-id",
        "retry-after",
    }
)
_TO_CLIENT_PREFIXES = ("anthropic-ratelimit-", "x-goog-upload-")
_UNSENT = re.compile(r"[^\t\x20-\x7e]")
# Gemini and Vertex name the model and the method in the path, Bedrock and Azure the model before the method.
_MODEL_IN_PATH = re.compile(r"/(models|model|deployments)/([^/?]+)")
# Anthropic, Gemini with Vertex (also Claude there), and Bedrock count for nothing. Written otherwise it is
# charged.
_COUNTING = re.compile(
    r"(?:/messages/count_tokens|/models/[^/:%]+:countTokens|/model/[^/]+/count-tokens"
    r"|/publishers/anthropic/models/count-tokens:rawPredict)\Z"
)
# Where Gemini and Bedrock say how long an answer may be, and how many; Google reads both spellings.
_CONFIGS = ("generationConfig", "generation_config", "inferenceConfig")
_AS_OPENAI = {
    "maxOutputTokens": "max_tokens",
    "max_output_tokens": "max_completion_tokens",
    "maxTokens": "max_tokens",
    "candidateCount": "n",
    "candidate_count": "best_of",
}
_text = msgspec.json.Decoder(str)
_BODILESS = frozenset({"GET", "HEAD", "DELETE", "OPTIONS"})


class NativeRequest(NamedTuple):
    """A request as the client made it. `held` is the beginning of its body, `rest` what follows."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    held: bytes
    rest: Callable[[], AsyncGenerator[bytes, None]] | None
    length: int | None

    @property
    def is_free(self) -> bool:
        """Whether it asks for nothing that vendors charge for: it fetches, deletes, or counts tokens."""
        if self.method in _BODILESS and not self.held and self.rest is None:
            return True
        return _COUNTING.search(self.path) is not None

    @property
    def text(self) -> bytes:
        """What is held of a body that is a JSON object; b"" of a form or a file, which are no prompt."""
        is_object = self.held.lstrip()[:1] == b"{" if self.rest is not None else bool(self.fields)
        return self.held if is_object else b""

    @property
    def fields(self) -> RawFields:
        """The members of a body that came whole and is a JSON object, whatever it calls itself; or {}."""
        if self.rest is not None:
            return {}
        try:
            return split_object(self.held)
        except NotAnObject:
            return {}

    @property
    def model(self) -> str:
        """The vendor's name of the model, as far as the request tells it; "" if not.

        Vendors with models in their paths obey those, whatever the body says.
        """
        if found := _MODEL_IN_PATH.search(self.path):
            model = unquote(found[2])
            # Bedrock's names have colons of their own; elsewhere a method follows, however it is quoted.
            return (model if found[1] == "model" else model.partition(":")[0])[:200]
        raw = self.fields.get("model")
        if raw is None:
            return ""
        try:
            return _text.decode(raw)[:200]
        except (msgspec.DecodeError, UnicodeDecodeError):
            return ""


class NativeParcel:
    """A request of the pass-through, sent once."""

    takes_any_status = True

    def __init__(self, request: NativeRequest) -> None:
        self._request = request
        self.is_spent = False

    def for_target(self, target: Target) -> OutboundRequest:
        """As `Parcel.for_target`."""
        request = self._request
        return OutboundRequest(
            request.path,
            method=request.method,
            query=request.query,
            headers=request.headers,
            body=request.held if request.rest is None else b"",
            pieces=None if request.rest is None else self._pieces,
            length=request.length,
            is_kept=request.rest is None,
            is_native=True,
        )

    async def _pieces(self) -> AsyncGenerator[bytes, None]:
        yield self._request.held
        self.is_spent = True
        if self._request.rest is not None:
            async with aclosing(self._request.rest()) as rest:
                async for piece in rest:
                    yield piece


def to_vendor(headers: Iterable[tuple[str, str]]) -> dict[str, str]:
    """What of a client's headers goes on; names are in lower case."""
    return _chosen(headers, _TO_VENDOR, _TO_VENDOR_PREFIXES)


def to_client(headers: Mapping[str, str]) -> dict[str, str]:
    """What of an answer's headers goes back."""
    given = ((name.lower(), headers[name]) for name in headers)
    return _chosen(given, _TO_CLIENT, _TO_CLIENT_PREFIXES)


def _chosen(
    headers: Iterable[tuple[str, str]], names: frozenset[str], prefixes: tuple[str, ...]
) -> dict[str, str]:
    return {
        name: value
        for name, value in headers
        if (name in names or name.startswith(prefixes)) and not _UNSENT.search(value)
    }


def entry_of(
    upstream: UpstreamConfig, object_id: str, model: str, *, known: Mapping[str, ModelEntry]
) -> ModelEntry:
    """What a call of the pass-through is for: one target, whatever the model. `known` has models by id."""
    listed = known.get(f"{upstream.name}/{model}")
    target = Target(upstream, model, f"{upstream.name}/{model}", dumps(model), 1, 1)
    return ModelEntry(
        id=object_id,
        targets=(target,),
        is_route=False,
        mode="other",
        description="",
        created=0,
        context_window=None,
        max_output_tokens=listed.max_output_tokens if listed is not None else None,
        id_json=dumps(object_id),
    )


def estimate_native(context: RequestContext, entry: ModelEntry, request: NativeRequest) -> Demand:
    """What to reserve. Nobody knows what a request costs that names no model: budgets refuse it."""
    if request.is_free:
        return ONE_REQUEST
    prices: UsageConfig = context.snapshot.sections["usage"].value
    return demand(
        prices,
        (target.model_id for target in entry.targets),
        at=(context.request_id.int >> 80) / 1000,
        input_tokens=input_tokens(request.text),
        output_tokens=_output_tokens(request.fields, entry.max_output_tokens),
    )


def _output_tokens(fields: RawFields, model_maximum: int | None) -> int:
    """As `output_tokens`, also in Gemini's and Bedrock's words; the largest counts where several speak."""
    said = [bounds for name in _CONFIGS if name in fields and (bounds := _bounds(fields[name]))]
    if not said:
        return output_tokens(fields, model_maximum)
    return max(output_tokens(fields, 1), *(output_tokens(bounds, model_maximum) for bounds in said))


def _bounds(config: msgspec.Raw) -> RawFields:
    try:
        members = split_object(config)
    except NotAnObject:
        return {}
    return {openai: members[own] for own, openai in _AS_OPENAI.items() if own in members}
