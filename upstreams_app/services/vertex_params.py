"""LiteLLM's parameters for models on Vertex AI (`vertex_…`), as what an upstream of that kind is made of."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from gateway_project.core.codec import dumps
from gateway_project.core.errors import InvalidRequest
from upstreams_app.options import WrongOption
from upstreams_app.providers import provider_of
from upstreams_app.providers.vertex.claude import claude_name
from upstreams_app.services import vendor_place
from upstreams_app.services.vendor_place import ENVIRONMENT, VendorPlace, full_name, param_of
from upstreams_app.vendors import VendorModel

KIND: Final = "vertex"
_CREDENTIALS: Final = "vertex_credentials"
# LiteLLM's names and ours.
_OPTIONS: Final = {"vertex_project": "project", "vertex_location": "location"}
NAMES: Final = (*_OPTIONS, _CREDENTIALS)
# The address of one location: it tells it, and changes with it.
_HOST = re.compile(r"https://(?:([a-z0-9-]+)-)?aiplatform(?:\.([a-z]+)\.rep)?\.googleapis\.com(?:/|$)")
# vertex_ai/gemini/1234: LiteLLM's way to name the format of a tuned model's endpoint.
_ENDPOINT = re.compile(r"gemini/(\d+)")


def vertex_place(
    parsed: VendorModel,
    vertex: Mapping[str, Any],
    *,
    api_base: str | None,
    api_key: str | None,
    known: Mapping[str, Any],
) -> VendorPlace:
    """What the parameters say, over the options that are `known`; InvalidRequest names the wrong one."""
    options = dict(known)
    for name, option in _OPTIONS.items():
        value = vendor_place.read_value(KIND, option, vertex.get(name) or "", name=name)
        if not value and option not in known:
            value = vendor_place.usual_value(KIND, option)
        if value:
            options[option] = value
    googles = _HOST.match(api_base or "")
    if googles and "location" not in options and (googles[1] or googles[2]):
        options["location"] = googles[1] or googles[2]
    provider = provider_of(KIND)
    if provider is None:
        raise RuntimeError("the kind has no provider")
    try:
        provider.check_options(options)
    except WrongOption as error:
        param = param_of(error.option, _OPTIONS, otherwise=KIND)
        raise InvalidRequest(f"Vertex AI: {error}", param=param) from error
    # Who moves a model to another location says which, not where that is.
    is_moved = bool(googles and vertex.get("vertex_location"))
    return VendorPlace(
        VendorModel(parsed.vendor, _own_name(parsed.model)),
        provider.base_url(options) if is_moved or api_base is None else api_base,
        _credential(vertex.get(_CREDENTIALS), api_key),
        options,
    )


def named(options: Mapping[str, Any]) -> dict[str, Any]:
    """An upstream's options by LiteLLM's names; none of them is a secret."""
    return vendor_place.named(options, _OPTIONS)


def refuse_elsewhere(vertex: Mapping[str, Any]) -> None:
    """InvalidRequest for the first parameter of Vertex AI's, where the model is not there."""
    vendor_place.refuse_elsewhere(vertex, "vertex_ai")


def _own_name(model: str) -> str:
    found = _ENDPOINT.fullmatch(model)
    name = found[1] if found else model.removeprefix("publishers/google/models/")
    if claude := claude_name(name):
        return claude
    if "/" in name.removeprefix("endpoints/") or name.startswith(("mistral-", "codestral-")):
        raise InvalidRequest(
            "Of Vertex AI, Google's own models and Claude are served; others have formats of their own.",
            param=full_name("model"),
        )
    return name


def _credential(value: Any, api_key: str | None) -> str | None:
    """A key as JSON text, `os.environ/NAME` or `file:/path` of one; None if nothing is said of it."""
    if value is None or value == "":
        return api_key
    if api_key:
        raise InvalidRequest("Give 'api_key' or 'vertex_credentials'.", param=full_name(_CREDENTIALS))
    if isinstance(value, dict):
        return dumps(value).decode()
    text = str(value).strip()
    if text.startswith("/"):
        return f"file:{text}"
    if not text.startswith(("{", ENVIRONMENT)):
        raise InvalidRequest(
            "'vertex_credentials' is a key's JSON, the path of its file, or os.environ/NAME.",
            param=full_name(_CREDENTIALS),
        )
    return text
