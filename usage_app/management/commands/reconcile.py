"""`manage.py reconcile`: whether the rollups are the sums of the ledger, and their repair."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError
from datetime import UTC, datetime, timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from gateway_project.core.clock import utc_now
from usage_app.models import RollupWindow
from usage_app.services.rollups import HOUR, Difference, differences, floor, note_range, roll_up


class Command(BaseCommand):
    """Compare ledger and rollups; ends with status 1 if they differ."""

    help = "Compare the rollups with the ledger that they are made of, over whole hours (UTC)."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """The range, and whether to repair."""
        parser.add_argument("--from", dest="start", type=_moment, help="default: seven days before the end")
        parser.add_argument("--to", dest="end", type=_moment, help="default: the start of this hour")
        parser.add_argument("--repair", action="store_true", help="compute the rollups of the range again")

    def handle(self, *_: Any, start: datetime | None, end: datetime | None, repair: bool, **__: Any) -> None:
        """Print what differs."""
        end = floor(end + HOUR - timedelta(microseconds=1) if end else utc_now(), HOUR)
        start = floor(start or end - timedelta(days=7), HOUR)
        if start >= end:
            raise CommandError("--from must be before --to.")
        if repair:
            count = note_range(start, end)
            while roll_up():
                pass
            self.stdout.write(f"Computed {count} quarter-hours again.")
        due = RollupWindow.objects.filter(window_start__gte=start, window_start__lt=end).count()
        if due:
            self.stdout.write(f"{due} quarter-hours are still to be summed up; their sums may differ.")
        found = differences(start, end)
        for one in found:
            self.stdout.write(_line(one))
        span = f"from {start:%Y-%m-%dT%H:%MZ} to {end:%Y-%m-%dT%H:%MZ}"
        if found:
            raise CommandError(f"Ledger and rollups differ {span}; --repair computes the rollups again.")
        self.stdout.write(f"Ledger and rollups agree {span}.")


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ArgumentTypeError(f"'{text}' is not a moment such as 2026-11-21 or 2026-11-21T15:00Z") from None
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


def _line(one: Difference) -> str:
    width = "hours" if one.width == HOUR else "quarter-hours"
    return f"{one.name}: {one.in_ledger} in the ledger, {one.in_rollups} in the rollups by {width}"
