"""What was used day by day, by whom and of what: LiteLLM's `daily/activity`, and its export.

One path for all of it, `usage_sums`: totals are those of the whole range whatever page is asked for.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from gateway_project.core.money import from_nano
from usage_app.services.exports.names import RowNames
from usage_app.services.exports.texts import harmless
from usage_app.services.periods import DayRange
from usage_app.services.usage_sums import UsageQuery, UsageRow, usage_sums, usage_sums_by

Filters = Mapping[str, tuple[str, ...]]
_PREFIXES = {"team": "team", "organization": "org", "key": "key"}
_NOTHING = UsageRow((), *[0] * (len(UsageRow._fields) - 1))
_BREAKDOWN = {"model": "models", "upstream": "providers", "key": "api_keys"}
_FEWEST = "providers"
# Metrics by LiteLLM's names, and two that it lacks.
METRICS = (
    "spend",
    "prompt_tokens",
    "completion_tokens",
    "total_tokens",
    "cache_read_input_tokens",
    "cache_creation_input_tokens",
    "reasoning_tokens",
    "api_requests",
    "successful_requests",
    "failed_requests",
    "unpriced_requests",
)


@dataclass(frozen=True, slots=True)
class Asked:
    """A range of days, a dimension, and what is narrowed to."""

    days: DayRange
    dimension: str
    filters: Filters

    @property
    def adds_up(self) -> bool:
        """Whether sums of several may be added: a request may have more than one tag."""
        return self.dimension != "tag" or len(self.filters.get("tag", ())) == 1

    def query(self, *group_by: str, days: DayRange | None = None) -> UsageQuery:
        """The sums of these days."""
        days = days or self.days
        return UsageQuery(days.start, days.end, days.zone_name, group_by, self.filters)


def metrics(row: UsageRow) -> dict[str, Any]:
    """A row by LiteLLM's names."""
    values = (
        from_nano(row.cost_nano),
        row.input_tokens,
        row.output_tokens,
        row.input_tokens + row.output_tokens,
        row.cached_input_tokens,
        row.cache_write_tokens,
        row.reasoning_tokens,
        row.requests,
        row.requests - row.errors,
        row.errors,
        row.unpriced,
    )
    return dict(zip(METRICS, values, strict=True))


def shown(dimension: str, value: str) -> str:
    """A value of a dimension as clients know it: public ids; "" for none."""
    prefix = _PREFIXES.get(dimension)
    return f"{prefix}_{value}" if prefix and value else value


def activity(asked: Asked, *, page: int, page_size: int) -> dict[str, Any]:
    """A page of days, the newest first, and the sums of the whole range."""
    days = asked.days.days()[::-1]
    chosen = days[(page - 1) * page_size : page * page_size]
    found = _by_day(asked, DayRange(chosen[-1], chosen[0], asked.days.zone_name)) if chosen else {}
    pages = -(-len(days) // page_size)
    # The days of the only page are all there are: nobody needs to ask for their sums once more.
    totals = _added_up(found.values(), asked) if pages == 1 else _totals(asked)
    return {
        "results": [found.get(day.isoformat()) or _day(day.isoformat(), asked) for day in chosen],
        "metadata": {
            **totals,
            "page": page,
            "page_size": page_size,
            "total_pages": pages,
            "has_more": page < pages,
            "time_zone": asked.days.zone_name,
        },
    }


def _by_day(asked: Asked, days: DayRange) -> dict[str, dict[str, Any]]:
    parts = {"entities": asked.dimension}
    groupings: list[tuple[str, ...]] = [("day", asked.dimension)]
    if asked.adds_up:
        parts |= {title: name for name, title in _BREAKDOWN.items()}
        groupings += [("day", name) for name in _BREAKDOWN]
    titles = list(parts)
    names = RowNames()
    found: dict[str, dict[str, Any]] = {}
    for number, row in usage_sums_by(asked.query(days=days), *groupings):
        day = row.group[0]
        entry = found.get(day)
        if entry is None:
            entry = found[day] = _day(day, asked)
        of, value = parts[titles[number]], row.group[1]
        if titles[number] == _FEWEST:
            # What all of them used is what was used that day: the database needs not sum it up once more.
            entry["metrics"] = {name: entry["metrics"][name] + more for name, more in metrics(row).items()}
        metadata = {"alias": names.name(of, value)} if of in _PREFIXES else {}
        entry["breakdown"][titles[number]][shown(of, value)] = {"metrics": metrics(row), "metadata": metadata}
    return found


def _day(name: str, asked: Asked) -> dict[str, Any]:
    """A day without usage; `metrics` is null where sums of several tags would have to be added."""
    breakdown: dict[str, dict[str, Any]] = {title: {} for title in (*_BREAKDOWN.values(), "entities")}
    whole = metrics(_NOTHING) if asked.adds_up else None
    return {"date": name, "metrics": whole, "breakdown": breakdown}


def _totals(asked: Asked) -> dict[str, Any]:
    if not asked.adds_up:
        return {f"total_{name}": None for name in METRICS}
    (row,) = usage_sums(asked.query())
    return {f"total_{name}": value for name, value in metrics(row).items()}


def _added_up(days: Iterable[Mapping[str, Any]], asked: Asked) -> dict[str, Any]:
    if not asked.adds_up:
        return _totals(asked)
    totals = {f"total_{name}": value for name, value in metrics(_NOTHING).items()}
    for day in days:
        for name, value in day["metrics"].items():
            totals[f"total_{name}"] += value
    return totals


EXPORTS = {
    "daily": "",
    "daily_with_keys": "key",
    "daily_with_models": "model",
    "daily_with_users": "user",
}


def export_columns(dimension: str, export_type: str) -> list[str]:
    """The columns of an export: the day, who, and the metrics."""
    columns = ["date"]
    for name in _dimensions(dimension, export_type):
        columns += [name, f"{name}_name"] if name in _PREFIXES else [name]
    return [*columns, *METRICS]


def check(asked: Asked, export_type: str) -> None:
    """InvalidRequest for an export that can't be made; nothing is read."""
    usage_sums(asked.query(*_dimensions(asked.dimension, export_type)))


def export_day(asked: Asked, export_type: str, day: date, names: RowNames) -> list[list[Any]]:
    """The rows of one day of an export."""
    dimensions = _dimensions(asked.dimension, export_type)
    rows = []
    for row in usage_sums(asked.query(*dimensions, days=DayRange(day, day, asked.days.zone_name))):
        cells: list[Any] = [day.isoformat()]
        for name, value in zip(dimensions, row.group, strict=True):
            cells.append(shown(name, value))
            if name in _PREFIXES:
                cells.append(names.name(name, value))
        rows.append([*cells, *metrics(row).values()])
    return rows


def csv_text(rows: Iterable[list[Any]]) -> str:
    """Lines of CSV that no spreadsheet takes for formulas."""
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    for row in rows:
        writer.writerow([harmless(cell) if isinstance(cell, str) else _plain(cell) for cell in row])
    return buffer.getvalue()


def json_texts(columns: list[str], rows: Iterable[list[Any]]) -> list[str]:
    """A JSON object for each row; money as decimal text."""
    return [json.dumps(dict(zip(columns, map(_plain, row), strict=True)), ensure_ascii=False) for row in rows]


def _plain(cell: Any) -> Any:
    return format(cell, "f") if isinstance(cell, Decimal) else cell


def _dimensions(dimension: str, export_type: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for name in (dimension, EXPORTS[export_type]) if name))
