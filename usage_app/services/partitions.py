"""PostgreSQL only: the monthly partitions of the usage records. Every function does nothing on SQLite.

Months are UTC. The default partition takes what no month takes, so an insert never fails for want of one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime

from django.db import connection, transaction
from django.db.backends.utils import CursorWrapper

from gateway_project.core.clock import utc_now
from usage_app.models import UsageRecord

_TABLE = UsageRecord._meta.db_table
DEFAULT_PARTITION = f"{_TABLE}_default"
_NAME = re.compile(rf"^{_TABLE}_y(\d{{4}})m(\d{{2}})$")
# Any number will do, as long as only this work takes it.
_ADVISORY_LOCK = 7_361_002_117


def ensure_partitions(months_ahead: int = 2) -> list[str]:
    """Make the partitions of this month and of the next ones that are missing; their names.

    Rows of such a month that the default partition holds move over.
    """
    if connection.vendor != "postgresql":
        return []
    months = list(_months(utc_now(), months_ahead + 1))
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT relkind = 'p' FROM pg_class WHERE oid = to_regclass(%s)", [_TABLE])
        if cursor.fetchone() != (True,):
            return []  # Not migrated this far, or migrated back.
        if not _missing(cursor, months):
            return []
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_ADVISORY_LOCK])
        missing = _missing(cursor, months)
        for month in missing:
            _create(cursor, month)
        return [_name(month) for month in missing]


def drop_partitions_before(cutoff: datetime) -> list[str]:
    """Drop the partitions all of whose rows are older than `cutoff`; their names."""
    if connection.vendor != "postgresql":
        return []
    dropped = []
    with connection.cursor() as cursor:
        old = [month for month in _existing(cursor) if _next_month(month) <= cutoff]
        for month in sorted(old):
            with transaction.atomic():
                # Reports in progress hold it; the next day is early enough.
                cursor.execute("SET LOCAL lock_timeout = '5s'")
                cursor.execute(f"DROP TABLE IF EXISTS {_name(month)}")
            dropped.append(_name(month))
    return dropped


def _create(cursor: CursorWrapper, month: datetime) -> None:
    name = _name(month)
    bounds = [month, _next_month(month)]
    cursor.execute(f"CREATE TABLE {name} (LIKE {_TABLE} INCLUDING DEFAULTS INCLUDING CONSTRAINTS)")
    cursor.execute("SET LOCAL lock_timeout = '5s'")
    cursor.execute(f"LOCK TABLE {DEFAULT_PARTITION} IN ACCESS EXCLUSIVE MODE")
    cursor.execute(
        f"WITH moved AS (DELETE FROM {DEFAULT_PARTITION} WHERE at >= %s AND at < %s RETURNING *) "  # noqa: S608
        f"INSERT INTO {name} SELECT * FROM moved",
        bounds,
    )
    # DDL takes no parameters; these are our own timestamps.
    first, last = (moment.isoformat() for moment in bounds)
    cursor.execute(f"ALTER TABLE {_TABLE} ATTACH PARTITION {name} FOR VALUES FROM ('{first}') TO ('{last}')")


def _missing(cursor: CursorWrapper, months: list[datetime]) -> list[datetime]:
    existing = _existing(cursor)
    return [month for month in months if month not in existing]


def _existing(cursor: CursorWrapper) -> set[datetime]:
    cursor.execute(
        "SELECT child.relname FROM pg_inherits JOIN pg_class child ON child.oid = inhrelid "
        "WHERE inhparent = to_regclass(%s)",
        [_TABLE],
    )
    matches = (_NAME.match(name) for (name,) in cursor.fetchall())
    return {datetime(int(match[1]), int(match[2]), 1, tzinfo=UTC) for match in matches if match}


def _months(moment: datetime, count: int) -> Iterator[datetime]:
    month = moment.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    for _ in range(count):
        yield month
        month = _next_month(month)


def _next_month(month: datetime) -> datetime:
    return month.replace(year=month.year + month.month // 12, month=month.month % 12 + 1)


def _name(month: datetime) -> str:
    return f"{_TABLE}_y{month:%Y}m{month:%m}"
