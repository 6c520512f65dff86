"""Indexes of the partitioned ledger are built concurrently; a second run finishes what was interrupted."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from django.db import connection

from gateway_project.core.ids import public_id
from tests.usage.entries import ALICE, id_at, make_entry, store
from usage_app.models import UsageRecord
from usage_app.partitioned_indexes import add_index_by_partition
from usage_app.services.spend import RecordFilter, list_records

INDEX = next(index for index in UsageRecord._meta.indexes if index.name == "usage_team_at")
needs_postgresql = pytest.mark.skipif(connection.vendor != "postgresql", reason="only it has partitions")


def states() -> list[tuple[str, bool]]:
    """The parts of the index and the whole, and whether each is valid."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT relname, indisvalid FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid "
            "WHERE relname = %s OR indexrelid IN (SELECT inhrelid FROM pg_inherits "
            "WHERE inhparent = to_regclass(%s)) ORDER BY relname",
            [INDEX.name, INDEX.name],
        )
        return list(cursor.fetchall())


@needs_postgresql
@pytest.mark.django_db(transaction=True)
def test_an_interrupted_build_is_finished_by_the_next_run() -> None:
    whole = states()
    with connection.cursor() as cursor:
        cursor.execute(f"DROP INDEX {INDEX.name}")
        cursor.execute(
            f"CREATE INDEX {INDEX.name} ON ONLY {UsageRecord._meta.db_table} (team_id, at DESC) "
            "WHERE team_id IS NOT NULL"
        )
    assert states() == [(INDEX.name, False)]

    for _ in range(2):
        with connection.schema_editor(atomic=False) as editor:
            add_index_by_partition(editor, UsageRecord, INDEX)

        assert len(states()) == len(whole) >= 2
        assert all(is_valid for _, is_valid in states())


@pytest.mark.django_db
@pytest.mark.parametrize("name", ["team_id", "user_id", "end_user", "agent"])
def test_each_owner_is_found_by_its_index(name: str) -> None:
    value: Any = ALICE if name == "team_id" else "somebody"
    wanted = make_entry(id=id_at(datetime(2026, 1, 2, tzinfo=UTC)), **{name: value})
    store(wanted, make_entry())

    page = list_records(RecordFilter(**{name: value}), limit=10)

    assert [row["id"] for row in page.rows] == [public_id("req", wanted.id)]
    if connection.vendor == "sqlite":
        plan = UsageRecord.objects.filter(**{name: value, **_implied(name)}).explain()
        assert f"usage_{name.removesuffix('_id')}_at" in plan


def _implied(name: str) -> dict[str, str]:
    return {} if name == "team_id" else {f"{name}__gt": ""}
