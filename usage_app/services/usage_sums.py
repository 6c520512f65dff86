"""Sums of usage by whatever dimension and period: the one way on which pages, the API and reports get them.

It reads rollups only, in one statement, and takes the longest windows that make up each period; so days
and months of every time zone are exact, those of 23 and 25 hours too. End users and tags are kept by UTC
days: for them a range, and its periods, must consist of whole ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connection, models

from gateway_project.core.errors import InvalidRequest
from usage_app.models import DailyEndUserRollup, DailyTagRollup
from usage_app.models.rollup import NOBODY
from usage_app.services import rollup_sql as sql
from usage_app.services.periods import UNITS, Period, Span, periods, spans, time_zone
from usage_app.services.rollups import DAY, USAGE

# The columns of a group by the names that queries have for them.
_COLUMNS = {
    "organization": "organization_id",
    "team": "team_id",
    "key": "key_id",
    "user": "user_id",
    "model": "model",
    "upstream": "upstream",
    "upstream_model": "upstream_model",
    "agent": "agent",
    "state": "state",
}
_IDS = ("organization", "team", "key")
_NAMES: dict[str, type[models.Model]] = {"end_user": DailyEndUserRollup, "tag": DailyTagRollup}
DIMENSIONS = (*_COLUMNS, *_NAMES)
_FETCHED = 1000


@dataclass(frozen=True, slots=True)
class UsageQuery:
    """What to sum up: from `start` up to `end`, both at quarter-hours and with an offset from UTC.

    `group_by` has names of `DIMENSIONS` and at most one of hour, day and month, which are those of the time
    zone. `filters` has the values that are wanted of a dimension: ids as 32 hex digits, "" for none. Rows
    come in the order of `group_by`; with `limit` only so many come: those that cost most, the dearest first.
    """

    start: datetime
    end: datetime
    time_zone: str = "UTC"
    group_by: tuple[str, ...] = ()
    filters: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    limit: int | None = None


class UsageRow(NamedTuple):
    """The sums of one group, whose values are in the order of `group_by`; an id is 32 hex digits, or ""."""

    group: tuple[str, ...]
    requests: int
    errors: int
    input_tokens: int
    output_tokens: int
    cached_input_tokens: int
    reasoning_tokens: int
    cost_nano: int
    unpriced: int
    cache_write_tokens: int = 0


_SUMS = tuple({"cost_nano": "cost"}.get(name, name) for name in UsageRow._fields[1:])


def usage_sums(query: UsageQuery) -> Iterator[UsageRow]:
    """The sums of each group that used something; without `group_by`, exactly one row.

    Rows come from the database as they are read. InvalidRequest, at once, for a question without an answer.
    """
    unit = _unit(query)
    parts = periods(query.start, query.end, time_zone(query.time_zone), unit)
    statement = _Statement(query, unit, parts)
    return _rows(query, unit, parts, statement)


def usage_sums_by(query: UsageQuery, *groupings: tuple[str, ...]) -> Iterator[tuple[int, UsageRow]]:
    """The sums of several groupings, read once: which one's, in no order, and the row.

    `query.group_by` is not looked at. Each grouping has one dimension at least.
    """
    names = tuple(dict.fromkeys(name for group_by in groupings for name in group_by))
    query = replace(query, group_by=names, limit=None)
    unit = _unit(query)
    parts = periods(query.start, query.end, time_zone(query.time_zone), unit)
    return _numbered_rows(groupings, unit, parts, _Statement(query, unit, parts))


def _unit(query: UsageQuery) -> str:
    """The period that is asked for; also checks the other names."""
    for name in (*query.group_by, *query.filters):
        if name not in DIMENSIONS and not (name in UNITS and name in query.group_by):
            raise InvalidRequest(f"Usage is not kept by '{name[:64]}'.", param="group_by")
    units = [name for name in query.group_by if name in UNITS]
    names = {name for name in (*query.group_by, *query.filters) if name in _NAMES}
    if len(units) > 1 or len(set(query.group_by)) < len(query.group_by):
        raise InvalidRequest("Group by each dimension once, and by one period.", param="group_by")
    if len(names) > 1:
        raise InvalidRequest("Usage is kept by end user and by tag, not by both.", param="group_by")
    if "tag" not in query.group_by and len(query.filters.get("tag", ())) > 1:
        raise InvalidRequest("A request may have several tags: ask for one, or group by tag.", param="tag")
    return units[0] if units else ""


class _Statement:
    """The SQL of a query and its parameters."""

    def __init__(self, query: UsageQuery, unit: str, parts: list[Period]) -> None:
        self.parameters: list[Any] = []
        self._query = query
        self._unit = unit
        self._name = next((name for name in (*query.group_by, *query.filters) if name in _NAMES), "")
        self._spans = self._spans_by_table(parts)
        self.is_empty = not self._spans
        if self.is_empty:
            return
        ctes = ", ".join(self._cte(table) for table in self._spans)
        sources = " UNION ALL ".join(self._source(table) for table in self._spans)
        # S608: only names of ours are put into the statement, values never.
        self._found = f"WITH {ctes}, found AS MATERIALIZED ({sources}) "

    def one(self) -> str:
        """The statement for the query's own grouping."""
        query = self._query
        wanted = [self._column(name) for name in query.group_by]
        statement = self._found + self._select(wanted)
        if query.limit is not None:
            order = ["SUM(found.cost) DESC", "SUM(found.requests) DESC", *wanted]
            return f"{statement} ORDER BY {', '.join(order)} LIMIT {int(query.limit)}"
        return f"{statement} ORDER BY {', '.join(wanted)}" if wanted else statement

    def several(self, groupings: tuple[tuple[str, ...], ...]) -> str:
        """The statement for several: the grouping's number, as many texts as the longest has, the sums."""
        longest = max(map(len, groupings))
        selects = []
        for number, group_by in enumerate(groupings):
            wanted = [self._column(name) for name in group_by]
            texts = [f"CAST({column} AS text)" for column in wanted] + ["''"] * (longest - len(wanted))
            selects.append(self._select(wanted, shown=[str(number), *texts]))
        return self._found + " UNION ALL ".join(selects)

    def _select(self, wanted: list[str], *, shown: list[str] | None = None) -> str:
        totals = ", ".join(f"SUM(found.{name}) AS {name}" for name in _SUMS)
        statement = (
            f"SELECT {', '.join([*(shown or wanted), totals])} FROM found "  # noqa: S608
            f"JOIN {sql.GROUPS} ON {sql.GROUPS}.id = found.group_id"
        )
        if not wanted:
            return statement
        # What was taken away again as a whole was used by nobody.
        is_used = " OR ".join(f"SUM(found.{name}) <> 0" for name in _SUMS)
        return f"{statement} GROUP BY {', '.join(wanted)} HAVING {is_used}"

    def _column(self, name: str) -> str:
        if name in _NAMES:
            return "found.name"
        return "found.period" if name == self._unit else f"{sql.GROUPS}.{_COLUMNS[name]}"

    def _spans_by_table(self, parts: list[Period]) -> dict[str, list[tuple[int, Span]]]:
        found: dict[str, list[tuple[int, Span]]] = {}
        for number, period in enumerate(parts):
            for span in spans(period.start, period.end):
                found.setdefault(self._table(span.width), []).append((number, span))
        return found

    def _table(self, width: timedelta) -> str:
        if not self._name:
            return USAGE[width]._meta.db_table
        if width != DAY:
            raise InvalidRequest(
                "Usage by end user and by tag is kept by UTC days: ask for whole ones, in the time zone UTC.",
                param="time_zone",
            )
        return _NAMES[self._name]._meta.db_table

    def _cte(self, table: str) -> str:
        """The table's windows one by one: equal ones are found by index or hash, ranges by neither."""
        rows = [(number, at, span.sign) for number, span in self._spans[table] for at in span.windows()]
        for number, at, sign in rows:
            self.parameters += [number, sql.moment(at), sign]
        moment = "CAST(%s AS timestamptz)" if connection.vendor == "postgresql" else "%s"
        values = ", ".join([f"(%s, {moment}, %s)"] * len(rows))
        return f"{table}_windows(period, start, sign) AS (VALUES {values})"

    def _source(self, table: str) -> str:
        keys = [f"{table}_windows.period AS period", f"{table}.group_id AS group_id"]
        columns = [f"{table}_windows.period", f"{table}.group_id"]
        if self._name in self._query.group_by:
            keys.append(f"{table}.{self._name} AS name")
            columns.append(f"{table}.{self._name}")
        sums = ", ".join(f"SUM({table}_windows.sign * {table}.{name}) AS {name}" for name in _SUMS)
        return (
            f"SELECT {', '.join(keys)}, {sums} FROM {table}_windows "  # noqa: S608
            f"JOIN {table} ON {table}.window_start = {table}_windows.start{self._condition(table)} "
            f"GROUP BY {', '.join(columns)}"
        )

    def _condition(self, table: str) -> str:
        conditions, groups = "", []
        for name, values in self._query.filters.items():
            marks = ", ".join(["%s"] * len(values)) or "NULL"
            if name in _NAMES:
                conditions += f" AND {table}.{name} IN ({marks})"
                self.parameters += values
        for name, values in self._query.filters.items():
            if name not in _NAMES:
                marks = ", ".join(["%s"] * len(values)) or "NULL"
                groups.append(f"{_COLUMNS[name]} IN ({marks})")
                self.parameters += [_stored(name, value) for value in values]
        if groups:
            wanted = " AND ".join(groups)
            conditions += f" AND {table}.group_id IN (SELECT id FROM {sql.GROUPS} WHERE {wanted})"  # noqa: S608
        return conditions


