"""Mails with the files of scheduled reports.

At most once: that a message is about to be sent is written down and committed first. If the mail server
refuses it, it is tried again; if the process dies in between, nobody can know, and the admin says so.
"""

from __future__ import annotations

import logging
import smtplib
from collections.abc import Iterator
from datetime import timedelta

from django.conf import settings
from django.core.mail import EmailMessage
from django.db.models import F, Q
from django.urls import NoReverseMatch, reverse

from gateway_project.core.clock import utc_now
from security_app.services.audit import record
from usage_app.models import ReportExport
from usage_app.services.exports.formats import format_named
from usage_app.services.exports.manifest import manifest_text
from usage_app.services.exports.storage import file_path

logger = logging.getLogger(__name__)
MAX_ATTEMPTS = 5
_PER_RUN = 20
_WAIT = timedelta(minutes=5)
_MAIL = ReportExport.Mail


def send_due_mails() -> int:
    """Send what is due, the oldest first; how many were tried."""
    sent = 0
    for row in _claimed():
        _send(row)
        sent += 1
    return sent


def _claimed() -> Iterator[ReportExport]:
    now = utc_now()
    rested = Q(mailed_at__isnull=True) | Q(mailed_at__lt=now - _WAIT)
    due = ReportExport.objects.filter(rested, state=ReportExport.State.DONE, mail_state=_MAIL.DUE)
    for row_id in list(due.order_by("id").values_list("pk", flat=True)[:_PER_RUN]):
        claimed = ReportExport.objects.filter(pk=row_id, mail_state=_MAIL.DUE).update(
            mail_state=_MAIL.SENDING, mail_attempts=F("mail_attempts") + 1, mailed_at=now
        )
        if claimed:
            yield ReportExport.objects.get(pk=row_id)


def _send(row: ReportExport) -> None:
    if not settings.MAIL_IS_CONFIGURED:
        _note(row, _MAIL.FAILED, "EMAIL_URL is not set, so no mail can be sent.")
        return
    try:
        message(row).send(fail_silently=False)
    except (OSError, smtplib.SMTPException) as error:
        is_last = row.mail_attempts >= MAX_ATTEMPTS
        # The server's answer may name addresses, but no secrets.
        _note(row, _MAIL.FAILED if is_last else _MAIL.DUE, f"{type(error).__name__}: {error}"[:500])
        logger.warning("report.mail_failed", extra={"export_id": row.public_id, "attempt": row.mail_attempts})
        return
    _note(row, _MAIL.SENT, "")
    record(
        "report.mailed",
        object_type="usage_app.reportexport",
        object_id=row.public_id,
        object_name=str(row),
        detail={"recipients": row.recipients, "sha256": row.sha256},
    )
    logger.info("report.mailed", extra={"export_id": row.public_id, "recipients": len(row.recipients)})


def _note(row: ReportExport, state: str, error: str) -> None:
    ReportExport.objects.filter(pk=row.pk, mail_state=_MAIL.SENDING).update(
        mail_state=state, mail_error=error, mailed_at=utc_now()
    )
    row.refresh_from_db()


def message(row: ReportExport) -> EmailMessage:
    """The mail: with the file and its manifest if it is small enough, else with the way to it."""
    path = file_path(row)
    fits = (row.size_bytes or 0) <= settings.REPORT_MAIL_MAX_BYTES and path.is_file()
    title = " ".join(row.title.split())
    lines = [
        f"{title}: {row.period}.",
        "",
        f"Rows: {row.progress_rows}",
        f"SHA-256: {row.sha256}",
        "",
        "The file and its manifest are attached."
        if fits
        else f"The file has {row.size_bytes} bytes, which is too large for a mail. Get it in the admin.",
    ]
    if link := _link():
        lines += ["", f"All reports: {link}"]
    mail = EmailMessage(subject=f"Report: {title}", body="\n".join(lines) + "\n", to=row.recipients)
    if fits:
        content_type = format_named(row.format).content_type.partition(";")[0]
        mail.attach(row.file_name, path.read_bytes(), content_type)
        mail.attach(f"{row.file_name}.manifest.json", manifest_text(row.manifest or {}), "application/json")
    return mail


def _link() -> str:
    if not settings.PUBLIC_URL:
        return ""
    try:
        return settings.PUBLIC_URL + reverse("admin:reports")
    except NoReverseMatch:
        return settings.PUBLIC_URL + "/admin/"
