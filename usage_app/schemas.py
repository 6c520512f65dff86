"""The query of `GET /spend/logs`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from django.http import QueryDict

from gateway_project.core.errors import InvalidRequest
from usage_app.models.record import State
from usage_app.parameters import Parser, cursor, documented, end, identifier, integer, parsed, start, text
from usage_app.services.spend import MAX_PAGE, RecordFilter

_DEFAULT_PAGE = 100


@dataclass(frozen=True, slots=True)
class SpendLogsQuery:
    """A checked query of `GET /spend/logs`."""

    filter: RecordFilter
    limit: int
    after: UUID | None


def parse_spend_logs(query: QueryDict) -> SpendLogsQuery:
    """Check the query; InvalidRequest names the parameter that is unknown, repeated or wrong."""
    values = parsed(query, _PARSERS)
    limit = values.pop("limit", _DEFAULT_PAGE)
    after = values.pop("cursor", None)
    wanted = RecordFilter(**{_COLUMNS.get(name, name): value for name, value in values.items()})
    return SpendLogsQuery(wanted, limit, after)


def _state(name: str, text: str) -> str:
    if text not in State.values:
        raise InvalidRequest(f"'{name}' must be one of: {', '.join(State.values)}.", param=name)
    return text


_PARSERS: Mapping[str, Parser] = {
    "request_id": identifier("req"),
    "parent_id": identifier("req", "run"),
    "api_key": identifier("key"),
    "user_id": text,
    "end_user": text,
    "model": text,
    "upstream": text,
    "status": integer(100, 599),
    "state": _state,
    "start_date": start,
    "end_date": end,
    "limit": integer(1, MAX_PAGE),
    "cursor": cursor,
}
_COLUMNS = {"request_id": "id", "api_key": "key_id", "start_date": "start", "end_date": "end"}
_DESCRIPTIONS = {
    "request_id": "The x-request-id of an answer.",
    "parent_id": "The calls of this request, a run of an agent.",
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
SPEND_LOGS_PARAMETERS = documented(_DESCRIPTIONS, integers=("status", "limit"))
