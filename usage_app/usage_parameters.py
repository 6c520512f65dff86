"""Query parameters of reports over usage: whole days of a time zone, and what they are narrowed to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from django.http import QueryDict

from gateway_project.core.errors import InvalidRequest
from gateway_project.core.ids import parse_public_id
from usage_app.models.rollup import NOBODY
from usage_app.parameters import Parser, documented, parsed, text
from usage_app.services.periods import MAX_PERIODS, DayRange, time_zone

_MAX_VALUES = 100


@dataclass(frozen=True, slots=True)
class UsageParameters:
    """A checked query: its days, its filters by dimension, and what else was given."""

    days: DayRange
    filters: Mapping[str, tuple[str, ...]]
    rest: Mapping[str, Any] = field(default_factory=dict)


def parse_usage(
    query: QueryDict, filters: Mapping[str, str], others: Mapping[str, Parser] | None = None
) -> UsageParameters:
    """Check the query; `filters` says which dimension a parameter narrows.

    InvalidRequest names the parameter that is missing or wrong.
    """
    others = others or {}
    values = parsed(query, {**_DAYS, **{name: _PARSERS[of] for name, of in filters.items()}, **others})
    chosen: dict[str, tuple[str, ...]] = {}
    for name, of in filters.items():
        if (wanted := values.pop(name, None)) is not None:
            if of in chosen:
                raise InvalidRequest(f"'{name}' is given under another name, too.", param=name)
            chosen[of] = wanted
    days = day_range(
        values.pop("start_date", None), values.pop("end_date", None), values.pop("time_zone", "UTC")
    )
    return UsageParameters(days, chosen, values)


def day_range(first: date | None, last: date | None, zone_name: str = "UTC") -> DayRange:
    """The days from one to another; InvalidRequest names the date that is missing or wrong."""
    if first is None or last is None:
        name = "start_date" if first is None else "end_date"
        raise InvalidRequest(f"'{name}' is required: a day such as 2026-01-31.", param=name)
    if last < first:
        raise InvalidRequest("'end_date' must not be before 'start_date'.", param="end_date")
    if (last - first).days >= MAX_PERIODS:
        raise InvalidRequest(f"At most {MAX_PERIODS} days at once.", param="end_date")
    time_zone(zone_name)
    return DayRange(first, last, zone_name)


def day(name: str, given: str) -> date:
    """A day; years that a clock can't have on both sides of UTC are none."""
    try:
        found = date.fromisoformat(given) if len(given) == len("2026-01-31") else None
    except ValueError:
        found = None
    if found is None or not 1971 <= found.year <= 9000:
        raise InvalidRequest(f"'{name}' must be a day such as 2026-01-31.", param=name)
    return found


def choice(*names: str) -> Parser:
    """One of the names."""

    def parse(name: str, given: str) -> str:
        if given not in names:
            raise InvalidRequest(f"'{name}' must be one of: {', '.join(names)}.", param=name)
        return given

    return parse


def described(filters: Mapping[str, str], others: Mapping[str, str]) -> list[dict[str, Any]]:
    """The parameters as OpenAPI has them."""
    texts = {
        "start_date": "First day, such as 2026-01-31; required.",
        "end_date": "Last day, included; required.",
        "time_zone": "Whose days these are, such as Europe/Berlin; UTC by default.",
        **{
            name: f"Only of this {of.replace('_', ' ')}; several apart by commas."
            for name, of in filters.items()
        },
        **others,
    }
    return documented(texts, integers=("page", "page_size"))


def _several(parse: Callable[[str, str], str]) -> Parser:
    def parse_all(name: str, given: str) -> tuple[str, ...]:
        values = [value.strip() for value in given.split(",") if value.strip()]
        if len(values) > _MAX_VALUES:
            raise InvalidRequest(f"'{name}' takes at most {_MAX_VALUES} values.", param=name)
        return tuple(dict.fromkeys(parse(name, value) for value in values))

    return parse_all


def _identifier(prefix: str) -> Callable[[str, str], str]:
    def parse(name: str, given: str) -> str:
        value = parse_public_id(prefix, given)
        if value is None or value == NOBODY:
            raise InvalidRequest(f"'{name}' must be an id such as {prefix}_<32 hex digits>.", param=name)
        return value.hex

    return parse


def _one(name: str, given: str) -> tuple[str, ...]:
    return (text(name, given),)


_DAYS: Mapping[str, Parser] = {"start_date": day, "end_date": day, "time_zone": text}
_PARSERS: Mapping[str, Parser] = {
    "team": _several(_identifier("team")),
    "organization": _several(_identifier("org")),
    "key": _several(_identifier("key")),
    "user": _several(text),
    "model": _several(text),
    "agent": _several(text),
    "tag": _several(text),
    # A client's own text, which may have a comma.
    "end_user": _one,
    "upstream": _several(text),
}
