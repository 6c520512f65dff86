"""The Gemini API: `generateContent` with an API key.

Source: https://ai.google.dev/api (v1beta). Vertex AI serves the same format elsewhere (`providers.vertex`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from upstreams_app.kinds import KINDS
from upstreams_app.options import check_options
from upstreams_app.providers.gemini.embeddings import BATCH, EmbeddingExchange
from upstreams_app.providers.gemini.exchanges import ChatExchange, quoted, unknown_path
from upstreams_app.providers.gemini.generations import generation_of
from upstreams_app.providers.gemini.images import ImageExchange
from upstreams_app.providers.gemini.listing import list_request, read_page
from upstreams_app.providers.gemini.requests import max_choices
from upstreams_app.providers.wire import Authority, Exchange, ModelsPage, Provider, Site, WireRequest


def plain_headers(credential: str) -> dict[str, str]:
    """The header for a credential that is sent as it is: a token of OAuth, or an API key."""
    if credential.startswith(("ya29.", "eyJ")):
        return {"Authorization": f"Bearer {credential}"}
    return {"x-goog-api-key": credential}


class KeyAuthority:
    """An API key in its header; a client's own may be a token."""

    def __init__(self, key: str) -> None:
        self._key = key

    async def headers(self, request: WireRequest, url: str, credential: str) -> Mapping[str, str]:
        """As `Authority.headers`."""
        key = credential or self._key
        return plain_headers(key) if key else {}

    async def close(self) -> None:
        """Nothing is open."""


class Gemini:
    """The Gemini API as a provider."""

    def exchange(self, path: str, fields: dict[str, Any], *, model: str, site: Site) -> Exchange:
        """As `Provider.exchange`."""
        name, resource = _resource(model)
        if path == "/chat/completions":
            return ChatExchange(fields, model=name, resource=resource)
        if path == "/embeddings":
            return EmbeddingExchange(
                fields, model=name, resource=resource, method=BATCH, batch_model=resource.removeprefix("/")
            )
        raise unknown_path(path)

    def image_exchange(self, fields: dict[str, Any], *, model: str, site: Site) -> Exchange:
        """As `MakesImages.image_exchange`."""
        name, resource = _resource(model)
        return ImageExchange(fields, model=name, resource=resource, has_formats=False)

    def max_images(self, model: str) -> int:
        """As `MakesImages.max_images`."""
        return 1

    def max_choices(self, fields: Mapping[str, Any], *, model: str) -> int:
        """As `Provider.max_choices`."""
        return max_choices(generation_of(model), is_stream=fields.get("stream") is True)

    def authority(self, site: Site) -> Authority:
        """As `Provider.authority`."""
        return KeyAuthority(site.credential)

    def check_options(self, options: Mapping[str, Any]) -> None:
        """As `Provider.check_options`: there are none."""
        kind = KINDS["gemini"]
        check_options(kind.label, kind.options, options)

    def base_url(self, options: Mapping[str, Any]) -> str:
        """As `Provider.base_url`: the kind's own."""
        return "https://generativelanguage.googleapis.com"

    def models_request(self, site: Site, cursor: str = "") -> WireRequest:
        """As `Provider.models_request`."""
        return list_request("/models", cursor, page_size=1000)

    def read_models(self, body: bytes) -> ModelsPage:
        """As `Provider.read_models`."""
        return read_page(body, "models")


def _resource(model: str) -> tuple[str, str]:
    """A model's plain name and its path."""
    name = model.removeprefix("models/")
    folder = "tunedModels" if name.startswith("tunedModels/") else "models"
    return name, f"/{folder}/{quoted(name.removeprefix('tunedModels/'))}"


def provider() -> Provider:
    """The provider of this package."""
    return Gemini()
