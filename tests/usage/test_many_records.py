"""The long proof on PostgreSQL: with ten million records pages and reports stay fast, and none that is made
of rollups reads the ledger.

    GATEWAY_TEST_DATABASE=postgres python -m pytest -m soak -s tests/usage/test_many_records.py

prints the figures. GATEWAY_TEST_LEDGER_ROWS sets another number of records.
"""

from __future__ import annotations

import asyncio
import tracemalloc
from collections.abc import AsyncIterator, Iterator
from datetime import datetime, timedelta
from functools import partial
from time import perf_counter
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from pytest_django import Settings

from gateway_project.core.clock import utc_now
from security_app.services.configuration import store
from tests.usage.many_records import DAYS, fill, measure, say
from tests.usage.many_rows import grown_by
from usage_app.models import RollupWindow
from usage_app.services.reconciliation import differences
from usage_app.services.rollups import ALL_ROLLUPS, DAY, WINDOW, floor, note_range, roll_up, sum_up_days
from usage_app.services.usage_sums import UsageQuery, usage_sums

PAGE_S = 0.3
LIST_S = 0.5
DAY_S = 30
# What a file of a month may take more than one of three days: far less than its rows have bytes.
FLAT_MIB = 24
ENTITIES = ("team", "user", "organization", "agent", "model")
TEAM = "team_01900000000070009000000000000003"
ZONES = ("UTC", "Europe/Berlin", "Asia/Kolkata")

pytestmark = [
    pytest.mark.soak,
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor != "postgresql", reason="the figures are for PostgreSQL"),
]


@pytest.fixture
def _cache(settings: Settings) -> Iterator[None]:
    settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
    store.forget()
    yield
    store.forget()


@pytest.mark.usefixtures("_cache")
def test_pages_stay_fast_with_ten_million_records(admin_user: User, settings: Settings) -> None:
    start = floor(utc_now(), DAY) - (DAYS - 1) * DAY
    fill(start)
    sum_up(start)
    browser = Client()
    browser.force_login(admin_user)
    headers = {"authorization": f"Bearer {settings.GATEWAY_MASTER_KEY}"}

    slow = pages(browser) + lists(browser, Client(headers=headers))
    slow += reports(Client(headers=headers), start) + sums(start)

    assert is_export_flat(Client(headers=headers), start)
    few_days, month = (grown_by(start.date(), days) for days in (3, DAYS))
    assert month < few_days + FLAT_MIB
    assert slow == []


def sum_up(start: datetime) -> None:
    """All rollups; one day's first, by itself."""
    took = [_timed_day(start + 5 * DAY)]
    started = perf_counter()
    windows = note_range(start, start + DAYS * DAY)
    while roll_up():
        pass
    sum_up_days(at_once=True)
    seconds = perf_counter() - started
    assert not RollupWindow.objects.exists()
    with connection.cursor() as cursor:
        for model in ALL_ROLLUPS:
            cursor.execute(f"VACUUM ANALYZE {model._meta.db_table}")
    took.append(_timed_day(start + 6 * DAY))
    counts = ", ".join(f"{model._default_manager.count():,} {model.__name__}" for model in ALL_ROLLUPS)
    say(
        f"{windows:,} quarter-hours rolled up in {seconds:.0f} s; "
        f"a day in {took[0]:.1f} s, again in {took[1]:.1f} s"
    )
    say(counts)
    assert max(took) < DAY_S
    assert differences(start + 5 * DAY, start + 6 * DAY, zone_name="Asia/Kolkata") == []


def _timed_day(day: datetime) -> float:
    started = perf_counter()
    assert note_range(day, day + DAY) == DAY // WINDOW
    while roll_up():
        pass
    sum_up_days(at_once=True)
    return perf_counter() - started


def pages(browser: Client) -> list[str]:
    """The dashboard's ranges."""
    slow = []
    for name in ("1h", "6h", "24h", "7d", "30d"):
        slow += measure(f"dashboard {name}", partial(browser.get, "/admin/", {"range": name}), PAGE_S)
    return slow


