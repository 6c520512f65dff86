"""Millions of usage records on PostgreSQL, made by the database itself, and how fast pages over them are."""

from __future__ import annotations

import os
import statistics
import sys
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

from django.db import connection
from django.db.backends.utils import CursorWrapper
from django.test.utils import CaptureQueriesContext

from usage_app.models import UsageRecord
from usage_app.services import partitions

ROWS = int(os.environ.get("GATEWAY_TEST_LEDGER_ROWS", "10000000"))
DAYS = 31
WARM = int(os.environ.get("GATEWAY_TEST_WARM", "20"))
RECORDS = UsageRecord._meta.db_table
# Rows of one statement: so many are written in a transaction.
_BATCH = 500_000

# Spread evenly: 12 models, 40 keys of as many users in 8 teams of 2 organisations; 5000 end users in half of
# the requests, with a key each; tags in a third, agents in a tenth; errors in two of a hundred.
_FILL = f"""
INSERT INTO {RECORDS} (id, at, kind, operation, key_id, key_name, user_id, team_id, organization_id, end_user,
  agent, tags, model, route, upstream, upstream_model, status, error_code, state, is_stream, input_tokens,
  output_tokens, cached_input_tokens, cache_write_tokens, reasoning_tokens, input_audio_tokens,
  output_audio_tokens, cost, queue_ms, first_token_ms, total_ms, attempts, is_cached, correlation_id)
SELECT
  (lpad(to_hex(ms), 12, '0') || '70008' || lpad(to_hex(n), 15, '0'))::uuid,
  to_timestamp(ms / 1000.0), 'llm', 'chat',
  ('01900000-0000-7000-8000-' || lpad(to_hex(k), 12, '0'))::uuid, 'key ' || k, 'user-' || k,
  ('01900000-0000-7000-9000-' || lpad(to_hex(k %% 8), 12, '0'))::uuid,
  ('01900000-0000-7000-a000-' || lpad(to_hex(k %% 2), 12, '0'))::uuid,
  CASE WHEN n %% 2 = 0 THEN 'end-' || k || '-' || (n / 480) %% 125 ELSE '' END,
  CASE WHEN (n / 480) %% 10 = 0 THEN 'helper' ELSE '' END,
  CASE WHEN n %% 3 = 0 THEN ('["project-' || (n / 480) %% 20 || '", "all"]')::jsonb ELSE '[]'::jsonb END,
  'vendor-' || n %% 3 || '/model-' || n %% 12, '', 'vendor-' || n %% 3, 'model-' || n %% 12,
  CASE WHEN n %% 100 = 7 THEN 502 WHEN n %% 100 = 8 THEN 429 ELSE 200 END, '',
  CASE WHEN n %% 12 = 5 AND n %% 1000 < 20 THEN 'unpriced' ELSE 'reported' END,
  n %% 2 = 0, 100 + n %% 900, 20 + n %% 300, n %% 50, 0, 0, 0, 0,
  CASE WHEN n %% 12 = 5 AND n %% 1000 < 20 THEN NULL ELSE 1000000 + n %% 100000 END,
  1.5, 20, 50 + (n * 7919) %% 4000, 1, false, ''
FROM (SELECT n, (n / 12) %% 40 AS k, (%s + n * %s / %s)::bigint AS ms
  FROM generate_series(%s::bigint, %s) AS n) AS numbers
"""  # noqa: S608  (names of ours)


