"""The list of models in Anthropic's form. Source: Anthropic's API reference (models)."""

from __future__ import annotations

from datetime import UTC, datetime
from urllib.parse import parse_qs

from gateway_project.api.anthropic.checks import Json
from gateway_project.core.codec import dumps
from gateway_project.core.errors import InvalidRequest

_LARGEST_PAGE = 1000
_USUAL_PAGE = 20


def model_info(item: Json) -> Json:
    """One model, of what OpenAI's clients are told of it."""
    created = datetime.fromtimestamp(item["created"], UTC)
    return {
        "type": "model",
        "id": item["id"],
        "display_name": item["name"],
        "created_at": created.isoformat().replace("+00:00", "Z"),
        "lifecycle": "active",
        "max_input_tokens": item.get("context_length"),
        "max_tokens": None,
    }


def models_page(items: list[Json], query: bytes) -> bytes:
    """The page that a query string asks for: `limit`, and `after_id` or `before_id`."""
    asked = {name: values[-1] for name, values in parse_qs(query.decode("latin-1")).items()}
    limit = _limit(asked.get("limit"))
    ids = [item["id"] for item in items]
    start = 0
    if "after_id" in asked:
        start = _position(ids, asked["after_id"], "after_id") + 1
        end = start + limit
    elif "before_id" in asked:
        end = _position(ids, asked["before_id"], "before_id")
        start = max(end - limit, 0)
    else:
        end = limit
    page = [model_info(item) for item in items[start:end]]
    has_more = start > 0 if "before_id" in asked else end < len(items)
    first, last = (page[0]["id"], page[-1]["id"]) if page else (None, None)
    return dumps({"data": page, "has_more": has_more, "first_id": first, "last_id": last})


def _limit(text: str | None) -> int:
    if text is None:
        return _USUAL_PAGE
    if not (text.isascii() and text.isdigit()) or len(text) > 4 or not 1 <= int(text) <= _LARGEST_PAGE:
        raise InvalidRequest(f"limit: expected a number from 1 to {_LARGEST_PAGE}.", param="limit")
    return int(text)


def _position(ids: list[str], model_id: str, name: str) -> int:
    try:
        return ids.index(model_id)
    except ValueError:
        raise InvalidRequest(f"{name}: there is no model '{model_id}'.", param=name) from None