def lists(browser: Client, api: Client) -> list[str]:
    """The ledger itself, by what its indexes serve."""
    slow = []
    ledger = "/admin/usage_app/usagerecord/"
    for query in ("", "?period=month", "?outcome=server", "?outcome=left", "?state=aborted", "?p=200",
                  "?model=vendor-1%2Fmodel-1", "?q=key_01900000000070008000000000000001"):  # fmt: skip
        get = partial(browser.get, ledger + query, follow=True)
        slow += measure(f"ledger list {query}", get, LIST_S, may_read_ledger=True)
    for query in ("", "?limit=1000", "?model=vendor-1%2Fmodel-1", "?status=418", "?user_id=user-7",
                  "?end_user=end-7-50", "?agent=helper", f"?team_id={TEAM}"):  # fmt: skip
        get = partial(api.get, "/spend/logs" + query)
        slow += measure(f"GET /spend/logs{query}", get, LIST_S, may_read_ledger=True)
    return slow


def reports(api: Client, start: datetime) -> list[str]:
    """What is asked over HTTP for the whole month."""
    month = f"start_date={start:%Y-%m-%d}&end_date={start + (DAYS - 1) * DAY:%Y-%m-%d}"
    key = "key_01900000000070008000000000000001"
    queries = [
        *(
            f"/{entity}/daily/activity?{month}"
            for entity in ("team", "user", "organization", "agent", "model")
        ),
        f"/key/daily/activity?{month}&time_zone=Europe/Berlin",
        f"/team/daily/activity?{month}&time_zone=Asia/Kolkata&team_ids={TEAM}",
        f"/tag/daily/activity?{month}",
        f"/tag/daily/activity?{month}&tags=project-3",
        f"/customer/daily/activity?{month}&end_user_ids=end-7-50",
        *(
            f"/global/spend/report?{month}&group_by={group}"
            for group in ("team", "api_key", "model", "agent")
        ),
        f"/global/spend/report?{month}&group_by=team&api_key={key}",
        f"/global/spend/report?{month}&group_by=customer&customer_id=end-7-50",
        f"/global/activity?{month}&time_zone=Europe/Berlin",
        f"/spend/logs?summarize=true&{month}",
    ]
    slow = []
    for query in queries:
        slow += measure(f"GET {query}", partial(api.get, query), PAGE_S)
    return slow


def sums(start: datetime) -> list[str]:
    """What reports are made of, for the whole month in three time zones."""
    slow = []
    for zone in ZONES:
        for group_by in (
            (),
            ("month", "team"),
            ("day",),
            ("day", "team"),
            ("day", "model"),
            ("key", "model"),
        ):
            query = UsageQuery(start, start + DAYS * DAY, zone, group_by)
            if zone == "Asia/Kolkata":
                half = timedelta(minutes=30)
                query = UsageQuery(start - half, start + DAYS * DAY - half, zone, group_by)
            slow += measure(f"sums {zone} {group_by}", partial(read, query), PAGE_S)
    return slow


def read(query: UsageQuery) -> None:
    """All rows."""
    for _ in usage_sums(query):
        pass


def is_export_flat(api: Client, start: datetime) -> bool:
    """Whether the export of a month takes no more memory than that of a few days."""
    peaks = []
    for days in (3, DAYS):
        last = start + (days - 1) * DAY
        path = (
            f"/customer/daily/activity/export?start_date={start:%Y-%m-%d}&end_date={last:%Y-%m-%d}"
            "&export_type=daily_with_models"
        )
        tracemalloc.start()
        started = perf_counter()
        response: Any = api.get(path)
        size, first = asyncio.run(_read(response.streaming_content))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        say(
            f"export of {days} days: {size:,} bytes in {perf_counter() - started:.1f} s, "
            f"the first after {first * 1000:.0f} ms, peak {peaks[-1] / 2**20:.0f} MiB"
        )
    return peaks[1] < peaks[0] * 1.3


async def _read(pieces: AsyncIterator[bytes]) -> tuple[int, float]:
    """How many bytes there are, and after how many seconds the first came."""
    size, first, started = 0, 0.0, perf_counter()
    async for piece in pieces:
        first = first or perf_counter() - started
        size += len(piece)
    return size, first
