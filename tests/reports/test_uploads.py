"""Files of scheduled reports in buckets: with their manifests, so that auditors can verify what they got."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from pytest_django import Settings

from gateway_project.core.clock import utc_now
from security_app.models import AuditEvent
from tests.reports.usage import save, use_some
from tests.usage.sinks import Receiver, make_bucket, receiving
from usage_app.models import Report, ReportExport
from usage_app.services.exports import schedule
from usage_app.services.exports.jobs import make_files
from usage_app.services.exports.storage import file_path
from usage_app.services.exports.uploads import MAX_ATTEMPTS, upload_due_files
from usage_app.services.reports import queue_export

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 2, 4, 12, tzinfo=UTC)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as one:
        yield one


@pytest.fixture
def export(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> ReportExport:
    """A finished file of a daily report that goes to a bucket."""
    monkeypatch.setattr(schedule, "utc_now", lambda: NOW)
    use_some()
    days: dict[str, Any] = {"period": "yesterday", "first_day": None, "last_day": None, "schedule": "daily"}
    save(**days, bucket=make_bucket(receiver.url))
    Report.objects.update(scheduled_since=NOW - timedelta(days=3))
    assert schedule.queue_due_reports() == 1
    make_files()
    return ReportExport.objects.get()


def test_what_a_bucket_gets_passes_the_check_of_reports(
    export: ReportExport, receiver: Receiver, tmp_path: Path
) -> None:
    assert upload_due_files() == 1
    assert upload_due_files() == 0

    file, manifest = receiver.requests
    place = f"/usage/gw/reports/{export.created_at:%Y/%m/%d}/{export.public_id}/{export.file_name}"
    assert (file.method, file.target, manifest.target) == ("PUT", place, f"{place}.manifest.json")
    assert file.header("x-amz-content-sha256") == export.sha256
    assert file.header("content-length") == str(export.size_bytes)
    for request in receiver.requests:
        (tmp_path / Path(request.target).name).write_bytes(request.body)
    out = StringIO()
    call_command("verify_report", str(tmp_path / export.file_name), stdout=out)
    assert out.getvalue().endswith("The report is what the gateway made.\n")
    export.refresh_from_db()
    assert (export.upload_state, export.uploaded_as) == ("stored", "s3:/" + place)
    assert AuditEvent.objects.filter(action="report.uploaded").count() == 1


def test_what_a_bucket_refuses_is_stored_again_later_and_given_up_at_last(
    export: ReportExport, receiver: Receiver
) -> None:
    receiver.answers = [(200, b"")] + [(503, b"")] * MAX_ATTEMPTS
    now = utc_now()

    assert upload_due_files(now=now) == 0
    assert upload_due_files(now=now) == 0, "it rests"
    for days in range(1, MAX_ATTEMPTS + 3):
        upload_due_files(now=now + timedelta(days=days))

    export.refresh_from_db()
    assert (export.upload_state, export.upload_attempts) == ("failed", MAX_ATTEMPTS)
    assert export.upload_error == "HTTP 503"
    # The first got its file, and the manifest behind it was refused.
    assert len(receiver.requests) == MAX_ATTEMPTS + 1


def test_a_file_that_is_gone_is_said_to_be(export: ReportExport, receiver: Receiver) -> None:
    file_path(export).unlink()

    assert upload_due_files() == 0

    export.refresh_from_db()
    assert export.upload_error == "the file is gone"
    assert receiver.requests == []


def test_files_that_somebody_asks_for_go_nowhere(receiver: Receiver, settings: Settings) -> None:
    use_some()
    queue_export(save(bucket=make_bucket(receiver.url)), requested_by="alice")
    make_files()

    assert upload_due_files() == 0
    assert ReportExport.objects.get().upload_state == ""
