"""The client's own words for a request, which reports can be grouped by and budgets can be for."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable

import msgspec

from gateway_project.api.exchange import Exchange
from gateway_project.core.codec import NotAnObject, RawFields, join_object, split_object
from gateway_project.core.context import RequestContext
from gateway_project.core.errors import InvalidRequest
from usage_app.services.lines import MAX_TAG_CHARS, MAX_TAGS

_NAMED = re.compile(rb'"tags"')
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


def take_stated_tags(context: RequestContext, fields: RawFields) -> None:
    """Add the tags of LiteLLM's `metadata.tags` to those of the headers, and take them out of the body.

    Vendors know nothing of them: OpenAI's metadata has texts only. Metadata without a list of tags is theirs.
    """
    metadata = fields.get("metadata")
    if metadata is None or not _NAMED.search(bytes(metadata)):
        return
    try:
        members = split_object(bytes(metadata))
    except NotAnObject:
        return
    stated = members.pop("tags", None)
    words = None if stated is None else _listed(bytes(stated).decode("utf-8", "replace"))
    if words is None:
        return
    context.tags = _checked((*context.tags, *words), "metadata.tags")
    if members:
        fields["metadata"] = msgspec.Raw(join_object(members))
    else:
        del fields["metadata"]


def _tags(text: str, header: str) -> tuple[str, ...]:
    words = _listed(text) if text.lstrip().startswith("[") else text.split(",")
    if words is None:
        raise InvalidRequest("Give tags separated by commas, or a JSON list of texts.", param=header)
    return _checked(words, header)


def _checked(words: Iterable[str], param: str) -> tuple[str, ...]:
    tags = tuple(dict.fromkeys(word.strip() for word in words if word.strip()))
    if len(tags) > MAX_TAGS or any(len(tag) > MAX_TAG_CHARS for tag in tags):
        raise InvalidRequest(f"At most {MAX_TAGS} tags of {MAX_TAG_CHARS} characters.", param=param)
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
