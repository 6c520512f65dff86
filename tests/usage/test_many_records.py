"""The long proof on PostgreSQL: with five million records pages stay fast, and none reads the whole ledger.

    GATEWAY_TEST_DATABASE=postgres python -m pytest -m soak -s tests/usage/test_many_records.py

prints the figures. GATEWAY_TEST_LEDGER_ROWS sets another number of records.
"""

from __future__ import annotations

import os
import statistics
import sys
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from time import perf_counter
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from pytest_django import Settings

from gateway_project.core.clock import utc_now
from security_app.services.configuration import store
from usage_app.models import HourlyUsageRollup, RollupWindow, UsageRecord, UsageRollup
from usage_app.services import partitions
from usage_app.services.reconciliation import differences
from usage_app.services.rollups import ALL_ROLLUPS, HOUR, floor, note_range, roll_up

ROWS = int(os.environ.get("GATEWAY_TEST_LEDGER_ROWS", "5000000"))
DAYS = 30
WARM = 20
DASHBOARD_S = 0.3
LIST_S = 0.5
RECORDS = UsageRecord._meta.db_table

pytestmark = [
    pytest.mark.soak,
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor != "postgresql", reason="the figures are for PostgreSQL"),
]

# Spread evenly over the days up to now: 12 models, 40 keys, one request in 100 an error, few unpriced.
FILL = f"""
INSERT INTO {RECORDS} (id, at, kind, operation, key_id, key_name, user_id, end_user, model, route, upstream,
  upstream_model, status, error_code, state, is_stream, input_tokens, output_tokens, cached_input_tokens,
  cache_write_tokens, reasoning_tokens, input_audio_tokens, output_audio_tokens, cost, queue_ms,
  first_token_ms, total_ms, attempts, is_cached, correlation_id)
SELECT
  (lpad(to_hex(ms), 12, '0') || '70008' || lpad(to_hex(n), 15, '0'))::uuid,
  to_timestamp(ms / 1000.0), 'llm', 'chat',
  ('01900000-0000-7000-8000-' || lpad(to_hex((n * 7) %% 40), 12, '0'))::uuid, 'key ' || (n * 7) %% 40, '', '',
  'vendor-' || n %% 3 || '/model-' || n %% 12, '', 'vendor-' || n %% 3, 'model-' || n %% 12,
  CASE WHEN n %% 100 = 7 THEN 502 WHEN n %% 100 = 8 THEN 429 ELSE 200 END, '',
  CASE WHEN n %% 12 = 5 AND n %% 1000 < 20 THEN 'unpriced' ELSE 'reported' END,
  n %% 2 = 0, 100 + n %% 900, 20 + n %% 300, n %% 50, 0, 0, 0, 0,
  CASE WHEN n %% 12 = 5 AND n %% 1000 < 20 THEN NULL ELSE 1000000 + n %% 100000 END,
  1.5, 20, 50 + (n * 7919) %% 4000, 1, false, ''
FROM (SELECT n, (%s + n * %s / %s)::bigint AS ms FROM generate_series(1::bigint, %s) AS n) AS numbers
"""  # noqa: S608  (names of ours)


def test_pages_stay_fast_with_five_million_records(admin_user: User, settings: Settings) -> None:
    settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
    fill()
    browser = Client()
    browser.force_login(admin_user)
    store.forget()
    api = Client(headers={"authorization": f"Bearer {settings.GATEWAY_MASTER_KEY}"})

    slow = []
    for name in ("1h", "6h", "24h", "7d", "30d"):
        slow += measure(f"dashboard {name}", partial(browser.get, "/admin/", {"range": name}), DASHBOARD_S)
    ledger = "/admin/usage_app/usagerecord/"
    for query in ("", "?period=month", "?outcome=server", "?outcome=left", "?state=aborted", "?p=200",
                  "?model=vendor-1%2Fmodel-1", "?q=key_01900000000070008000000000000001"):  # fmt: skip
        slow += measure(f"ledger list {query}", partial(browser.get, ledger + query, follow=True), LIST_S)
    for query in ("", "?limit=1000", "?model=vendor-1%2Fmodel-1", "?status=418"):
        slow += measure(f"GET /spend/logs{query}", partial(api.get, "/spend/logs" + query), LIST_S)

    assert slow == []


def fill() -> None:
    """Records and rollups, with the table's statistics as autovacuum would have made them."""
    now = utc_now()
    started = perf_counter()
    with connection.cursor() as cursor:
        for month in sorted({now.replace(day=1), (now - timedelta(days=DAYS)).replace(day=1)}):
            month = month.replace(hour=0, minute=0, second=0, microsecond=0)
            if month not in partitions._existing(cursor):
                cursor.execute("BEGIN")
                partitions._create(cursor, month)
                cursor.execute("COMMIT")
        first_ms = int((now - timedelta(days=DAYS)).timestamp() * 1000)
        cursor.execute(FILL, [first_ms, DAYS * 86_400_000, ROWS, ROWS])
        cursor.execute(f"VACUUM ANALYZE {RECORDS}")
    say(f"\n{ROWS:,} records in {perf_counter() - started:.0f} s")

    start, end = floor(now - timedelta(days=DAYS), HOUR), floor(now, HOUR) + HOUR
    started = perf_counter()
    windows = note_range(start, end)
    while roll_up():
        pass
    took = perf_counter() - started
    assert not RollupWindow.objects.exists()
    with connection.cursor() as cursor:
        for model in ALL_ROLLUPS:
            cursor.execute(f"VACUUM ANALYZE {model._meta.db_table}")
    say(
        f"{windows:,} quarter-hours rolled up in {took:.0f} s, {took / windows * 1000:.1f} ms each: "
        f"{UsageRollup.objects.count():,} rows, {HourlyUsageRollup.objects.count():,} by hour"
    )
    assert differences(start, end) == []


def say(text: str) -> None:
    """For whoever watches the run with -s."""
    sys.stdout.write(text + "\n")


def measure(name: str, get: Callable[[], Any], limit_s: float) -> list[str]:
    """Ask once to warm up, then 20 times; what is too slow or reads the ledger from end to end."""
    cold = perf_counter()
    with CaptureQueriesContext(connection) as queries:
        assert get().status_code == 200, name
    cold = perf_counter() - cold
    times = []
    for _ in range(WARM):
        started = perf_counter()
        get()
        times.append(perf_counter() - started)
    median = statistics.median(times)
    scans = [sql for sql in (one["sql"] for one in queries) if "SELECT" in sql and reads_whole_ledger(sql)]
    figures = ", ".join(
        f"{title} {seconds * 1000:.0f} ms"
        for title, seconds in (("cold", cold), ("median", median), ("worst", max(times)))
    )
    say(f"{name}: {figures}, scans {len(scans)}")
    return [name] if median > limit_s or scans else []


def reads_whole_ledger(sql: str) -> bool:
    """Whether PostgreSQL's plan for a query has a sequential scan over a filled partition."""
    if RECORDS not in sql or sql.startswith("EXPLAIN"):
        return False
    with connection.cursor() as cursor:
        cursor.execute("EXPLAIN (FORMAT JSON) " + sql.replace("%", "%%"), [])
        (plan,) = cursor.fetchone()
    return any(
        node["Node Type"] == "Seq Scan"
        and node["Relation Name"].startswith(RECORDS)
        and node["Plan Rows"] > 1000
        for node in nodes(plan[0]["Plan"])
    )


def nodes(plan: dict[str, Any]) -> list[dict[str, Any]]:
    """A plan's node and all below it."""
    return [plan, *(node for child in plan.get("Plans", []) for node in nodes(child))]
