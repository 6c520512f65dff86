"""Vertex AI: Google's models in a project and a location, by OAuth tokens or an API key.

Source: https://cloud.google.com/vertex-ai/docs/reference/rest (publishers.models.generateContent). The format
is the Gemini API's (`providers.gemini`), or Anthropic's for Claude; the path, and who calls, are not.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from upstreams_app.errors import UpstreamUnreachable
from upstreams_app.kinds import KINDS
from upstreams_app.options import check_options
from upstreams_app.providers.gemini.embeddings import BATCH, PREDICT, EmbeddingExchange
from upstreams_app.providers.gemini.exchanges import ChatExchange, quoted, unknown_path
from upstreams_app.providers.gemini.generations import generation_of
from upstreams_app.providers.gemini.images import ImageExchange
from upstreams_app.providers.gemini.listing import list_request, read_page
from upstreams_app.providers.gemini.requests import max_choices
from upstreams_app.providers.vertex.authority import GoogleAuthority
from upstreams_app.providers.vertex.claude import ClaudeExchange, claude_name
from upstreams_app.providers.vertex.credentials import read_key_file
from upstreams_app.providers.vertex.imagen import MAX_IMAGES, ImagenExchange, is_imagen
from upstreams_app.providers.wire import Authority, Exchange, ModelsPage, Provider, Site, WireRequest

GLOBAL: Final = "global"
# Several regions under one address, where data stay within.
_MULTI_REGIONS: Final = frozenset({"us", "eu"})
_PROJECT: Final = next(option for option in KINDS["vertex"].options if option.name == "project")
_ENDPOINT = re.compile(r"(?:endpoints/)?(\d{1,25})")


class Vertex:
    """Vertex AI as a provider. Its options are `project` and `location`."""

    def exchange(self, path: str, fields: dict[str, Any], *, model: str, site: Site) -> Exchange:
        """As `Provider.exchange`."""
        resource = _resource(model, site)
        if path == "/chat/completions" and (name := claude_name(model)):
            return ClaudeExchange(fields, model=name, resource=resource)
        if path == "/chat/completions":
            return ChatExchange(fields, model=model, resource=resource)
        if path == "/embeddings" and not claude_name(model):
            method = BATCH if "gemini" in model else PREDICT
            return EmbeddingExchange(fields, model=model, resource=resource, method=method)
        raise unknown_path(path)

    def image_exchange(self, fields: dict[str, Any], *, model: str, site: Site) -> Exchange:
        """As `MakesImages.image_exchange`: by Gemini's models and by Imagen."""
        resource = _resource(model, site)
        if is_imagen(model):
            return ImagenExchange(fields, model=model, resource=resource)
        return ImageExchange(fields, model=model, resource=resource, has_formats=True)

    def max_images(self, model: str) -> int:
        """As `MakesImages.max_images`."""
        return MAX_IMAGES if is_imagen(model) else 1

    def max_choices(self, fields: Mapping[str, Any], *, model: str) -> int:
        """As `Provider.max_choices`."""
        if claude_name(model):
            return 1
        return max_choices(generation_of(model), is_stream=fields.get("stream") is True)

    def authority(self, site: Site) -> Authority:
        """As `Provider.authority`."""
        return GoogleAuthority(site)

    def check_options(self, options: Mapping[str, Any]) -> None:
        """As `Provider.check_options`."""
        kind = KINDS["vertex"]
        check_options(kind.label, kind.options, options)

    def base_url(self, options: Mapping[str, Any]) -> str:
        """As `Provider.base_url`: the location's."""
        location = options.get("location", GLOBAL)
        if location == GLOBAL:
            return "https://aiplatform.googleapis.com"
        if location in _MULTI_REGIONS:
            return f"https://aiplatform.{location}.rep.googleapis.com"
        return f"https://{location}-aiplatform.googleapis.com"

    def models_request(self, site: Site, cursor: str = "") -> WireRequest:
        """As `Provider.models_request`."""
        return list_request("/publishers/google/models", cursor, page_size=100)

    def read_models(self, body: bytes) -> ModelsPage:
        """As `Provider.read_models`."""
        return read_page(body, "publisherModels")


def _resource(model: str, site: Site) -> str:
    """A model's path. With an API key alone there is no project: Google knows whose it is."""
    project = site.options.get("project") or _project_of_key(site.credential)
    found = _ENDPOINT.fullmatch(model)
    name = model.removeprefix("publishers/google/").removeprefix("models/")
    leaf = f"/endpoints/{found[1]}" if found else f"/publishers/google/models/{quoted(name)}"
    if claude := claude_name(model):
        leaf = f"/publishers/anthropic/models/{quoted(claude)}"
    if project:
        return f"/projects/{project}/locations/{site.options.get('location', GLOBAL)}{leaf}"
    if site.credential and read_key_file(site.credential) is None:
        return leaf
    raise UpstreamUnreachable("its options name no project")


def _project_of_key(credential: str) -> str:
    key = read_key_file(credential)
    project = key.project if key is not None else ""
    return project if _PROJECT.takes(project) else ""


def provider() -> Provider:
    """The provider of this package."""
    return Vertex()
