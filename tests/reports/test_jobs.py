"""A file is made once, by whoever holds the lease, and its sums are those of the ledger."""

from __future__ import annotations

import os
import threading
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from django.db.models import Sum

from gateway_project.core.clock import utc_now
from gateway_project.core.errors import Conflict
from security_app.models import AuditEvent
from security_app.services.keys import create_key
from tests.reports.usage import DAY, made, save, sum_up, use_some
from tests.usage.entries import id_at, make_entry, store
from usage_app.models import ReportExport, UsageRecord
from usage_app.services import reports
from usage_app.services.exports import csv_file, jobs, lease
from usage_app.services.exports.formats import FORMATS
from usage_app.services.exports.jobs import make_file, make_files
from usage_app.services.exports.lease import LEASE, MAX_ATTEMPTS, Lease, LeaseLost, claim_next
from usage_app.services.exports.storage import (
    download_name,
    file_path,
    folder,
    has_worker,
    manifest_path,
    purge_exports,
    show_pulse,
)
from usage_app.services.reports import queue_export

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("form", FORMATS)
def test_a_file_has_the_sums_of_the_ledger(form: str) -> None:
    use_some()

    export = made(form)

    assert (export.state, export.error) == ("done", "")
    assert export.manifest is not None
    totals = export.manifest["totals"]
    cost = UsageRecord.objects.aggregate(all=Sum("cost"))["all"]
    assert Decimal(totals["BilledCost" if form == "focus" else "cost_usd"]) == cost == Decimal("0.025000003")
    assert totals["x_Requests" if form == "focus" else "requests"] == "5"
    assert file_path(export).stat().st_size == export.size_bytes == export.manifest["size_bytes"]
    assert manifest_path(export).is_file()
    assert [path.suffix for path in folder().iterdir()].count(".part") == 0


def test_who_asked_and_what_came_of_it_is_in_the_audit() -> None:
    export = made()

    assert export.manifest is not None
    events = list(AuditEvent.objects.order_by("seq").values_list("action", "hash", "seq"))
    assert [action for action, *_ in events] == ["report.created", "report.requested", "report.made"]
    head = export.manifest["audit_head"]
    assert (head["hash"], head["seq"]) == events[1][1:]
    detail = AuditEvent.objects.get(action="report.made").detail
    assert export.sha256 in detail


def test_a_report_without_usage_is_a_file_without_rows() -> None:
    export = made()

    assert export.progress_rows == 0
    assert file_path(export).read_bytes().count(b"\r\n") == 1


def test_what_somebody_else_makes_is_not_made_again() -> None:
    export = queue_export(save(), requested_by="alice")

    first = claim_next()

    assert first is not None
    assert first.pk == export.pk
    assert first.state == "running"
    assert claim_next() is None


def test_what_a_dead_worker_left_is_made_by_another() -> None:
    use_some()
    export = queue_export(save(), requested_by="alice")
    dead = claim_next()
    assert dead is not None
    ReportExport.objects.update(lease_until=utc_now() - timedelta(seconds=1))

    assert make_files() == 1

    export.refresh_from_db()
    assert (export.state, export.attempts) == ("done", 2)
    # The dead one wakes up: its claim is gone, and what it made goes nowhere.
    before = file_path(export).read_bytes()
    make_file(dead)
    assert file_path(export).read_bytes() == before
    export.refresh_from_db()
    assert (export.state, export.error) == ("done", "")


def test_a_file_that_kills_its_workers_is_given_up() -> None:
    export = queue_export(save(), requested_by="alice")
    for _ in range(MAX_ATTEMPTS):
        assert claim_next() is not None
        ReportExport.objects.update(lease_until=utc_now() - timedelta(seconds=1))

    assert claim_next() is None

    export.refresh_from_db()
    assert export.state == "failed"
    assert "died 3 times" in export.error


def test_a_fault_is_written_into_the_row_and_the_next_one_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    bad = queue_export(save(name="bad", format="jsonl"), requested_by="alice")
    good = queue_export(save(name="good"), requested_by="alice")
    ReportExport.objects.filter(pk=bad.pk).update(query={"start": "nonsense"})

    assert make_files() == 2

    bad.refresh_from_db()
    good.refresh_from_db()
    assert (bad.state, good.state) == ("failed", "done")
    assert "'start' must be a time" in bad.error
    assert not file_path(bad).exists()


def test_too_many_rows_for_the_format_are_said_with_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    use_some()
    monkeypatch.setattr(FORMATS["pdf"], "max_rows", 2)

    export = made("pdf")

    assert export.state == "failed"
    assert "at most 2 rows" in export.error