def _stored(name: str, value: str) -> Any:
    """A filter's value as the database has it."""
    if name not in _IDS:
        return value
    try:
        identifier = UUID(value) if value else NOBODY
    except ValueError:
        raise InvalidRequest(f"'{value[:64]}' is no id.", param=name) from None
    return identifier if connection.vendor == "postgresql" else identifier.hex


def _rows(query: UsageQuery, unit: str, parts: list[Period], statement: _Statement) -> Iterator[UsageRow]:
    count = len(query.group_by)
    if statement.is_empty:
        if not count:
            yield UsageRow((), *(0 for _ in _SUMS))
        return
    labels = [part.label for part in parts]
    for row in _fetched(statement.one(), statement.parameters):
        yield _row(query.group_by, unit, labels, row[:count], row[count:])


def _numbered_rows(
    groupings: tuple[tuple[str, ...], ...], unit: str, parts: list[Period], statement: _Statement
) -> Iterator[tuple[int, UsageRow]]:
    if statement.is_empty:
        return
    labels = [part.label for part in parts]
    first_sum = 1 + max(map(len, groupings))
    for row in _fetched(statement.several(groupings), statement.parameters):
        yield row[0], _row(groupings[row[0]], unit, labels, row[1:], row[first_sum:])


def _fetched(statement: str, parameters: list[Any]) -> Iterator[tuple[Any, ...]]:
    """The rows, by a cursor of the server's: what a report of a year needs here does not grow with them."""
    with connection.chunked_cursor() as cursor:
        cursor.execute(statement, parameters)
        while rows := cursor.fetchmany(_FETCHED):
            yield from rows


def _row(
    group_by: tuple[str, ...], unit: str, labels: list[str], values: tuple[Any, ...], sums: tuple[Any, ...]
) -> UsageRow:
    group = tuple(
        [
            labels[int(value)] if name == unit else _text(name, value)
            for name, value in zip(group_by, values, strict=False)
        ]
    )
    return UsageRow(group, *[int(value or 0) for value in sums])


def _text(name: str, value: Any) -> str:
    if name not in _IDS:
        return str(value)
    identifier = value if isinstance(value, UUID) else UUID(value)
    return "" if identifier == NOBODY else identifier.hex
