"""Checks of a request's values; errors name the field as Anthropic does: `messages.0.content.1.text`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from gateway_project.core.errors import InvalidRequest

Json = dict[str, Any]


def wrong(path: str, expected: str) -> InvalidRequest:
    """The error for a value that is not what it should be."""
    return InvalidRequest(f"{path}: expected {expected}.", param=path)


def unsupported(path: str, message: str) -> InvalidRequest:
    """The error for what Anthropic has and this gateway has not."""
    return InvalidRequest(f"{path}: {message}", param=path, code="unsupported_parameter")


def text(value: Any, path: str) -> str:
    """A text."""
    if not isinstance(value, str):
        raise wrong(path, "a string")
    return value


def filled_text(value: Any, path: str) -> str:
    """A text that says something."""
    if not isinstance(value, str) or not value:
        raise wrong(path, "a string that is not empty")
    return value


def optional_text(value: Any, path: str) -> str:
    """A text, "" for none."""
    return "" if value is None else text(value, path)


def json_object(value: Any, path: str) -> Json:
    """An object."""
    if not isinstance(value, dict):
        raise wrong(path, "an object")
    return value


def items(value: Any, path: str) -> list[tuple[str, Any]]:
    """The items of an array, each with its own path."""
    if not isinstance(value, list):
        raise wrong(path, "an array")
    return [(f"{path}.{index}", item) for index, item in enumerate(value)]


def integer(value: Any, path: str, *, low: int = 1) -> int:
    """A whole number."""
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value < 2**63:
        raise wrong(path, f"an integer of at least {low}")
    return value


def number(value: Any, path: str) -> float:
    """A number from 0 to 1."""
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= 1:
        raise wrong(path, "a number from 0 to 1")
    return value


def flag(value: Any, path: str) -> bool:
    """True or false; an absent one is false."""
    if value is not None and not isinstance(value, bool):
        raise wrong(path, "true or false")
    return bool(value)


def only(value: Json, known: Iterable[str], path: str) -> None:
    """InvalidRequest for the first member that nobody knows; null counts as absent."""
    for name in value.keys() - set(known):
        if value[name] is not None:
            at = f"{path}.{name}" if path else name
            raise InvalidRequest(f"{at}: there is no such field here.", param=at, code="unknown_parameter")


def cache_marker(value: Json, path: str) -> Json:
    """The member `cache_control` alone, as it came; {} if there is none."""
    marker = value.get("cache_control")
    if marker is None:
        return {}
    at = f"{path}.cache_control" if path else "cache_control"
    if json_object(marker, at).get("type") != "ephemeral":
        raise wrong(f"{at}.type", "ephemeral")
    if marker.get("ttl") not in (None, "5m", "1h"):
        raise wrong(f"{at}.ttl", "5m or 1h")
    return {"cache_control": marker}