def test_a_lease_is_renewed_and_its_loss_is_noticed() -> None:
    queue_export(save(), requested_by="alice")
    row = claim_next()
    assert row is not None
    assert row.lease_token is not None
    ReportExport.objects.update(lease_until=utc_now())
    mine = Lease(row.pk, row.lease_token)

    mine.check(7, 40)
    mine.beat()
    row.refresh_from_db()
    progress = (row.progress_rows, row.total_rows)
    assert row.lease_until is not None
    assert row.lease_until > utc_now() + LEASE / 2
    ReportExport.objects.update(lease_token=uuid4())
    mine.beat()

    assert progress == (7, 40)
    with pytest.raises(LeaseLost):
        mine.check(8)


@pytest.mark.django_db(transaction=True)
def test_progress_is_written_while_rows_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    use_some()
    monkeypatch.setattr(lease, "_BEAT_S", 0.01)
    export = queue_export(save(), requested_by="alice")
    seen = threading.Event()
    write = csv_file.csv_pieces

    def slowly(head: list[str], rows: object) -> object:
        for piece in write(head, rows):  # type: ignore[arg-type]
            for _ in range(500):
                row = ReportExport.objects.get(pk=export.pk)
                if row.progress_rows:
                    seen.set()
                    break
                threading.Event().wait(0.01)
            yield piece

    monkeypatch.setattr(csv_file, "csv_pieces", slowly)
    make_files()

    export.refresh_from_db()
    assert export.state == "done"
    assert seen.is_set()


def test_too_many_waiting_files_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reports, "MAX_WAITING", 1)
    report = save()
    queue_export(report, requested_by="alice")

    with pytest.raises(Conflict, match="worker"):
        queue_export(report, requested_by="alice")


def test_retention_deletes_files_and_keeps_manifests(settings: Any) -> None:
    export = made()
    fresh = made("jsonl")
    ReportExport.objects.filter(pk=export.pk).update(created_at=utc_now() - timedelta(days=91))
    part = folder() / "x.part"
    part.touch()
    os.utime(part, (0, 0))

    assert purge_exports() == 1

    export.refresh_from_db()
    assert export.state == "expired"
    assert export.manifest is not None
    assert not file_path(export).exists()
    assert not manifest_path(export).exists()
    assert not part.exists()
    assert file_path(fresh).exists()
    ReportExport.objects.filter(pk=export.pk).update(created_at=utc_now() - timedelta(days=401))
    purge_exports()
    assert list(ReportExport.objects.values_list("pk", flat=True)) == [fresh.pk]


def test_a_worker_shows_that_it_lives() -> None:
    assert not has_worker()
    show_pulse()
    assert has_worker()


@pytest.mark.parametrize(
    ("title", "stem"),
    [
        ("Usage by team", "usage-by-team"),
        ("../../etc/passwd", "etc-passwd"),
        ('a"b\r\nX-Evil: 1', "a-b-x-evil-1"),
        ("Übersicht „März“", "ubersicht-marz"),
        ("日本", "report"),
        ("x" * 300, "x" * 80),
    ],
)
def test_a_files_name_is_safe(title: str, stem: str) -> None:
    from tests.reports.samples import QUERY

    assert download_name(title, QUERY, "csv") == f"{stem}_2026-02-01_2026-02-28.csv"


def test_the_part_of_a_failed_file_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("secret detail")

    monkeypatch.setattr(jobs, "build", fail)

    export = made()

    assert export.state == "failed"
    assert "secret detail" not in export.error
    assert "RuntimeError" in export.error
    assert [path for path in Path(folder()).iterdir() if path.suffix == ".part"] == []


@pytest.mark.parametrize("zone", ["America/St_Johns", "Asia/Kathmandu", "Pacific/Apia"])
def test_days_of_any_zone_add_up_to_the_ledger(zone: str) -> None:
    use_some()

    export = made(time_zone=zone, group_by=["day", "key", "team", "organization"])

    assert export.manifest is not None
    assert export.manifest["totals"]["cost_usd"] == "0.025000003"
    assert export.manifest["totals"]["requests"] == "5"


def test_names_are_looked_up_together(django_assert_max_num_queries: Any) -> None:
    keys = [create_key(actor="test", name=f"key {number}").row for number in range(30)]
    store(*(make_entry(id=id_at(DAY, number), key_id=key.pk) for number, key in enumerate(keys)))
    sum_up()
    queue_export(save(group_by=["key"]), requested_by="alice")
    row = claim_next()
    assert row is not None

    with django_assert_max_num_queries(25):
        make_file(row)

    assert b",key 17," in file_path(row).read_bytes()
