"""`manage.py nightly_audit`: look for what is wrong now, as the worker does each day."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from gateway_project.core.codec import dumps
from security_app.models import Finding
from security_app.services.finding_list import finding_row
from security_app.services.findings import run_audit


class Command(BaseCommand):
    """Print all open findings; ends with status 1 if a critical one is open."""

    help = "Look for keys, rows, upstreams and sums that are not as they should be, and list the findings."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """In which form."""
        parser.add_argument("--json", action="store_true", dest="is_json", help="print one JSON object")

    def handle(self, *_: Any, is_json: bool, **__: Any) -> None:
        """Run the audit and print what is open."""
        summary = run_audit()
        rows = Finding.objects.filter(closed_at=None).order_by("id").iterator()
        if is_json:
            told = {**summary._asdict(), "findings": [finding_row(row) for row in rows]}
            self.stdout.write(dumps(told).decode())
        else:
            for row in rows:
                self.stdout.write(f"{row.severity}: {row}: {row.detail}")
            self.stdout.write(f"{summary.open} open: {summary.opened} new, {summary.closed} closed.")
        if summary.critical:
            raise CommandError(f"Critical findings are open: {summary.critical}.")
