"""Google's lists of models.

Source: models.list of the Gemini API (v1beta), publishers.models.list of Vertex AI (v1beta1).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import urlencode

from gateway_project.core.codec import loads_loosely
from upstreams_app.providers.wire import ListedModel, ModelsPage, WireRequest

Json = dict[str, Any]
_MODES: Final = {"generateContent": "chat", "embedContent": "embedding"}


def list_request(path: str, cursor: str, *, page_size: int) -> WireRequest:
    """What asks for one page."""
    query = {"pageSize": str(page_size)} | ({"pageToken": cursor} if cursor else {})
    return WireRequest(path, b"", query=urlencode(query), method="GET")


def read_page(body: bytes, member: str) -> ModelsPage:
    """The models under a member of the answer; ValueError if it is no such list."""
    answer = loads_loosely(body)
    listed = answer.get(member, []) if isinstance(answer, dict) else None
    if not isinstance(listed, list):
        raise ValueError("it holds no list")
    cursor = answer.get("nextPageToken")
    return ModelsPage(list(_models(listed)), cursor if isinstance(cursor, str) else "")


def _models(listed: list[Any]) -> Iterator[ListedModel]:
    for item in listed:
        name = item.get("name") if isinstance(item, dict) else None
        if not isinstance(name, str):
            continue
        short = name.removeprefix("publishers/google/").removeprefix("models/")
        yield ListedModel(
            short,
            _mode(short, item.get("supportedGenerationMethods")),
            item.get("inputTokenLimit"),
            item.get("outputTokenLimit"),
            item.get("description") if isinstance(item.get("description"), str) else "",
        )


def _mode(name: str, methods: object) -> str:
    """By the methods that a model has; Vertex AI tells its name only."""
    if isinstance(methods, list):
        return next((mode for method, mode in _MODES.items() if method in methods), "other")
    if "embedding" in name:
        return "embedding"
    return "chat" if name.startswith(("gemini-", "gemma-")) and "-live" not in name else "other"
