"""What models there are: foundation models that are called directly, then the inference profiles.

Source: Amazon Bedrock's API reference (ListFoundationModels, ListInferenceProfiles), which is another host's
than the models'. The cursor says which of the two lists comes next.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final
from urllib.parse import quote

from gateway_project.core.codec import loads
from upstreams_app.providers.bedrock.options import control_url
from upstreams_app.providers.chat_parts import Json
from upstreams_app.providers.wire import ListedModel, ModelsPage, Site, WireRequest

_PROFILES: Final = "profiles"
_PAGE = 1000
_HEADERS = {"Accept": "application/json"}


def models_request(site: Site, cursor: str) -> WireRequest:
    """The request for a page of a list."""
    base_url = control_url(site.options, site.base_url)
    if not cursor:
        return WireRequest("/foundation-models", b"", _HEADERS, method="GET", base_url=base_url)
    token = cursor.removeprefix(_PROFILES)
    query = f"maxResults={_PAGE}" + (f"&nextToken={quote(token, safe='')}" if token else "")
    return WireRequest("/inference-profiles", b"", _HEADERS, query, method="GET", base_url=base_url)


def read_models(body: bytes) -> ModelsPage:
    """A page of either list; ValueError if it is none."""
    page = loads(body)
    if "modelSummaries" in page:
        return ModelsPage(list(_models(page["modelSummaries"])), _PROFILES)
    models = [
        ListedModel(profile["inferenceProfileId"], _mode_by_name(profile["inferenceProfileId"]))
        for profile in page["inferenceProfileSummaries"]
        if profile.get("status", "ACTIVE") == "ACTIVE"
    ]
    token = page.get("nextToken")
    return ModelsPage(models, f"{_PROFILES}{token}" if token else "")


def _models(summaries: list[Json]) -> Iterator[ListedModel]:
    for model in summaries:
        # The others can only be called through a profile, or with throughput that was bought.
        if "ON_DEMAND" not in model.get("inferenceTypesSupported", ("ON_DEMAND",)):
            continue
        outputs = model.get("outputModalities") or []
        mode = "chat" if "TEXT" in outputs else "embedding" if "EMBEDDING" in outputs else "other"
        yield ListedModel(model["modelId"], mode, description=model.get("modelName") or "")


def _mode_by_name(name: str) -> str:
    if "embed" in name:
        return "embedding"
    return "other" if any(word in name for word in ("stability.", "twelvelabs.", "rerank")) else "chat"
