"""The query of `GET /runs`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from django.http import QueryDict

from agents_app.services.run_list import MAX_PAGE, RunFilter
from usage_app.parameters import Parser, cursor, documented, end, identifier, integer, parsed, start, text

_DEFAULT_PAGE = 100
_PARSERS: Mapping[str, Parser] = {
    "agent": text,
    "api_key": identifier("key"),
    "status": integer(100, 599),
    "start_date": start,
    "end_date": end,
    "limit": integer(1, MAX_PAGE),
    "cursor": cursor,
}
_COLUMNS = {"api_key": "key_id", "start_date": "start", "end_date": "end"}
RUNS_PARAMETERS = documented(
    {
        "agent": "The agent's model id.",
        "api_key": "A key's id, `key_…`.",
        "status": "HTTP status of the answer; 499 if the client left.",
        "start_date": "ISO 8601 date or time, UTC, inclusive.",
        "end_date": "ISO 8601: a date includes that day, a time is exclusive.",
        "limit": f"Rows a page, 1 to {MAX_PAGE}; {_DEFAULT_PAGE} by default.",
        "cursor": "`next_cursor` of the page before.",
    },
    integers=("status", "limit"),
)


@dataclass(frozen=True, slots=True)
class RunsQuery:
    """A checked query of `GET /runs`."""

    filter: RunFilter
    limit: int
    after: UUID | None


def parse_runs(query: QueryDict) -> RunsQuery:
    """Check the query; InvalidRequest names the parameter that is unknown, repeated or wrong."""
    values = parsed(query, _PARSERS)
    limit, after = values.pop("limit", _DEFAULT_PAGE), values.pop("cursor", None)
    wanted = RunFilter(**{_COLUMNS.get(name, name): value for name, value in values.items()})
    return RunsQuery(wanted, limit, after)
