"""Sums of usage by whatever dimension and period: the one way on which pages, the API and reports get them.

It reads rollups only, in one statement, and takes the longest windows that make up each period; so days
and months of every time zone are exact, those of 23 and 25 hours too. End users and tags are kept by UTC
days: for them a range, and its periods, must consist of whole ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connection, models

from gateway_project.core.errors import InvalidRequest
from usage_app.models import DailyEndUserRollup, DailyTagRollup
from usage_app.models.rollup import NOBODY
from usage_app.services import rollup_sql as sql
from usage_app.services.periods import UNITS, Period, periods, spans, time_zone
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
_NO_ID = NOBODY.hex
_FETCHED = 4000
# The periods that a window counts for, each with its sign.
_Shares = tuple[tuple[int, int], ...]


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


ALL_SUMS = UsageRow._fields[1:]
_ZEROS = (0,) * len(ALL_SUMS)


@dataclass(frozen=True, slots=True)
class UsageQuery:
    """What to sum up: from `start` up to `end`, both at quarter-hours and with an offset from UTC.

    `group_by` has names of `DIMENSIONS` and at most one of hour, day and month, which are those of the time
    zone. `filters` has the values that are wanted of a dimension: ids as 32 hex digits, "" for none. Rows
    come in the order of `group_by`, or as they are found: sorting is half of the work for long answers. With
    `limit` only so many come: those that cost most, the dearest first.
    `sums` are those that are wanted, for each costs something; the others stay 0.
    """

    start: datetime
    end: datetime
    time_zone: str = "UTC"
    group_by: tuple[str, ...] = ()
    filters: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    limit: int | None = None
    sums: tuple[str, ...] = ALL_SUMS
    is_sorted: bool = True


# What the tables call otherwise than rows do.
_SUM_COLUMNS = {"cost_nano": "cost"}
_SIGNED_SUM = "CAST(SUM(shares.sign * found.{}) AS bigint)"


def usage_sums(query: UsageQuery) -> Iterator[UsageRow]:
    """The sums of each group that used something; without `group_by`, exactly one row.

    Rows come from the database as they are read. InvalidRequest, at once, for a question without an answer.
    """
    unit = _unit(query)
    parts = periods(query.start, query.end, time_zone(query.time_zone), unit)
    statement = _Statement(query, unit, parts)
    return _rows(query, unit, parts, statement)


def usage_values(query: UsageQuery) -> Iterator[list[Any]]:
    """As `usage_sums`, for answers of tens of thousands of rows: the group's values, then those of `sums`.

    `group_by` has one dimension at least.
    """
    unit = _unit(query)
    parts = periods(query.start, query.end, time_zone(query.time_zone), unit)
    statement = _Statement(query, unit, parts)
    return iter(()) if statement.is_empty else _values(query, unit, parts, statement)


def usage_sums_by(query: UsageQuery, *groupings: tuple[str, ...]) -> Iterator[tuple[int, UsageRow]]:
    """The sums of several groupings, read once: which one's, in no order, and the row.

    `query.group_by` is not looked at. Each grouping has one dimension at least.
    """
    names = tuple(dict.fromkeys(name for group_by in groupings for name in group_by))
    query = replace(query, group_by=names, limit=None)
    unit = _unit(query)
    parts = periods(query.start, query.end, time_zone(query.time_zone), unit)
    different = tuple(dict.fromkeys(groupings))
    for place, row in _numbered_rows(query, different, unit, parts):
        for number, group_by in enumerate(groupings):
            if group_by == different[place]:
                yield number, row


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
    """The SQL of a query and its parameters.

    Windows that count for the same periods are a class. Each window is read once and summed up with those of
    its class; then the periods are made of their classes. A window that one day has and its neighbour must
    not have, because it lies between their midnight and UTC's, is so read once for both.
    """

    def __init__(self, query: UsageQuery, unit: str, parts: list[Period]) -> None:
        self.parameters: list[Any] = []
        self._query = query
        self._unit = unit
        self._name = next((name for name in (*query.group_by, *query.filters) if name in _NAMES), "")
        self._kept = [name for name in query.group_by if name != unit]
        self._sums = [_SUM_COLUMNS.get(name, name) for name in query.sums]
        windows = self._windows(parts)
        self.is_empty = not windows
        if self.is_empty:
            return
        classes = _classes(shares for found in windows.values() for shares in found.values())
        self._is_plain = all(number == shares[0][0] for shares, number in classes.items())
        # What is found of one table needs not be added up once more.
        self._is_whole = self._is_plain and len(windows) == 1
        self._ctes = [self._window_cte(table, found, classes) for table, found in windows.items()]
        self._sources = [self._source(table) for table in windows]
        self._shares = [] if self._is_plain else [self._share_cte(classes)]

    def one(self) -> str:
        """The statement for the query's own grouping: each table's sums, and what they make together."""
        query = self._query
        keys = ", ".join(["found.class", *map(self._place, self._kept)])
        sources = [self._summed(keys, f"({source}) AS found") for source in self._sources]
        wanted = [self._column(name) for name in query.group_by]
        shown = [f"CAST({column} AS text)" if column.endswith("_id") else column for column in wanted]
        if self._is_whole and wanted:
            statement = f"SELECT {', '.join([*shown, *self._sums])} FROM found WHERE {self._is_used('{}')}"  # noqa: S608
        else:
            statement = self._select(wanted, shown, "found")
        statement = self._with("found", sources) + statement
        if query.limit is not None:
            order = ["cost DESC", "requests DESC", *wanted]
            return f"{statement} ORDER BY {', '.join(order)} LIMIT {int(query.limit)}"
        return f"{statement} ORDER BY {', '.join(wanted)}" if wanted and query.is_sorted else statement

    def several(self, groupings: tuple[tuple[str, ...], ...]) -> str:
        """The statement for several: the grouping's number, as many texts as the longest has, the sums.

        The tables are read once, and summed up for each: to sum up for all first would be dearer, as most
        groups of all dimensions have but one row in each window.
        """
        longest = max(map(len, groupings))
        selects = []
        for number, group_by in enumerate(groupings):
            keys = ", ".join(["found.class", *(self._place(name) for name in group_by if name != self._unit)])
            source = "rows_read AS found"
            if not self._is_plain:
                source = f"({self._summed(keys, source)}) AS found"
            wanted = [self._column(name) for name in group_by]
            texts = [f"CAST({column} AS text)" for column in wanted] + ["''"] * (longest - len(wanted))
            selects.append(self._select(wanted, [str(number), *texts], source))
        return self._with("rows_read", self._sources) + " UNION ALL ".join(selects)

    def _with(self, name: str, sources: list[str]) -> str:
        ctes = [*self._ctes, f"{name} AS MATERIALIZED ({' UNION ALL '.join(sources)})", *self._shares]
        return f"WITH {', '.join(ctes)} "

    def _summed(self, keys: str, source: str) -> str:
        # As what they are sums of: PostgreSQL's sums are decimals, slow to sum up again and to read.
        sums = ", ".join(f"CAST(SUM(found.{name}) AS bigint) AS {name}" for name in self._sums)
        return f"SELECT {keys}, {sums} FROM {source} GROUP BY {keys}"  # noqa: S608  (names of ours)

    def _select(self, wanted: list[str], shown: list[str], source: str) -> str:
        value = "CAST(SUM(found.{}) AS bigint)" if self._is_plain else _SIGNED_SUM
        totals = ", ".join(f"{value.format(name)} AS {name}" for name in self._sums)
        statement = f"SELECT {', '.join([*shown, totals])} FROM {source}"  # noqa: S608  (names of ours)
        if not self._is_plain:
            statement += " JOIN shares ON shares.class = found.class"
        if not wanted:
            return statement
        return f"{statement} GROUP BY {', '.join(wanted)} HAVING {self._is_used(value)}"

    def _is_used(self, value: str) -> str:
        """What was taken away again as a whole was used by nobody."""
        return " OR ".join(f"{value.format(name)} <> 0" for name in self._sums)

    def _column(self, name: str) -> str:
        if name == self._unit:
            return "found.class" if self._is_plain else "shares.period"
        return self._place(name)

    def _place(self, name: str) -> str:
        return "found.name" if name in _NAMES else f"found.{_COLUMNS[name]}"

    def _windows(self, parts: list[Period]) -> dict[str, dict[datetime, _Shares]]:
        """By table, for each window the periods that it counts for."""
        found: dict[str, dict[datetime, list[tuple[int, int]]]] = {}
        for number, period in enumerate(parts):
            for span in spans(period.start, period.end):
                windows = found.setdefault(self._table(span.width), {})
                for at in span.windows():
                    windows.setdefault(at, []).append((number, span.sign))
        return {
            table: {at: tuple(shares) for at, shares in windows.items()} for table, windows in found.items()
        }

    def _table(self, width: timedelta) -> str:
        if not self._name:
            return USAGE[width]._meta.db_table
        if width != DAY:
            raise InvalidRequest(
                "Usage by end user and by tag is kept by UTC days: ask for whole ones, in the time zone UTC.",
                param="time_zone",
            )
        return _NAMES[self._name]._meta.db_table

    def _window_cte(self, table: str, windows: dict[datetime, _Shares], classes: dict[_Shares, int]) -> str:
        """The table's windows one by one: equal ones are found by index or hash, ranges by neither."""
        for at, shares in windows.items():
            self.parameters += [classes[shares], sql.moment(at)]
        moment = "CAST(%s AS timestamptz)" if connection.vendor == "postgresql" else "%s"
        values = ", ".join([f"(%s, {moment})"] * len(windows))
        return f"{table}_windows(class, start) AS (VALUES {values})"

    def _share_cte(self, classes: dict[_Shares, int]) -> str:
        rows = [(number, *share) for shares, number in classes.items() for share in shares]
        self.parameters += [value for row in rows for value in row]
        return f"shares(class, period, sign) AS (VALUES {', '.join(['(%s, %s, %s)'] * len(rows))})"

    def _source(self, table: str) -> str:
        """A table's rows with their classes."""
        columns = [f"{table}_windows.class AS class"]
        for name in self._kept:
            place = f"{table}.{name} AS name" if name in _NAMES else f"{sql.GROUPS}.{_COLUMNS[name]}"
            columns.append(place)
        columns += [f"{table}.{name}" for name in self._sums]
        return (
            f"SELECT {', '.join(columns)} FROM {table}_windows "  # noqa: S608
            f"JOIN {table} ON {table}.window_start = {table}_windows.start{self._condition(table)}"
        )

    def _condition(self, table: str) -> str:
        """What narrows a table's rows, and the join of their groups if anybody asks for them."""
        names, groups = "", []
        for name, values in self._query.filters.items():
            if name in _NAMES:
                names += f" AND {table}.{name} IN ({_marks(values)})"
                self.parameters += values
        for name, values in self._query.filters.items():
            if name not in _NAMES:
                groups.append(f" AND {sql.GROUPS}.{_COLUMNS[name]} IN ({_marks(values)})")
                self.parameters += [_stored(name, value) for value in values]
        if not groups and not _COLUMNS.keys() & set(self._kept):
            return names
        return f"{names} JOIN {sql.GROUPS} ON {sql.GROUPS}.id = {table}.group_id{''.join(groups)}"


