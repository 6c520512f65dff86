"""One batch of rows into the database: records, and in the same transaction the counters that follow.

Storing a row again changes nothing, so a batch whose fate is unknown is simply stored once more.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

from django.db import connection, transaction
from django.db.backends.utils import CursorWrapper

from usage_app.models import KeyUse, SpendCounter, UsageRecord
from usage_app.services.lines import COLUMNS, Row

_RECORDS = UsageRecord._meta.db_table
_COUNTERS = SpendCounter._meta.db_table
_KEY_USE = KeyUse._meta.db_table
_INCOMING = "usage_incoming"
_NAMES = ", ".join(f'"{name}"' for name in COLUMNS)
# SQLite allows 32 766 parameters in a statement; more than a hundred rows at once gain nothing.
_ROWS_PER_STATEMENT = (100, 10, 1)

# S608: only names of ours are put into these statements, values never.
_CREATE_INCOMING = (
    f"CREATE TEMPORARY TABLE IF NOT EXISTS {_INCOMING} ON COMMIT DELETE ROWS "  # noqa: S608
    f"AS SELECT {_NAMES} FROM {_RECORDS} WITH NO DATA"
)
_COPY_INCOMING = f"COPY {_INCOMING} ({_NAMES}) FROM STDIN"
_MOVE_INCOMING = (
    f"INSERT INTO {_RECORDS} ({_NAMES}) SELECT {_NAMES} FROM {_INCOMING} ORDER BY id "  # noqa: S608
    "ON CONFLICT (id, at) DO NOTHING RETURNING id"
)
# For sqlite3's own cursor: Django's would search thousands of placeholders in each statement.
_INSERT_SQLITE = f"INSERT INTO {_RECORDS} ({_NAMES}) VALUES %s ON CONFLICT (id) DO NOTHING RETURNING id"  # noqa: S608
_UUID_COLUMNS = tuple(COLUMNS.index(name) for name in ("id", "parent_id", "key_id", "price_id"))
_AT_COLUMN = COLUMNS.index("at")
_SQLITE_ROW = "(" + ", ".join("?" * len(COLUMNS)) + ")"
_ADD_TO_COUNTERS = (
    f"INSERT INTO {_COUNTERS} "  # noqa: S608
    "(scope, scope_id, window_start, requests, input_tokens, output_tokens, cost) "
    "VALUES %s ON CONFLICT (scope, scope_id, window_start) DO UPDATE SET "
    + ", ".join(f"{name} = {_COUNTERS}.{name} + excluded.{name}" for name in ("requests", "input_tokens"))
    + ", "
    + ", ".join(f"{name} = {_COUNTERS}.{name} + excluded.{name}" for name in ("output_tokens", "cost"))
)
_ADD_TO_KEY_USE = (
    f"INSERT INTO {_KEY_USE} (key_id, last_used_at, requests, cost) VALUES %s "  # noqa: S608
    f"ON CONFLICT (key_id) DO UPDATE SET requests = {_KEY_USE}.requests + excluded.requests, "
    f"cost = {_KEY_USE}.cost + excluded.cost, last_used_at = CASE "
    f"WHEN excluded.last_used_at > {_KEY_USE}.last_used_at "
    f"THEN excluded.last_used_at ELSE {_KEY_USE}.last_used_at END"
)


def store(rows: Iterable[Row]) -> int:
    """Insert the rows that the ledger lacks and count them; how many were new.

    All or nothing; raises whatever the database says.
    """
    by_id = {row.id: row for row in rows}
    if not by_id:
        return 0
    insert = _insert_postgresql if connection.vendor == "postgresql" else _insert_sqlite
    with transaction.atomic(), connection.cursor() as cursor:
        new = [by_id[identifier] for identifier in insert(cursor, list(by_id.values()))]
        if new:
            _count(cursor, new)
    return len(new)


def _insert_postgresql(cursor: CursorWrapper, rows: Sequence[Row]) -> list[UUID]:
    cursor.execute(_CREATE_INCOMING)
    with connection.wrap_database_errors, cursor.copy(_COPY_INCOMING) as copy:
        for row in rows:
            copy.write_row(row)
    cursor.execute(_MOVE_INCOMING)
    new: list[UUID] = [identifier for (identifier,) in cursor.fetchall()]
    if connection.savepoint_ids:
        # Inside an outer transaction the commit that empties the table is still to come.
        cursor.execute(f"DELETE FROM {_INCOMING}")  # noqa: S608
    return new


def _insert_sqlite(cursor: CursorWrapper, rows: Sequence[Row]) -> list[UUID]:
    known = {row.id.hex: row.id for row in rows}
    new: list[UUID] = []
    with connection.wrap_database_errors:
        for chunk in _chunks(rows):
            values = [value for row in chunk for value in _sqlite_row(row)]
            statement = _INSERT_SQLITE % ", ".join([_SQLITE_ROW] * len(chunk))
            found = connection.connection.execute(statement, values).fetchall()
            new.extend(known[identifier] for (identifier,) in found)
    return new


def _sqlite_row(row: Row) -> tuple[Any, ...]:
    """The row as Django stores it there: UUIDs as 32 hex digits, the moment as naive UTC text."""
    values: list[Any] = list(row)
    for index in _UUID_COLUMNS:
        if values[index] is not None:
            values[index] = values[index].hex
    values[_AT_COLUMN] = str(row.at)[: -len("+00:00")]
    return tuple(values)


def _count(cursor: CursorWrapper, rows: Sequence[Row]) -> None:
    """Add to the counters, their rows in one order everywhere: two processes never wait for each other."""
    counters: dict[tuple[str, str, datetime], list[int]] = {}
    keys: dict[UUID, tuple[datetime, int, int]] = {}
    for (day, model, key_id), group in _groups(rows).items():
        last = max(row.at for row in group)
        sums = [
            len(group),
            sum(row.input_tokens for row in group),
            sum(row.output_tokens for row in group),
            sum(row.cost or 0 for row in group),
        ]
        scopes = [("model", model)]
        if key_id is not None:
            scopes.append(("key", key_id.hex))
            known, requests, spent = keys.get(key_id, (last, 0, 0))
            keys[key_id] = (max(known, last), requests + sums[0], spent + sums[3])
        for scope, scope_id in scopes:
            total = counters.setdefault((scope, scope_id, day), [0, 0, 0, 0])
            total[:] = [old + more for old, more in zip(total, sums, strict=True)]
    _upsert(cursor, _ADD_TO_COUNTERS, [(*key, *counters[key]) for key in sorted(counters)])
    _upsert(cursor, _ADD_TO_KEY_USE, [(key, *keys[key]) for key in sorted(keys)])


def _groups(rows: Sequence[Row]) -> dict[tuple[datetime, str, UUID | None], list[Row]]:
    """The rows by UTC day, model and key: most of a batch falls into a few groups."""
    groups: dict[tuple[date, str, UUID | None], list[Row]] = {}
    for row in rows:
        groups.setdefault((row.at.date(), row.model, row.key_id), []).append(row)
    return {
        (datetime.combine(day, datetime.min.time(), UTC), model, key_id): group
        for (day, model, key_id), group in groups.items()
    }


def _upsert(cursor: CursorWrapper, statement: str, rows: Sequence[tuple[Any, ...]]) -> None:
    is_sqlite = connection.vendor == "sqlite"
    for chunk in _chunks(rows):
        values = [_sqlite_value(value) if is_sqlite else value for row in chunk for value in row]
        cursor.execute(statement % _placeholders(len(chunk), len(chunk[0])), values)


def _chunks(rows: Sequence[Any]) -> Iterator[Sequence[Any]]:
    """The rows in portions of few sizes: the driver keeps each prepared statement, and one for every
    number of rows would add up to megabytes."""
    start = 0
    for size in _ROWS_PER_STATEMENT:
        while len(rows) - start >= size:
            yield rows[start : start + size]
            start += size
        if connection.vendor == "postgresql" and start < len(rows):
            # Its driver keeps no statement for each text: the rest goes as one.
            yield rows[start:]
            return


def _placeholders(rows: int, columns: int) -> str:
    row = "(" + ", ".join(["%s"] * columns) + ")"
    return ", ".join([row] * rows)


def _sqlite_value(value: Any) -> Any:
    """As Django stores it there: UUIDs as 32 hex digits, moments as naive UTC text."""
    if isinstance(value, UUID):
        return value.hex
    if isinstance(value, datetime):
        return str(value.astimezone(UTC).replace(tzinfo=None))
    return value
