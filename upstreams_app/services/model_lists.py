"""What an upstream's list of models says, in the forms that OpenAI-compatible servers write it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any, TypeGuard

from gateway_project.core.codec import loads
from upstreams_app.providers.wire import ListedModel

MAX_MODELS = 5000
_MAX_TOKENS = 2_147_483_647
_WINDOW_FIELDS = ("max_model_len", "context_length", "context_window", "max_context_length")
_OUTPUT_FIELDS = ("max_output_tokens", "max_completion_tokens")
_EMBEDDING = re.compile(r"embed|\bbge\b|\bgte\b|\be5-|minilm", re.IGNORECASE)
_OTHER = re.compile(
    r"whisper|\btts\b|dall-e|gpt-image|moderation|transcribe|realtime|\bsora\b|rerank|stable-diffusion|\bflux\b",
    re.IGNORECASE,
)
_COMPLETION = re.compile(r"^(babbage-002|davinci-002|gpt-3\.5-turbo-instruct.*)$")
_MODES_BY_TYPE = {
    "embedding": "embedding",
    "embeddings": "embedding",
    "chat": "chat",
    "llm": "chat",
    "vlm": "chat",
    "language": "completion",
    "image": "other",
    "audio": "other",
    "moderation": "other",
    "rerank": "other",
    "transcribe": "other",
    "video": "other",
}

_MODES_BY_ABILITY = {"chat_completion": "chat", "embeddings": "embedding", "completion": "completion"}


class NotAModelList(ValueError):
    """The answer is no list of models in any known form."""


def parse_model_list(body: bytes) -> list[ListedModel]:
    """The models of an answer to GET /models, each once, at most 5000; NotAModelList if it is none.

    Understood are OpenAI's `{"data": [...]}`, `{"models": [...]}` and a bare list, of objects or of names.
    """
    try:
        value = loads(body)
    except ValueError as error:
        raise NotAModelList("it is not JSON") from error
    if isinstance(value, dict):
        value = value.get("data", value.get("models"))
    if not isinstance(value, list):
        raise NotAModelList("it holds no list")
    found: dict[str, ListedModel] = {}
    for item in _items(value):
        found.setdefault(item.name, item)
        if len(found) >= MAX_MODELS:
            break
    return list(found.values())


def guess_mode(name: str) -> str:
    """What a model does, by its name alone."""
    if _EMBEDDING.search(name):
        return "embedding"
    if _OTHER.search(name):
        return "other"
    return "completion" if _COMPLETION.match(name) else "chat"


def usable(models: Iterable[ListedModel]) -> Iterator[ListedModel]:
    """What a provider read of its vendor's list, without what no row can hold."""
    for model in models:
        if _is_name(model.name):
            yield replace(
                model,
                context_window=_size(model.context_window),
                max_output_tokens=_size(model.max_output_tokens),
                description=model.description[:500],
            )


def _is_name(name: object) -> TypeGuard[str]:
    """Whether it can be a model's name here."""
    return isinstance(name, str) and 0 < len(name) <= 200 and name.isprintable() and name == name.strip()


def _items(values: list[Any]) -> Iterator[ListedModel]:
    for value in values:
        fields = value if isinstance(value, dict) else {"id": value}
        name = fields.get("id") or fields.get("name") or fields.get("model")
        if not _is_name(name):
            continue
        abilities = fields.get("capabilities")
        if isinstance(abilities, dict) and abilities.get("inference") is False:
            # Azure lists what can only be trained as well.
            continue
        kind = fields.get("type")
        mode = _MODES_BY_TYPE.get(kind.lower()) if isinstance(kind, str) else None
        yield ListedModel(
            name,
            mode or _mode_by_abilities(abilities) or guess_mode(name),
            _first_size(fields, _WINDOW_FIELDS),
            _first_size(fields, _OUTPUT_FIELDS),
        )


def _mode_by_abilities(abilities: object) -> str | None:
    """What Azure's `capabilities` say; other services put other things there."""
    if not isinstance(abilities, dict):
        return None
    return next((mode for name, mode in _MODES_BY_ABILITY.items() if abilities.get(name) is True), None)


def _first_size(fields: dict[str, Any], names: tuple[str, ...]) -> int | None:
    for name in names:
        if size := _size(fields.get(name)):
            return size
    return None


def _size(value: object) -> int | None:
    if isinstance(value, int) and not isinstance(value, bool) and 0 < value <= _MAX_TOKENS:
        return value
    return None
