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
from usage_app.usage_parameters import UsageParameters, choice, parse_usage

_DEFAULT_PAGE = 100


@dataclass(frozen=True, slots=True)
class SpendLogsQuery:
    """A checked query of `GET /spend/logs`."""

    filter: RecordFilter
    limit: int
    after: UUID | None


SUMMARY_FILTERS = {"api_key": "key", "user_id": "user", "team_id": "team", "model": "model"}
_SUMMARIZE: Mapping[str, Parser] = {"summarize": choice("true", "false")}


def parse_summary(query: QueryDict) -> UsageParameters | None:
    """The checked query if it asks for sums by day instead of requests, else None."""
    if query.get("summarize") != "true":
        return None
    return parse_usage(query, SUMMARY_FILTERS, _SUMMARIZE)


def parse_spend_logs(query: QueryDict) -> SpendLogsQuery:
    """Check the query; InvalidRequest names the parameter that is unknown, repeated or wrong."""
    values = parsed(query, _PARSERS)
    limit = values.pop("limit", _DEFAULT_PAGE)
    after = values.pop("cursor", None)
    values.pop("summarize", None)
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
    "team_id": identifier("team"),
    "organization_id": identifier("org"),
    "end_user": text,
    "agent": text,
    "model": text,
    "upstream": text,
    "status": integer(100, 599),
    "state": _state,
    "start_date": start,
    "end_date": end,
    "limit": integer(1, MAX_PAGE),
    "cursor": cursor,
    **_SUMMARIZE,
}
_COLUMNS = {"request_id": "id", "api_key": "key_id", "start_date": "start", "end_date": "end"}
_DESCRIPTIONS = {
    "request_id": "The x-request-id of an answer.",
    "parent_id": "The calls of this request, a run of an agent.",
    "api_key": "A key's id, `key_…`.",
    "user_id": "Owner of the key.",
    "team_id": "A team's id, `team_…`: requests made while the key was the team's.",
    "organization_id": "An organisation's id, `org_…`.",
    "agent": "The agent that made the call.",
    "end_user": "The request's `user` field.",
    "model": "As the client asked.",
    "upstream": "Name of the upstream that answered.",
    "status": "HTTP status of the answer; 499 if the client left.",
    "state": f"One of: {', '.join(State.values)}.",
    "start_date": "ISO 8601 date or time, UTC, inclusive.",
    "end_date": "ISO 8601: a date includes that day, a time is exclusive.",
    "limit": f"Rows a page, 1 to {MAX_PAGE}; {_DEFAULT_PAGE} by default.",
    "cursor": "`next_cursor` of the page before.",
    "summarize": "true: sums by day, user and model instead, from start_date to end_date (both required).",
}
SPEND_LOGS_PARAMETERS = documented(_DESCRIPTIONS, integers=("status", "limit"))
