"""Usage in the rollups, and reports over it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from tests.usage.entries import BOB, id_at, make_entry, store
from usage_app.models import Report, ReportExport
from usage_app.services.exports.jobs import make_files
from usage_app.services.reports import create_report, queue_export
from usage_app.services.rollups import roll_up

DAY = datetime(2026, 2, 3, 10, tzinfo=UTC)
FEBRUARY = {"period": "fixed", "first_day": DAY.date().replace(day=1), "last_day": DAY.date().replace(day=28)}


def use(number: int = 1, *, at: datetime = DAY, **fields: object) -> None:
    """One request, summed up."""
    store(make_entry(id=id_at(at, number), **fields))
    sum_up()


def sum_up() -> None:
    while roll_up():
        pass


def use_some() -> None:
    """Five requests of two keys on three days, for 25 000 003 nano-dollars."""
    entries = [
        make_entry(id=id_at(DAY, 1)),
        make_entry(id=id_at(DAY, 2), key_id=BOB, user_id="bob"),
        make_entry(id=id_at(DAY + timedelta(days=1), 3), model="acme/=big"),
        make_entry(id=id_at(DAY + timedelta(days=1), 4)),
        make_entry(id=id_at(DAY + timedelta(days=9), 5), cost_nano=5_000_003),
    ]
    store(*entries)
    sum_up()


def save(**values: Any) -> Report:
    """A saved report of February by day and model."""
    given = {"name": "Models", "group_by": ["day", "model"], **FEBRUARY, **values}
    return create_report("alice", given)


def made(form: str = "csv", **values: Any) -> ReportExport:
    """The finished file of such a report."""
    export = queue_export(save(name=f"Models as {form}", format=form, **values), requested_by="alice")
    make_files()
    export.refresh_from_db()
    return export