def _classes(all_shares: Iterable[_Shares]) -> dict[_Shares, int]:
    """A number for each class; if each is of one period and only added to it, that period's."""
    found = dict.fromkeys(all_shares)
    if all(len(shares) == 1 and shares[0][1] == 1 for shares in found):
        return {shares: shares[0][0] for shares in found}
    # Never a period's own number: `_is_plain` would take it for one.
    return {shares: -number for number, shares in enumerate(found, 1)}


def _marks(values: tuple[str, ...]) -> str:
    return ", ".join(["%s"] * len(values)) or "NULL"


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
            yield UsageRow((), *(0 for _ in ALL_SUMS))
        return
    reader = _Reader(query, query.group_by, unit, parts)
    for row in _fetched(statement.one(), statement.parameters):
        yield reader.row(row[:count], row[count:])


def _values(query: UsageQuery, unit: str, parts: list[Period], statement: _Statement) -> Iterator[list[Any]]:
    labels = [part.label for part in parts]
    texts: list[tuple[int, Callable[[Any], str]]] = [
        (place, labels.__getitem__ if name == unit else _id_text)
        for place, name in enumerate(query.group_by)
        if name == unit or name in _IDS
    ]
    for row in _fetched(statement.one(), statement.parameters):
        values = [*row]
        for place, text in texts:
            values[place] = text(values[place])
        yield values


