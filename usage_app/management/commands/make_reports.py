"""`manage.py make_reports`: what the Celery worker does for reports, once, where no worker runs."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from gateway_project.core.acting import acting_as
from usage_app.services.exports.jobs import make_files
from usage_app.services.exports.mail import send_due_mails
from usage_app.services.exports.schedule import queue_due_reports


class Command(BaseCommand):
    """Make all files that wait, and send what is due."""

    help = "Make the files of reports that wait or are due, and send those that go by mail."

    def handle(self, *_: Any, **__: Any) -> None:
        """Say how many there were."""
        with acting_as("command:make_reports"):
            queue_due_reports()
            made = make_files(budget_s=float("inf"))
            mails = send_due_mails()
        self.stdout.write(f"Made {made} files, tried to send {mails} mails.")
