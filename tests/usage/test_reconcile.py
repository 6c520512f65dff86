"""`manage.py reconcile` tells whether the rollups are the ledger's sums, and repairs them."""

from __future__ import annotations

from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from gateway_project.core.clock import utc_now
from tests.usage.entries import id_at, make_entry
from usage_app.models import UsageRollup
from usage_app.services import record_store
from usage_app.services.lines import decode, encode
from usage_app.services.rollups import roll_up, sum_up_days


def reconcile(*arguments: str) -> str:
    out = StringIO()
    call_command("reconcile", *arguments, stdout=out)
    return out.getvalue()


@pytest.fixture
def _used(db: None) -> None:
    entries = [make_entry(id=id_at(utc_now() - timedelta(hours=hours), hours)) for hours in (1, 2, 3)]
    record_store.store([decode(encode(entry)[:-1]) for entry in entries])


def sum_up() -> None:
    """All of it, days too: of yesterday's the note would else wait for some minutes."""
    roll_up()
    sum_up_days(at_once=True)


@pytest.mark.usefixtures("_used")
def test_what_agrees_is_said() -> None:
    sum_up()

    assert reconcile().startswith("Ledger, rollups and reports agree from ")


@pytest.mark.usefixtures("_used")
def test_what_differs_is_named_and_can_be_repaired() -> None:
    sum_up()
    UsageRollup.objects.update(requests=5)

    with pytest.raises(CommandError, match="--repair"):
        reconcile()
    since = (utc_now() - timedelta(hours=5)).isoformat()
    assert reconcile("--repair", "--from", since).startswith("Computed ")
    assert UsageRollup.objects.values_list("requests", flat=True).distinct().get() == 1


@pytest.mark.usefixtures("_used")
def test_quarter_hours_that_are_still_to_come_are_said() -> None:
    sum_up_days(at_once=True)
    out = StringIO()
    with pytest.raises(CommandError, match="differ"):
        call_command("reconcile", stdout=out)

    assert "3 quarter-hours or days are still to be summed up" in out.getvalue()
    assert "requests of key_id " in out.getvalue()
    assert " in the ledger, 0 in the hours" in out.getvalue()


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--from", "yesterday"), "'yesterday' is not a moment"),
        (("--from", "2026-01-02", "--to", "2026-01-01T23:00Z"), "--from must be before --to"),
    ],
)
def test_a_range_that_is_none_is_refused(arguments: tuple[str, ...], message: str) -> None:
    with pytest.raises(CommandError, match=message):
        reconcile(*arguments)
