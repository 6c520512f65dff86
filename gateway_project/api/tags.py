"""The client's own words for a request, which reports can be grouped by and budgets can be for."""

from __future__ import annotations

import json

from gateway_project.api.exchange import Exchange
from gateway_project.core.errors import InvalidRequest
from usage_app.services.lines import MAX_TAG_CHARS, MAX_TAGS

_HEADERS = (b"x-gateway-tags", b"x-litellm-tags")


def request_tags(exchange: Exchange) -> tuple[str, ...]:
    """The tags of `x-gateway-tags` (or LiteLLM's spelling), split at commas, each once.

    A JSON list is understood too. InvalidRequest if there are too many, or one is too long: a tag that was
    cut off would be another one.
    """
    for name in _HEADERS:
        if name in exchange.headers:
            return _tags(exchange.header(name), name.decode())
    return ()


def _tags(text: str, header: str) -> tuple[str, ...]:
    words = _listed(text) if text.lstrip().startswith("[") else text.split(",")
    if words is None:
        raise InvalidRequest("Give tags separated by commas, or a JSON list of texts.", param=header)
    tags = tuple(dict.fromkeys(word.strip() for word in words if word.strip()))
    if len(tags) > MAX_TAGS or any(len(tag) > MAX_TAG_CHARS for tag in tags):
        raise InvalidRequest(f"At most {MAX_TAGS} tags of {MAX_TAG_CHARS} characters.", param=header)
    return tags


def _listed(text: str) -> list[str] | None:
    try:
        words = json.loads(text)
    except (ValueError, RecursionError):
        return None
    is_list = isinstance(words, list) and all(isinstance(word, str) and _is_text(word) for word in words)
    return words if is_list else None


def _is_text(word: str) -> bool:
    """Whether a database can hold it: no NUL, and no half of a surrogate pair."""
    return "\0" not in word and not any("\ud800" <= char <= "\udfff" for char in word)
