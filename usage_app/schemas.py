"""Query parameters of the usage routes, read and checked by hand so that an error names its field."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from uuid import UUID

from django.http import QueryDict

from gateway_project.core.errors import InvalidRequest
from gateway_project.core.ids import parse_public_id
from usage_app.models.record import State
from usage_app.services.spend import MAX_PAGE, BadCursor, RecordFilter, parse_cursor

_DEFAULT_PAGE = 100
_MAX_TEXT = 300


@dataclass(frozen=True, slots=True)
class SpendLogsQuery:
    """A checked query of `GET /spend/logs`."""

    filter: RecordFilter
    limit: int
    after: UUID | None


def parse_spend_logs(query: QueryDict) -> SpendLogsQuery:
    """Check the query; InvalidRequest names the parameter that is unknown, repeated or wrong."""
    values: dict[str, Any] = {}
    for name in query:
        if name not in _PARSERS:
            raise InvalidRequest(f"Unknown query parameter: '{name[:100]}'.", param=name[:100])
        texts = query.getlist(name)
        if len(texts) > 1:
            raise InvalidRequest(f"'{name}' is given more than once.", param=name)
        if texts[0]:
            values[name] = _PARSERS[name](name, texts[0])
    limit = values.pop("limit", _DEFAULT_PAGE)
    after = values.pop("cursor", None)
    wanted = RecordFilter(**{_COLUMNS.get(name, name): value for name, value in values.items()})
    if wanted.start is not None and wanted.end is not None and wanted.start >= wanted.end:
        raise InvalidRequest("'end_date' must be after 'start_date'.", param="end_date")
    return SpendLogsQuery(wanted, limit, after)


def _text(name: str, text: str) -> str:
    if len(text) > _MAX_TEXT or "\0" in text:
        raise InvalidRequest(f"'{name}' must be at most {_MAX_TEXT} characters of text.", param=name)
    return text


def _id(prefix: str) -> Callable[[str, str], UUID]:
    def parse(name: str, text: str) -> UUID:
        value = parse_public_id(prefix, text)
        if value is None:
            raise InvalidRequest(f"'{name}' must be an id such as {prefix}_<32 hex digits>.", param=name)
        return value

    return parse


def _integer(low: int, high: int) -> Callable[[str, str], int]:
    def parse(name: str, text: str) -> int:
        number = int(text) if text.isascii() and text.isdigit() and len(text) < 10 else low - 1
        if not low <= number <= high:
            raise InvalidRequest(f"'{name}' must be a whole number from {low} to {high}.", param=name)
        return number

    return parse


def _state(name: str, text: str) -> str:
    if text not in State.values:
        raise InvalidRequest(f"'{name}' must be one of: {', '.join(State.values)}.", param=name)
    return text


def _start(name: str, text: str) -> datetime:
    return _moment(name, text, days_later=0)


def _end(name: str, text: str) -> datetime:
    """A day as the end means that whole day."""
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


def _cursor(name: str, text: str) -> UUID:
    try:
        return parse_cursor(text)
    except BadCursor as error:
        raise InvalidRequest(f"'{name}' must be the next_cursor of an earlier answer.", param=name) from error


_PARSERS: Mapping[str, Callable[[str, str], Any]] = {
    "request_id": _id("req"),
    "api_key": _id("key"),
    "user_id": _text,
    "end_user": _text,
    "model": _text,
    "upstream": _text,
    "status": _integer(100, 599),
    "state": _state,
    "start_date": _start,
    "end_date": _end,
    "limit": _integer(1, MAX_PAGE),
    "cursor": _cursor,
}
_COLUMNS = {"request_id": "id", "api_key": "key_id", "start_date": "start", "end_date": "end"}
_DESCRIPTIONS = {
    "request_id": "The x-request-id of an answer.",
    "api_key": "A key's id, `key_…`.",
    "user_id": "Owner of the key.",
    "end_user": "The request's `user` field.",
    "model": "As the client asked.",
    "upstream": "Name of the upstream that answered.",
    "status": "HTTP status of the answer; 499 if the client left.",
    "state": f"One of: {', '.join(State.values)}.",
    "start_date": "ISO 8601 date or time, UTC, inclusive.",
    "end_date": "ISO 8601: a date includes that day, a time is exclusive.",
    "limit": f"Rows a page, 1 to {MAX_PAGE}; {_DEFAULT_PAGE} by default.",
    "cursor": "`next_cursor` of the page before.",
}
SPEND_LOGS_PARAMETERS: list[dict[str, Any]] = [
    {
        "in": "query",
        "name": name,
        "required": False,
        "description": _DESCRIPTIONS[name],
        "schema": {"type": "integer" if name in ("status", "limit") else "string"},
    }
    for name in _PARSERS
]