def _numbered_rows(
    query: UsageQuery, groupings: tuple[tuple[str, ...], ...], unit: str, parts: list[Period]
) -> Iterator[tuple[int, UsageRow]]:
    statement = _Statement(query, unit, parts)
    if statement.is_empty:
        return
    readers = [_Reader(query, group_by, unit, parts) for group_by in groupings]
    first_sum = 1 + max(map(len, groupings))
    for row in _fetched(statement.several(groupings), statement.parameters):
        yield row[0], readers[row[0]].row(row[1:], row[first_sum:])


def _fetched(statement: str, parameters: list[Any]) -> Iterator[tuple[Any, ...]]:
    """The rows, by a cursor of the server's: what a report of a year needs here does not grow with them."""
    with connection.chunked_cursor() as cursor:
        cursor.execute(statement, parameters)
        while rows := cursor.fetchmany(_FETCHED):
            yield from rows


class _Reader:
    """Makes rows of what the database found for a grouping. There are tens of thousands of a large report."""

    def __init__(self, query: UsageQuery, group_by: tuple[str, ...], unit: str, parts: list[Period]) -> None:
        self._labels = [part.label for part in parts]
        self._texts: list[Callable[[Any], str]] = [
            self._label if name == unit else _id_text if name in _IDS else str for name in group_by
        ]
        self._places = [UsageRow._fields.index(name) for name in query.sums]

    def row(self, values: tuple[Any, ...], sums: tuple[Any, ...]) -> UsageRow:
        """The row; of nothing at all the database's sums are NULL."""
        group = tuple([text(value) for text, value in zip(self._texts, values, strict=False)])
        fields: list[Any] = [group, *_ZEROS]
        for place, value in zip(self._places, sums, strict=True):
            fields[place] = value or 0
        return UsageRow._make(fields)

    def _label(self, number: Any) -> str:
        return self._labels[int(number)]


@lru_cache(maxsize=4096)
def _id_text(value: str) -> str:
    """An id as 32 hex digits, "" for none; SQLite stores it like that, PostgreSQL shows it with dashes."""
    digits = value.replace("-", "")
    return "" if digits == _NO_ID else digits
