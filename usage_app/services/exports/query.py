"""What a report asks for: a span of time in a time zone, what to group by, and what to leave out.

The same checks serve the admin's form, the API and manifests that are read back.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

from gateway_project.core.errors import InvalidRequest

TIMES = ("hour", "day", "month")
DIMENSIONS = (
    "organization",
    "team",
    "user",
    "key",
    "model",
    "agent",
    "upstream",
    "state",
    "tag",
    "end_user",
)
GROUPS = (*TIMES, *DIMENSIONS)
MAX_GROUPS = 8
MAX_FILTER_VALUES = 100
MAX_VALUE_CHARS = 300
LONGEST = timedelta(days=1100)
IDS = ("organization", "team", "key")
_ID = re.compile(r"(?:[a-z]+_)?([0-9a-f]{32})|()")
_QUARTER = timedelta(minutes=15)


@dataclass(frozen=True, slots=True)
class ReportQuery:
    """From `start` up to, not including, `end`, both in UTC; `filters` maps a dimension to what may be."""

    start: datetime
    end: datetime
    time_zone: str
    group_by: tuple[str, ...]
    filters: Mapping[str, tuple[str, ...]]

    def as_json(self) -> dict[str, Any]:
        """As manifests and rows hold it."""
        return {
            "start": utc_text(self.start),
            "end": utc_text(self.end),
            "time_zone": self.time_zone,
            "group_by": list(self.group_by),
            "filters": {name: list(values) for name, values in sorted(self.filters.items())},
        }


def utc_text(moment: datetime) -> str:
    """A moment as `2026-01-31T00:00:00Z`."""
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def query_from_json(value: Any) -> ReportQuery:
    """The inverse of `ReportQuery.as_json`; InvalidRequest names what is wrong."""
    if not isinstance(value, dict):
        raise InvalidRequest("'query' must be an object.", param="query")
    bounds = [_moment(name, value.get(name)) for name in ("start", "end")]
    return ReportQuery(
        *_checked_bounds(*bounds),
        check_time_zone(value.get("time_zone")),
        check_group_by(value.get("group_by")),
        check_filters(value.get("filters")),
    )


def check_time_zone(name: Any) -> str:
    """A name of the time zone database; InvalidRequest for anything else."""
    if not isinstance(name, str) or name not in _zones():
        raise InvalidRequest("'time_zone' must be a name such as UTC or Europe/Berlin.", param="time_zone")
    return name


def zone(name: str) -> ZoneInfo:
    """The time zone of a checked name."""
    return ZoneInfo(name)


def check_group_by(values: Any) -> tuple[str, ...]:
    """Dimensions in the order of their columns; InvalidRequest names one that is none, or is there twice."""
    if not isinstance(values, Sequence) or isinstance(values, str):
        raise InvalidRequest("'group_by' must be a list.", param="group_by")
    for value in values:
        if value not in GROUPS:
            message = f"'group_by' may hold {', '.join(GROUPS)}, not '{str(value)[:100]}'."
            raise InvalidRequest(message, param="group_by")
    if len(set(values)) != len(values):
        raise InvalidRequest("'group_by' holds something twice.", param="group_by")
    if len(values) > MAX_GROUPS:
        raise InvalidRequest(f"Group by {MAX_GROUPS} things at most.", param="group_by")
    if len(set(values) & set(TIMES)) > 1:
        raise InvalidRequest("Group by one of hour, day and month.", param="group_by")
    _refuse_both(set(values), param="group_by")
    return tuple(values)


def check_filters(values: Any) -> dict[str, tuple[str, ...]]:
    """Texts to keep, by dimension; InvalidRequest names what is wrong."""
    if not isinstance(values, Mapping):
        raise InvalidRequest("'filters' must be an object.", param="filters")
    checked = {}
    for name, texts in values.items():
        param = f"filters.{str(name)[:100]}"
        if name not in DIMENSIONS:
            raise InvalidRequest(f"Filter by {', '.join(DIMENSIONS)}.", param=param)
        if not isinstance(texts, Sequence) or isinstance(texts, str) or not texts:
            raise InvalidRequest(f"'{param}' must be a list with at least one text.", param=param)
        if len(texts) > MAX_FILTER_VALUES:
            raise InvalidRequest(f"'{param}' may hold {MAX_FILTER_VALUES} texts at most.", param=param)
        if not all(
            isinstance(text, str) and len(text) <= MAX_VALUE_CHARS and "\0" not in text for text in texts
        ):
            message = f"'{param}' must hold texts of {MAX_VALUE_CHARS} characters at most."
            raise InvalidRequest(message, param=param)
        if name in IDS:
            texts = [_id_text(text, param) for text in texts]
        checked[str(name)] = tuple(dict.fromkeys(texts))
    return checked


def _id_text(text: str, param: str) -> str:
    """An id as rows have it: `key_…` without its prefix, a UUID without dashes; "" is for what has none."""
    found = _ID.fullmatch(text.strip().lower().replace("-", ""))
    if found is None:
        raise InvalidRequest(f"'{param}' must hold ids of 32 hex digits.", param=param)
    return found[1] or ""


def check_together(group_by: Sequence[str], filters: Mapping[str, Sequence[str]]) -> None:
    """InvalidRequest if grouping and filters ask for what is counted apart: tags and end users."""
    _refuse_both({*group_by, *filters}, param="filters")


def _refuse_both(names: set[str], *, param: str) -> None:
    if {"tag", "end_user"} <= names:
        message = "Tags and end users are counted apart: use one of them in a report."
        raise InvalidRequest(message, param=param)


def _checked_bounds(start: datetime, end: datetime) -> tuple[datetime, datetime]:
    if start >= end:
        raise InvalidRequest("The end must be after the start.", param="end")
    if end - start > LONGEST:
        raise InvalidRequest("A report may span three years at most.", param="start")
    return start, end


def _moment(name: str, text: Any) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except (TypeError, ValueError) as error:
        raise InvalidRequest(f"'{name}' must be a time such as 2026-01-31T00:00:00Z.", param=name) from error
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    if (moment - datetime(1970, 1, 1, tzinfo=UTC)) % _QUARTER:
        raise InvalidRequest(f"'{name}' must be at a full quarter of an hour.", param=name)
    return moment


@lru_cache(maxsize=1)
def _zones() -> frozenset[str]:
    return frozenset(available_timezones())