def fill(start: datetime, *, rows: int = ROWS, days: int = DAYS) -> None:
    """Records from `start` on, with the table's statistics as autovacuum would have made them."""
    started = perf_counter()
    end = start + timedelta(days=days)
    with connection.cursor() as cursor:
        for month in sorted({start.replace(day=1), end.replace(day=1)}):
            if month not in partitions._existing(cursor):
                cursor.execute("BEGIN")
                partitions._create(cursor, month)
                cursor.execute("COMMIT")
        first_ms = int(start.timestamp() * 1000)
        indexes = _take_indexes_away(cursor)
        for first in range(0, rows, _BATCH):
            last = min(first + _BATCH, rows) - 1
            cursor.execute(_FILL, [first_ms, days * 86_400_000, rows, first, last])
        cursor.execute("SET maintenance_work_mem = '512MB'")
        for statement in indexes:
            cursor.execute(statement)
        cursor.execute("RESET maintenance_work_mem")
        cursor.execute(f"VACUUM ANALYZE {RECORDS}")
    say(f"\n{rows:,} records in {perf_counter() - started:.0f} s")


def _take_indexes_away(cursor: CursorWrapper) -> list[str]:
    """Drop all but the primary key's, which grows at its end here; the statements that make them again.

    To build an index of what is there is several times cheaper than to add to it a record at a time.
    """
    cursor.execute(
        "SELECT indexname, indexdef FROM pg_indexes WHERE tablename = %s AND indexname NOT IN "
        "(SELECT conname FROM pg_constraint WHERE conrelid = to_regclass(%s))",
        [RECORDS, RECORDS],
    )
    found = cursor.fetchall()
    for name, _ in found:
        cursor.execute(f"DROP INDEX {name}")
    return [definition.replace(" ON ONLY ", " ON ") for _, definition in found]


def say(text: str) -> None:
    """For whoever watches the run with -s."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def measure(name: str, get: Callable[[], Any], limit_s: float, *, may_read_ledger: bool = False) -> list[str]:
    """Ask once to warm up, then 20 times; the name if it is too slow, or reads what it must not.

    A page of the ledger may read it, but never all of a month; what is made of rollups may not touch it.
    """
    cold = perf_counter()
    with CaptureQueriesContext(connection) as queries:
        response = get()
        assert response is None or response.status_code == 200, name
    cold = perf_counter() - cold
    times = []
    busy = _cpu_s()
    for _ in range(WARM):
        started = perf_counter()
        get()
        times.append(perf_counter() - started)
    busy = (_cpu_s() - busy) / WARM
    median = statistics.median(times)
    bad = [one["sql"] for one in queries if _reads_ledger(one["sql"], whole_only=may_read_ledger)]
    figures = ", ".join(
        f"{title} {seconds * 1000:.0f} ms"
        for title, seconds in (("cold", cold), ("median", median), ("worst", max(times)), ("CPU", busy))
    )
    say(f"{name}: {figures}{', READS THE LEDGER' if bad else ''}{', SLOW' if median > limit_s else ''}")
    return [name] if median > limit_s or bad else []


def _cpu_s() -> float:
    """Seconds of processor that this process and its database have used, however busy the machine is."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        (pid,) = cursor.fetchone()
    stat = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return process_time() + (int(stat[11]) + int(stat[12])) / os.sysconf("SC_CLK_TCK")


def _reads_ledger(sql: str, *, whole_only: bool) -> bool:
    """Whether PostgreSQL's plan for a query has a scan of the ledger, or only one from end to end."""
    text = sql.lstrip().upper()
    if not text.startswith(("SELECT", "WITH")):
        return False
    if whole_only and RECORDS not in sql:
        return False
    with connection.cursor() as cursor:
        cursor.execute("EXPLAIN (FORMAT JSON) " + sql.replace("%", "%%"), [])
        (plan,) = cursor.fetchone()
    scans = [node for node in _nodes(plan[0]["Plan"]) if node.get("Relation Name", "").startswith(RECORDS)]
    if whole_only:
        return any(node["Node Type"] == "Seq Scan" and node["Plan Rows"] > 1000 for node in scans)
    return bool(scans)


def _nodes(plan: dict[str, Any]) -> list[dict[str, Any]]:
    """A plan's node and all below it."""
    return [plan, *(node for child in plan.get("Plans", []) for node in _nodes(child))]
