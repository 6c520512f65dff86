"""The ledger of a process: its thread, its door, what it says about itself."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from django.db import OperationalError, connection
from pytest_django import Settings

from tests.services import wait_until
from tests.usage.entries import make_entry
from usage_app import tasks
from usage_app.errors import JournalFull
from usage_app.models import UsageRecord
from usage_app.services.ledger import Ledger
from usage_app.services.segments import segment_paths

TIMEOUT_S = 20.0


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """A ledger on a folder of its own, stopped at the end."""
    ledger = Ledger(tmp_path / "journal")
    yield ledger
    assert ledger.stop(TIMEOUT_S)


def records() -> int | None:
    """How many records there are; None in a moment in which that can't be read.

    The SQLite of tests is memory that threads share: there a reader does not wait for who writes, it fails.
    """
    try:
        return UsageRecord.objects.count()
    except OperationalError:
        return None


def test_building_one_touches_no_disk(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "journal")

    assert ledger.admission_error() is None
    assert ledger.health()["is_running"] is False
    assert list(tmp_path.iterdir()) == []


@pytest.mark.django_db(transaction=True)
def test_the_thread_moves_entries_into_the_database(ledger: Ledger) -> None:
    ledger.start()
    ledger.start()

    for _ in range(5):
        ledger.append(make_entry())

    wait_until(lambda: records() == 5, TIMEOUT_S, "the records")
    assert ledger.health()["is_running"]


@pytest.mark.django_db(transaction=True)
def test_stopping_flushes_what_is_left_and_starting_again_works(ledger: Ledger, tmp_path: Path) -> None:
    for _ in range(2):
        ledger.start()
        ledger.append(make_entry())
        assert ledger.stop(TIMEOUT_S)
        assert segment_paths(tmp_path / "journal") == []

    assert UsageRecord.objects.count() == 2


@pytest.mark.django_db(transaction=True)
def test_a_database_that_cannot_store_delays_records_and_loses_none(ledger: Ledger) -> None:
    table = UsageRecord._meta.db_table
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER TABLE {table} RENAME TO {table}_away")
    try:
        ledger.start()
        ledger.append(make_entry())
        wait_until(lambda: ledger.health()["database_error"] is not None, TIMEOUT_S, "the failure to show")
        health = ledger.health()
        assert ledger.admission_error() is None
        assert any("database" in warning for warning in health["warnings"])
    finally:
        with connection.cursor() as cursor:
            cursor.execute(f"ALTER TABLE {table}_away RENAME TO {table}")

    wait_until(lambda: records() == 1, TIMEOUT_S, "the record")
    wait_until(lambda: ledger.health()["database_error"] is None, TIMEOUT_S, "the failure to go")


def test_too_little_free_space_closes_the_door(ledger: Ledger, settings: Settings) -> None:
    ledger.refresh()
    assert ledger.admission_error() is None

    settings.JOURNAL_MIN_FREE_BYTES = 2**62
    ledger.refresh()

    assert "GATEWAY_JOURNAL_MIN_FREE" in (ledger.admission_error() or "")


def test_too_long_a_backlog_closes_the_door(ledger: Ledger, settings: Settings) -> None:
    settings.JOURNAL_MAX_BACKLOG_BYTES = 1000
    for _ in range(3):
        ledger.append(make_entry())

    ledger.refresh()

    assert "GATEWAY_JOURNAL_MAX_BACKLOG" in (ledger.admission_error() or "")
    assert ledger.health()["backlog_bytes"] > 1000


@pytest.mark.django_db
def test_the_door_opens_again_once_the_backlog_is_gone(ledger: Ledger, settings: Settings) -> None:
    settings.JOURNAL_MAX_BACKLOG_BYTES = 1000
    for _ in range(3):
        ledger.append(make_entry())
    ledger.refresh()

    assert ledger.flush_now() == 3

    assert ledger.admission_error() is None
    assert ledger.health()["backlog_bytes"] == 0


def test_a_failed_write_closes_the_door_at_once_and_a_repaired_disk_opens_it(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    ledger = Ledger(tmp_path / "file" / "journal")

    with pytest.raises(JournalFull):
        ledger.append(make_entry())
    assert "not writable" in (ledger.admission_error() or "")
    ledger.refresh()
    assert ledger.admission_error() is not None

    (tmp_path / "file").unlink()
    ledger.refresh()

    assert ledger.admission_error() is None
    ledger.append(make_entry())
    ledger.stop()


@pytest.mark.django_db
def test_rejected_lines_are_a_warning_until_a_person_takes_them_away(ledger: Ledger, tmp_path: Path) -> None:
    ledger.append(make_entry(status=-1))
    ledger.append(make_entry())

    assert ledger.flush_now() == 1

    health = ledger.health()
    assert health["rejected_files"] == 1
    assert health["admission_error"] is None
    assert any("rejected" in warning for warning in health["warnings"])
    for path in (tmp_path / "journal" / "rejected").iterdir():
        path.unlink()
    ledger.refresh()
    assert ledger.health()["warnings"] == []


@pytest.mark.django_db
def test_the_sweep_task_stores_what_a_dead_process_left(tmp_path: Path, settings: Settings) -> None:
    settings.JOURNAL_DIR = tmp_path
    dead = Ledger(tmp_path)
    dead.append(make_entry())
    dead.stop()
    journal = dead._parts[0] if dead._parts else None
    assert journal is not None
    journal.close()

    assert tasks.sweep_journal() == 1

    assert UsageRecord.objects.count() == 1


@pytest.mark.django_db
def test_the_daily_tasks_run() -> None:
    assert tasks.purge_usage_records() == 0
    assert tasks.ensure_usage_partitions() == []
    names = {tasks.sweep_journal.name, tasks.purge_usage_records.name, tasks.ensure_usage_partitions.name}
    assert names == {"usage.sweep_journal", "usage.purge_usage_records", "usage.ensure_usage_partitions"}
