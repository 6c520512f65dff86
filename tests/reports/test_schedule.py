"""A scheduled report goes out once for each period, also after a standstill, in its own time zone."""

from __future__ import annotations

import json
import smtplib
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.core import mail
from django.core.mail.backends.locmem import EmailBackend

from gateway_project.core.clock import utc_now
from security_app.models import AuditEvent
from tests.reports.usage import made, save, use_some
from usage_app.models import Report, ReportExport
from usage_app.services.exports import mail as report_mail
from usage_app.services.exports import schedule
from usage_app.services.exports.jobs import make_files
from usage_app.services.exports.mail import MAX_ATTEMPTS, message, send_due_mails
from usage_app.services.exports.schedule import queue_due_reports
from usage_app.services.exports.storage import has_worker
from usage_app.services.reports import update_report
from usage_app.tasks import make_reports, purge_reports

pytestmark = pytest.mark.django_db
DAYS: dict[str, Any] = {"period": "yesterday", "first_day": None, "last_day": None, "schedule": "daily"}


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Sets the time for schedules."""

    def set_to(text: str) -> datetime:
        now = datetime.fromisoformat(text).replace(tzinfo=UTC)
        monkeypatch.setattr(schedule, "utc_now", lambda: now)
        return now

    return set_to


def daily(since: str = "2026-03-01T00:00", **values: Any) -> Report:
    """A daily report at six in Berlin, scheduled since a moment."""
    row = save(**{**DAYS, "time_zone": "Europe/Berlin", "recipients": ["eve@example.org"], **values})
    Report.objects.filter(pk=row.pk).update(scheduled_since=datetime.fromisoformat(since).replace(tzinfo=UTC))
    return row


def asked() -> list[tuple[str | None, str, str]]:
    rows = ReportExport.objects.order_by("id")
    return [(row.period_key, row.query["start"], row.query["end"]) for row in rows]


def test_a_report_is_due_at_its_hour_in_its_zone(clock: Any) -> None:
    daily()

    clock("2026-03-03T04:59")
    queue_due_reports()
    before = asked()
    clock("2026-03-03T05:00")
    for _ in range(3):
        queue_due_reports()

    assert [key for key, *_ in before] == ["daily:2026-03-02"]
    assert asked()[1:] == [("daily:2026-03-03", "2026-03-01T23:00:00Z", "2026-03-02T23:00:00Z")]


def test_only_the_last_period_is_made_up_for_after_a_standstill(clock: Any) -> None:
    daily()

    clock("2026-03-20T23:30")
    queue_due_reports()

    assert asked() == [("daily:2026-03-20", "2026-03-18T23:00:00Z", "2026-03-19T23:00:00Z")]


def test_what_was_due_before_the_schedule_was_set_is_not_made(clock: Any) -> None:
    row = daily(since="2026-03-03T05:30")

    clock("2026-03-03T22:00")
    assert queue_due_reports() == 0
    clock("2026-03-04T05:00")
    assert queue_due_reports() == 1
    update_report(row, {"hour": 1})
    assert row.scheduled_since is not None
    assert row.scheduled_since > utc_now() - timedelta(minutes=5)


@pytest.mark.parametrize(("start", "hour"), [("2026-03-28T12:00", 2), ("2026-10-24T12:00", 2)])
def test_each_day_has_one_report_when_the_clocks_change(clock: Any, start: str, hour: int) -> None:
    row = daily(hour=hour)
    now = datetime.fromisoformat(start)
    Report.objects.filter(pk=row.pk).update(scheduled_since=now.replace(tzinfo=UTC))

    for hours in range(48):
        clock((now + timedelta(hours=hours)).isoformat())
        queue_due_reports()

    keys = [key for key, *_ in asked()]
    assert len(keys) == len(set(keys)) == 2
    bounds = asked()
    assert bounds[0][2] == bounds[1][1]


@pytest.mark.parametrize("change", [{"is_enabled": False}, {"schedule": ""}])
def test_a_report_that_rests_is_not_made(clock: Any, change: dict[str, Any]) -> None:
    update_report(daily(), change)
    Report.objects.update(scheduled_since=datetime(2026, 3, 1, tzinfo=UTC))

    clock("2026-03-20T23:30")

    assert queue_due_reports() == 0


def due(settings: Any, clock: Any, **values: Any) -> ReportExport:
    """A finished file that is to be sent."""
    settings.MAIL_IS_CONFIGURED = True
    use_some()
    daily(**values)
    clock("2026-02-04T12:00")
    Report.objects.update(scheduled_since=datetime(2026, 2, 1, tzinfo=UTC))
    assert queue_due_reports() == 1
    make_files()
    return ReportExport.objects.get()


def test_the_file_and_its_manifest_are_attached(settings: Any, clock: Any) -> None:
    settings.PUBLIC_URL = "https://gateway.example"
    export = due(settings, clock)

    assert send_due_mails() == 1
    assert send_due_mails() == 0

    export.refresh_from_db()
    assert export.mail_state == "sent"
    [sent] = mail.outbox
    assert sent.to == ["eve@example.org"]
    assert sent.subject == "Report: Models"
    assert export.sha256 in sent.body
    assert "https://gateway.example/admin/" in sent.body
    file, manifest = sent.attachments
    assert file[0] == "models_2026-02-03_2026-02-03.csv"
    assert "acme/small" in str(file[1])
    assert json.loads(manifest[1])["sha256"] == export.sha256
    detail = json.loads(AuditEvent.objects.get(action="report.mailed").detail)
    assert detail["recipients"] == ["eve@example.org"]


def test_what_is_too_large_is_not_attached(settings: Any, clock: Any) -> None:
    settings.REPORT_MAIL_MAX_BYTES = 10
    export = due(settings, clock)

    sent = message(export)

    assert sent.attachments == []
    assert "too large for a mail" in sent.body


def test_a_title_can_not_add_headers(settings: Any, clock: Any) -> None:
    export = due(settings, clock)
    export.title = "a\r\nBcc: mallory@example.org"

    assert message(export).subject == "Report: a Bcc: mallory@example.org"
    assert "Bcc" not in str(message(export).message().keys())


def test_without_a_mail_server_it_is_said(settings: Any, clock: Any) -> None:
    export = due(settings, clock)
    settings.MAIL_IS_CONFIGURED = False

    send_due_mails()

    export.refresh_from_db()
    assert export.mail_state == "failed"
    assert "EMAIL_URL is not set" in export.mail_error


def test_a_refused_mail_is_tried_again_and_then_given_up(
    settings: Any, clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    export = due(settings, clock)

    def refuse(*_: object) -> int:
        raise smtplib.SMTPServerDisconnected("gone")

    monkeypatch.setattr(EmailBackend, "send_messages", refuse)
    for attempt in range(1, MAX_ATTEMPTS + 1):
        assert send_due_mails() == 1
        assert send_due_mails() == 0
        export.refresh_from_db()
        assert export.mail_state == ("due" if attempt < MAX_ATTEMPTS else "failed")
        ReportExport.objects.update(mailed_at=utc_now() - timedelta(minutes=6))

    assert send_due_mails() == 0
    assert "SMTPServerDisconnected: gone" in export.mail_error


def test_a_process_that_dies_while_it_sends_sends_nothing_twice(
    settings: Any, clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    export = due(settings, clock)

    def die(*_: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(report_mail, "message", die)
    with pytest.raises(KeyboardInterrupt):
        send_due_mails()
    monkeypatch.undo()

    assert send_due_mails() == 0
    export.refresh_from_db()
    assert export.mail_state == "sending"


def test_what_somebody_asked_for_goes_to_nobody(settings: Any) -> None:
    settings.MAIL_IS_CONFIGURED = True
    made(**{**DAYS, "recipients": ["eve@example.org"]})

    assert send_due_mails() == 0


def test_the_workers_tasks_ask_make_send_and_clean_up(settings: Any, clock: Any) -> None:
    settings.MAIL_IS_CONFIGURED = True
    daily()
    clock("2026-02-04T12:00")
    Report.objects.update(scheduled_since=datetime(2026, 2, 1, tzinfo=UTC))

    assert make_reports() == 1
    assert make_reports() == 0
    assert purge_reports() == 0

    assert has_worker()
    assert len(mail.outbox) == 1
    assert AuditEvent.objects.filter(action="report.made", actor="system:reports").exists()
