"""Query parameters of lists over usage, read and checked by hand so that an error names its field.

A parser takes the parameter's name and its text, and returns the value; InvalidRequest says what is wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from uuid import UUID

from django.http import QueryDict

from gateway_project.core.errors import InvalidRequest
from gateway_project.core.ids import parse_public_id
from usage_app.services.spend import BadCursor, parse_cursor

Parser = Callable[[str, str], Any]
_MAX_TEXT = 300


def parsed(query: QueryDict, parsers: Mapping[str, Parser]) -> dict[str, Any]:
    """The values that are given; InvalidRequest names the parameter that is unknown, repeated or wrong."""
    values: dict[str, Any] = {}
    for name in query:
        if name not in parsers:
            raise InvalidRequest(f"Unknown query parameter: '{name[:100]}'.", param=name[:100])
        texts = query.getlist(name)
        if len(texts) > 1:
            raise InvalidRequest(f"'{name}' is given more than once.", param=name)
        if texts[0]:
            values[name] = parsers[name](name, texts[0])
    first, last = values.get("start_date"), values.get("end_date")
    if isinstance(first, datetime) and isinstance(last, datetime) and first >= last:
        raise InvalidRequest("'end_date' must be after 'start_date'.", param="end_date")
    return values


def documented(descriptions: Mapping[str, str], *, integers: tuple[str, ...]) -> list[dict[str, Any]]:
    """The parameters as OpenAPI has them."""
    return [
        {
            "in": "query",
            "name": name,
            "required": False,
            "description": text,
            "schema": {"type": "integer" if name in integers else "string"},
        }
        for name, text in descriptions.items()
    ]


def text(name: str, text: str) -> str:
    """Any short text."""
    if len(text) > _MAX_TEXT or "\0" in text:
        raise InvalidRequest(f"'{name}' must be at most {_MAX_TEXT} characters of text.", param=name)
    return text


def identifier(*prefixes: str) -> Callable[[str, str], UUID]:
    """A public id with one of the prefixes, or none."""

    def parse(name: str, text: str) -> UUID:
        for prefix in prefixes:
            if (value := parse_public_id(prefix, text)) is not None:
                return value
        raise InvalidRequest(f"'{name}' must be an id such as {prefixes[0]}_<32 hex digits>.", param=name)

    return parse


def integer(low: int, high: int) -> Callable[[str, str], int]:
    """A whole number within bounds."""

    def parse(name: str, text: str) -> int:
        number = int(text) if text.isascii() and text.isdigit() and len(text) < 10 else low - 1
        if not low <= number <= high:
            raise InvalidRequest(f"'{name}' must be a whole number from {low} to {high}.", param=name)
        return number

    return parse


def start(name: str, text: str) -> datetime:
    """A moment, or the beginning of a day."""
    return _moment(name, text, days_later=0)


def end(name: str, text: str) -> datetime:
    """A moment; a day as the end means that whole day."""
    return _moment(name, text, days_later=1)


def _moment(name: str, text: str, *, days_later: int) -> datetime:
    try:
        if len(text) == len("2026-01-31"):
            return datetime.combine(date.fromisoformat(text), time(), UTC) + timedelta(days=days_later)
        # A plus sign that was not percent-encoded arrives as a space.
        moment = datetime.fromisoformat(text.replace(" ", "+") if text.count(":") > 2 else text)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        message = f"'{name}' must be an ISO 8601 date or time, such as 2026-01-31 or 2026-01-31T12:00:00Z."
        raise InvalidRequest(message, param=name) from error


def cursor(name: str, text: str) -> UUID:
    """Where an earlier page ended."""
    try:
        return parse_cursor(text)
    except BadCursor as error:
        raise InvalidRequest(f"'{name}' must be the next_cursor of an earlier answer.", param=name) from error
