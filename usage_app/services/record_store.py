"""One batch of rows into the database: records, and in the same transaction the counters that follow.

Storing a row again changes nothing, so a batch whose fate is unknown is simply stored once more.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
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
_ROWS_PER_STATEMENT = 100

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
_INSERT_SQLITE = f"INSERT INTO {_RECORDS} ({_NAMES}) VALUES %s ON CONFLICT (id) DO NOTHING RETURNING id"  # noqa: S608
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
    new: list[UUID] = []
    for chunk in _chunks(rows):
        values = [_sqlite_value(value) for row in chunk for value in row]
        cursor.execute(_INSERT_SQLITE % _placeholders(len(chunk), len(COLUMNS)), values)
        new.extend(UUID(identifier) for (identifier,) in cursor.fetchall())
    return new


def _count(cursor: CursorWrapper, rows: Sequence[Row]) -> None:
    """Add to the counters, their rows in one order everywhere: two processes never wait for each other."""
    counters: dict[tuple[str, str, datetime], list[int]] = {}
    keys: dict[UUID, tuple[datetime, int, int]] = {}
    for row in rows:
        day = row.at.replace(hour=0, minute=0, second=0, microsecond=0)
        cost = row.cost or 0
        scopes = [("model", row.model)]
        if row.key_id is not None:
            scopes.append(("key", row.key_id.hex))
            last, requests, spent = keys.get(row.key_id, (row.at, 0, 0))
            keys[row.key_id] = (max(last, row.at), requests + 1, spent + cost)
        for scope, scope_id in scopes:
            sums = counters.setdefault((scope, scope_id, day), [0, 0, 0, 0])
            for index, amount in enumerate((1, row.input_tokens, row.output_tokens, cost)):
                sums[index] += amount
    _upsert(cursor, _ADD_TO_COUNTERS, [(*key, *counters[key]) for key in sorted(counters)])
    _upsert(cursor, _ADD_TO_KEY_USE, [(key, *keys[key]) for key in sorted(keys)])


def _upsert(cursor: CursorWrapper, statement: str, rows: Sequence[tuple[Any, ...]]) -> None:
    is_sqlite = connection.vendor == "sqlite"
    for chunk in _chunks(rows):
        values = [_sqlite_value(value) if is_sqlite else value for row in chunk for value in row]
        cursor.execute(statement % _placeholders(len(chunk), len(chunk[0])), values)


def _chunks(rows: Sequence[Any]) -> Iterator[Sequence[Any]]:
    for start in range(0, len(rows), _ROWS_PER_STATEMENT):
        yield rows[start : start + _ROWS_PER_STATEMENT]


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
