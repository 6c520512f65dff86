"""Monthly partitions on PostgreSQL, and retention on both databases."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.core.management import call_command
from django.db import connection
from pytest_django import Settings

from gateway_project.core.clock import utc_now
from tests.usage.entries import ALICE, id_at, make_entry, store
from usage_app.models import SpendCounter, UsageRecord
from usage_app.services.partitions import DEFAULT_PARTITION, drop_partitions_before, ensure_partitions
from usage_app.services.retention import purge_usage

is_postgresql = connection.vendor == "postgresql"


def store_at(*moments: datetime) -> None:
    store(*(make_entry(id=id_at(moment, number)) for number, moment in enumerate(moments, 1)))


def count(table: str) -> int:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT count(*) FROM {table}")  # noqa: S608  (a name of ours)
        return int(cursor.fetchone()[0])


@pytest.mark.django_db
def test_the_migrated_schema_has_the_partitions_of_the_coming_months() -> None:
    created = ensure_partitions()

    assert created == []
    if is_postgresql:
        table = UsageRecord._meta.db_table
        assert count(f"{table}_y{utc_now():%Y}m{utc_now():%m}") == 0
        assert count(DEFAULT_PARTITION) == 0


@pytest.mark.django_db
def test_a_record_is_stored_whatever_its_month() -> None:
    moments = [datetime(2021, 2, 3, tzinfo=UTC), utc_now(), utc_now() + timedelta(days=3000)]

    store_at(*moments)

    assert UsageRecord.objects.count() == 3
    if is_postgresql:
        assert count(DEFAULT_PARTITION) == 2


@pytest.mark.django_db
def test_rows_of_the_default_partition_move_to_the_month_that_is_made() -> None:
    if not is_postgresql:
        assert ensure_partitions(months_ahead=5) == []
        return
    later = (utc_now().replace(day=1) + timedelta(days=31 * 5)).replace(day=15)
    store_at(later)
    assert count(DEFAULT_PARTITION) == 1

    created = ensure_partitions(months_ahead=6)

    assert len(created) == 4
    assert count(DEFAULT_PARTITION) == 0
    assert UsageRecord.objects.get().at == later.replace(microsecond=later.microsecond // 1000 * 1000)


@pytest.mark.django_db
def test_records_and_counters_beyond_the_retention_go(settings: Settings) -> None:
    settings.USAGE_RETENTION_DAYS = 30
    now = utc_now()
    store_at(now - timedelta(days=31), now - timedelta(days=29), now)
    assert SpendCounter.objects.filter(scope="key", scope_id=ALICE.hex).count() == 3

    purge_usage()

    assert UsageRecord.objects.count() == 2
    assert SpendCounter.objects.filter(scope="key").count() == 2


@pytest.mark.django_db
def test_whole_months_are_dropped_with_what_they_hold() -> None:
    if not is_postgresql:
        assert drop_partitions_before(utc_now() + timedelta(days=400)) == []
        return
    store_at(utc_now())

    dropped = drop_partitions_before(utc_now() + timedelta(days=32))

    assert dropped[0].endswith(f"_y{utc_now():%Y}m{utc_now():%m}")
    assert UsageRecord.objects.count() == 0


@pytest.mark.django_db(transaction=True)
def test_the_partitioning_can_be_taken_back_and_done_again_without_losing_rows() -> None:
    store_at(datetime(2021, 2, 3, tzinfo=UTC), utc_now())

    try:
        call_command("migrate", "usage_app", "0001", verbosity=0)
        assert UsageRecord.objects.count() == 2
    finally:
        call_command("migrate", "usage_app", verbosity=0)

    assert UsageRecord.objects.count() == 2
    assert ensure_partitions() == []
