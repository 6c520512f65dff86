"""One batch of lines into the database: records, and in the same transaction the counters that follow.

Storing a line again changes nothing, so a batch whose fate is unknown is simply stored once more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import chain
from typing import Any
from uuid import UUID

from django.db import connection, transaction
from django.db.backends.utils import CursorWrapper

from gateway_project.core.codec import dumps
from gateway_project.core.ids import uuid7_time
from usage_app.entry import TokenUsage
from usage_app.models import KeyUse, RollupWindow, SpendCounter, UsageRecord
from usage_app.services.lines import Line
from usage_app.services.sinks.event_log import note_events

_RECORDS = UsageRecord._meta.db_table
_COUNTERS = SpendCounter._meta.db_table
_KEY_USE = KeyUse._meta.db_table
_WINDOWS = RollupWindow._meta.db_table
_INCOMING = "usage_incoming"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECONDS_A_DAY = 86_400_000
_MILLISECONDS_A_WINDOW = 900_000
_RANDOM_BITS = (1 << 62) - 1
# Money in nano-dollars. `_values` has the same order.
COLUMNS = (
    "id",
    "at",
    "parent_id",
    "kind",
    "operation",
    "key_id",
    "key_name",
    "user_id",
    "team_id",
    "organization_id",
    "end_user",
    "agent",
    "tags",
    "model",
    "route",
    "upstream",
    "upstream_model",
    "status",
    "error_code",
    "state",
    "is_stream",
    "input_tokens",
    "output_tokens",
    "cached_input_tokens",
    "cache_write_tokens",
    "reasoning_tokens",
    "input_audio_tokens",
    "output_audio_tokens",
    "cost",
    "price_id",
    "queue_ms",
    "first_token_ms",
    "total_ms",
    "attempts",
    "is_cached",
    "correlation_id",
    "decision",
    "units",
    "service_tier",
)
# Counts of `TokenUsage` without a column, and what `units` calls them.
_UNITS = (
    ("cache_write_1h", "cache_write_1h_tokens"),
    ("input_image", "input_image_tokens"),
    ("output_image", "output_image_tokens"),
    ("images", "images"),
    ("characters", "characters"),
    ("audio_ms", "audio_ms"),
    ("search_units", "search_units"),
)
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
_NOTE_WINDOWS = (
    f"INSERT INTO {_WINDOWS} (window_start, mark) VALUES %s "  # noqa: S608
    "ON CONFLICT (window_start) DO UPDATE SET mark = excluded.mark"
)


def store(lines: Iterable[Line]) -> int:
    """Insert what the ledger lacks and count it; how many were new.

    All or nothing; raises whatever the database says.
    """
    by_id = {line.id.hex: line for line in lines}
    if not by_id:
        return 0
    insert = _insert_postgresql if connection.vendor == "postgresql" else _insert_sqlite
    with transaction.atomic(), connection.cursor() as cursor:
        new = [by_id[identifier] for identifier in insert(cursor, by_id)]
        if new:
            _count(cursor, new)
            _note_windows(cursor, new)
            note_events(line.id for line in new)
    return len(new)


def _insert_postgresql(cursor: CursorWrapper, lines: Mapping[str, Line]) -> list[str]:
    cursor.execute(_CREATE_INCOMING)
    with connection.wrap_database_errors, cursor.copy(_COPY_INCOMING) as copy:
        for line in lines.values():
            copy.write_row(_values(line, line.id, uuid7_time(line.id), lambda value: value))
    cursor.execute(_MOVE_INCOMING)
    new: list[str] = [identifier.hex for (identifier,) in cursor.fetchall()]
    if connection.savepoint_ids:
        # Inside an outer transaction the commit that empties the table is still to come.
        cursor.execute(f"DELETE FROM {_INCOMING}")  # noqa: S608
    return new


def _insert_sqlite(cursor: CursorWrapper, lines: Mapping[str, Line]) -> list[str]:
    rows = [_sqlite_values(identifier, line) for identifier, line in lines.items()]
    new: list[str] = []
    with connection.wrap_database_errors:
        for chunk in _chunks(rows):
            statement = _INSERT_SQLITE % ", ".join([_SQLITE_ROW] * len(chunk))
            found = connection.connection.execute(statement, list(chain.from_iterable(chunk))).fetchall()
            new.extend(identifier for (identifier,) in found)
    return new


def _sqlite_values(identifier: str, line: Line) -> tuple[Any, ...]:
    """As Django stores them there: UUIDs as 32 hex digits, the moment as naive UTC text."""
    seconds, milliseconds = divmod(line.id.int >> 80, 1000)
    moment = f"{_second(seconds)}.{milliseconds:03d}000" if milliseconds else _second(seconds)
    return _values(line, identifier, moment, _hex)


def _hex(value: UUID | None) -> str | None:
    return None if value is None else value.hex


@lru_cache(maxsize=64)
def _second(seconds: int) -> str:
    return str(datetime.fromtimestamp(seconds, UTC))[: -len("+00:00")]


def _values(
    line: Line, identifier: Any, at: Any, uuid_value: Callable[[UUID | None], Any]
) -> tuple[Any, ...]:
    """A row; `identifier`, `at` and what `uuid_value` makes of the other ids are as the driver takes them."""
    tokens = line.tokens
    return (
        identifier,
        at,
        uuid_value(line.parent_id),
        line.kind,
        line.operation,
        uuid_value(line.key_id),
        line.key_name,
        line.user_id,
        uuid_value(line.team_id),
        uuid_value(line.organization_id),
        line.end_user,
        line.agent,
        dumps(line.tags).decode() if line.tags else "[]",
        line.model,
        line.route,
        line.upstream,
        line.upstream_model,
        line.status,
        line.error_code,
        line.state,
        line.is_stream,
        tokens.input,
        tokens.output,
        tokens.cached_input,
        tokens.cache_write,
        tokens.reasoning,
        tokens.input_audio,
        tokens.output_audio,
        line.cost_nano,
        uuid_value(line.price_id),
        line.queue_ms or 0.0,
        line.first_token_ms,
        line.total_ms or 0.0,
        line.attempts,
        line.is_cached,
        line.correlation_id,
        None if line.decision is None else dumps(line.decision).decode(),
        _units(tokens),
        line.service_tier,
    )


def _units(tokens: TokenUsage) -> str | None:
    """What has no column of its own, as JSON; few calls have any of it."""
    used = {name: count for field, name in _UNITS if (count := getattr(tokens, field))}
    return dumps(used).decode() if used else None


def _count(cursor: CursorWrapper, lines: Sequence[Line]) -> None:
    """Add to the counters, their rows in one order everywhere: two processes never wait for each other."""
    counters: dict[tuple[str, str, datetime], list[int]] = {}
    keys: dict[UUID, tuple[datetime, int, int]] = {}
    for (day, model, key_id), group in _groups(lines).items():
        last = _EPOCH + timedelta(milliseconds=max(line.id.int for line in group) >> 80)
        sums = [
            # The calls of a run are no requests; `rollups` counts alike.
            sum(line.parent_id is None for line in group),
            sum(line.tokens.input for line in group),
            sum(line.tokens.output for line in group),
            sum(line.cost_nano or 0 for line in group),
        ]
        window = _EPOCH + timedelta(days=day)
        scopes = [("model", model)]
        if key_id is not None:
            scopes.append(("key", key_id.hex))
            known, requests, spent = keys.get(key_id, (last, 0, 0))
            keys[key_id] = (max(known, last), requests + sums[0], spent + sums[3])
        for scope, scope_id in scopes:
            total = counters.setdefault((scope, scope_id, window), [0, 0, 0, 0])
            total[:] = [old + more for old, more in zip(total, sums, strict=True)]
    _upsert(cursor, _ADD_TO_COUNTERS, [(*key, *counters[key]) for key in sorted(counters)])
    _upsert(cursor, _ADD_TO_KEY_USE, [(key, *keys[key]) for key in sorted(keys)])


def _note_windows(cursor: CursorWrapper, lines: Sequence[Line]) -> None:
    """Note which quarter-hours got records (`RollupWindow`), under a number that no other batch has."""
    mark = lines[-1].id.int & _RANDOM_BITS
    windows = {(line.id.int >> 80) // _MILLISECONDS_A_WINDOW for line in lines}
    starts = [_EPOCH + timedelta(milliseconds=window * _MILLISECONDS_A_WINDOW) for window in sorted(windows)]
    _upsert(cursor, _NOTE_WINDOWS, [(start, mark) for start in starts])


def _groups(lines: Sequence[Line]) -> dict[tuple[int, str, UUID | None], list[Line]]:
    """The lines by UTC day since 1970, model and key: most of a batch falls into a few groups."""
    groups: dict[tuple[int, str, UUID | None], list[Line]] = {}
    for line in lines:
        day = (line.id.int >> 80) // _MILLISECONDS_A_DAY
        groups.setdefault((day, line.model, line.key_id), []).append(line)
    return groups


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
