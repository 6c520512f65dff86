"""`manage.py reconcile`: whether the rollups are the sums of the ledger, and their repair."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError
from datetime import UTC, datetime, timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from gateway_project.core.clock import utc_now
from gateway_project.core.errors import InvalidRequest
from usage_app.services.reconciliation import MAX_DIFFERENCES, compute_again, differences, windows_due
from usage_app.services.rollups import HOUR, floor


class Command(BaseCommand):
    """Compare ledger, rollups and reports; ends with status 1 if they differ."""

    help = "Compare rollups and reports with the ledger that they are made of, over whole hours (UTC)."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """The range, the zone whose days are reported, and whether to repair."""
        parser.add_argument("--from", dest="start", type=_moment, help="default: seven days before the end")
        parser.add_argument("--to", dest="end", type=_moment, help="default: the start of this hour")
        parser.add_argument("--time-zone", dest="zone_name", default="UTC", help="whose days reports have")
        parser.add_argument("--repair", action="store_true", help="compute the rollups of the range again")

    def handle(
        self,
        *_: Any,
        start: datetime | None,
        end: datetime | None,
        zone_name: str,
        repair: bool,
        **__: Any,
    ) -> None:
        """Print what differs."""
        end = floor(end + HOUR - timedelta(microseconds=1) if end else utc_now(), HOUR)
        start = floor(start or end - timedelta(days=7), HOUR)
        if start >= end:
            raise CommandError("--from must be before --to.")
        if repair:
            count = compute_again(start, end)
            self.stdout.write(f"Computed {count} quarter-hours again.")
        if due := windows_due(start, end):
            self.stdout.write(
                f"{due} quarter-hours or days are still to be summed up; their sums may differ."
            )
        try:
            found = differences(start, end, zone_name=zone_name)
        except InvalidRequest as error:
            raise CommandError(error.message) from error
        for one in found:
            self.stdout.write(str(one))
        if len(found) == MAX_DIFFERENCES:
            self.stdout.write("There may be more.")
        span = f"from {start:%Y-%m-%dT%H:%MZ} to {end:%Y-%m-%dT%H:%MZ}"
        if found:
            raise CommandError(f"Ledger and rollups differ {span}; --repair computes the rollups again.")
        self.stdout.write(f"Ledger, rollups and reports agree {span}.")


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ArgumentTypeError(f"'{text}' is not a moment such as 2026-11-21 or 2026-11-21T15:00Z") from None
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
