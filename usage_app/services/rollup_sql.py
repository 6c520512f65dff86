"""The statements that sum up records, in one place: what counts as a request, an error, a group.

Both databases take them as they are, but for two expressions. Moments go in as `moment` makes them.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db import connection

from usage_app.models import UsageGroup, UsageRecord
from usage_app.models.rollup import DIMENSIONS

SUMS = (
    "requests",
    "errors",
    "unpriced",
    "input_tokens",
    "output_tokens",
    "cached_input_tokens",
    "cache_write_tokens",
    "reasoning_tokens",
    "cost",
)
RECORDS = UsageRecord._meta.db_table
GROUPS = UsageGroup._meta.db_table
# The calls of a run count with their tokens and costs; the request is the run's.
_COUNTS = {
    "requests": "parent_id IS NULL",
    "errors": "parent_id IS NULL AND status >= 400 AND status <> 499",
    "unpriced": "cost IS NULL AND (state = 'unpriced' OR input_tokens > 0 OR output_tokens > 0)",
}
IS_ANSWERED = "parent_id IS NULL AND status < 400"
_NO_ID = "'00000000000000000000000000000000'"
ID_COLUMNS = ("organization_id", "team_id", "key_id")
_IN_SPAN = "at >= %s AND at < %s"

# S608 below: only names of ours are put into the statements, values never.


def columns(prefix: str = "") -> str:
    """The columns of sums, as a list."""
    return ", ".join(f"{prefix}{name}" for name in SUMS)


def dimensions(prefix: str = "") -> str:
    """The columns of a group, as a list."""
    return ", ".join(f"{prefix}{name}" for name in DIMENSIONS)


def totals(prefix: str = "") -> str:
    """Sums of sums, each under its own name."""
    return ", ".join(f"SUM({prefix}{name}) AS {name}" for name in SUMS)


def moment(value: datetime) -> Any:
    """A moment as the database's driver takes it."""
    return connection.ops.adapt_datetimefield_value(value)


def grouped_records(*, of: str = "", source: str = RECORDS, where: str = _IN_SPAN) -> str:
    """The records of a span summed up by group; with `of`, an expression, by that as `name` too."""
    name = f"{of} AS name, " if of else ""
    count = len(DIMENSIONS) + bool(of)
    positions = ", ".join(str(number) for number in range(1, count + 1))
    return (
        f"SELECT {name}{_record_dimensions()}, {_record_sums()} "  # noqa: S608
        f"FROM {source} WHERE {where} GROUP BY {positions}"
    )


def add_groups() -> str:
    """Make the groups that a span's records need, in one order everywhere: nobody waits for each other."""
    found = f"SELECT DISTINCT {_record_dimensions()} FROM {RECORDS} WHERE {_IN_SPAN}"  # noqa: S608
    digested = f"SELECT {_digest('found')} AS digest, {dimensions()} FROM ({found}) AS found"  # noqa: S608
    return (
        f"INSERT INTO {GROUPS} (digest, {dimensions()}) "  # noqa: S608
        f"SELECT digest, {dimensions()} FROM ({digested}) AS wanted "
        f"WHERE digest NOT IN (SELECT digest FROM {GROUPS}) ORDER BY digest ON CONFLICT (digest) DO NOTHING"
    )


def sum_up_records(table: str) -> str:
    """Fill a span's quarter-hour: its start, then the span."""
    return (
        f"INSERT INTO {table} (window_start, group_id, {columns()}) "  # noqa: S608
        f"SELECT {_moment()}, {GROUPS}.id, {columns('found.')} FROM ({grouped_records()}) AS found "
        f"JOIN {GROUPS} ON {GROUPS}.digest = {_digest('found')}"
    )


def sum_up_names(table: str, name: str, grouped: str) -> str:
    """Fill a span's sums by a name that is no part of a group: its start, then the span."""
    return (
        f"INSERT INTO {table} (window_start, {name}, group_id, {columns()}) "  # noqa: S608
        f"SELECT {_moment()}, found.name, {GROUPS}.id, {columns('found.')} FROM ({grouped}) AS found "
        f"JOIN {GROUPS} ON {GROUPS}.digest = {_digest('found')}"
    )


def sum_up_rollups(table: str, source: str) -> str:
    """Fill a span from shorter ones: its start, then the span."""
    return (
        f"INSERT INTO {table} (window_start, group_id, {columns()}) "  # noqa: S608
        f"SELECT {_moment()}, group_id, {totals()} FROM {source} "
        "WHERE window_start >= %s AND window_start < %s GROUP BY group_id"
    )


def grouped_end_users() -> str:
    """The records of a span summed up by end user and group."""
    return grouped_records(of="end_user", where=f"{_IN_SPAN} AND end_user <> ''")


def grouped_tags() -> str:
    """The records of a span summed up by tag and group; a tag that a record has twice counts once."""
    if connection.vendor == "postgresql":
        each = "(SELECT DISTINCT substr(value, 1, 256) AS tag FROM jsonb_array_elements_text(tags) AS value)"
        return grouped_records(of="tag", source=f"{RECORDS} CROSS JOIN LATERAL {each} AS each_tag")
    twice = (
        f"SELECT 1 FROM json_each({RECORDS}.tags) AS other "  # noqa: S608
        "WHERE other.key < each_tag.key AND substr(other.value, 1, 256) = substr(each_tag.value, 1, 256)"
    )
    return grouped_records(
        of="substr(each_tag.value, 1, 256)",
        source=f"{RECORDS} JOIN json_each({RECORDS}.tags) AS each_tag",
        where=f"{_IN_SPAN} AND NOT EXISTS ({twice})",
    )


def _record_dimensions() -> str:
    """A record's group. Ids that it lacks are zeros, so that groups are compared without NULLs."""
    return ", ".join(
        f"COALESCE({name}, {_NO_ID}) AS {name}" if name in ID_COLUMNS else f"{RECORDS}.{name} AS {name}"
        for name in DIMENSIONS
    )


def _record_sums() -> str:
    counts = [f"COUNT(*) FILTER (WHERE {condition}) AS {name}" for name, condition in _COUNTS.items()]
    return ", ".join(counts + [f"COALESCE(SUM({name}), 0) AS {name}" for name in SUMS if name not in _COUNTS])


def _digest(source: str) -> str:
    """A group's SHA-256: each part after its length, so that no two groups read the same."""
    parts = [f"CAST({source}.{name} AS text)" for name in DIMENSIONS]
    text = " || ".join(f"length({part}) || ':' || {part}" for part in parts)
    if connection.vendor == "postgresql":
        return f"encode(sha256(convert_to({text}, 'UTF8')), 'hex')"
    return f"SHA256({text})"


def _moment() -> str:
    return "CAST(%s AS timestamptz)" if connection.vendor == "postgresql" else "%s"
