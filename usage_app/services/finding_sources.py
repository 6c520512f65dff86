"""What the nightly audit asks of the ledger: calls without a price, sums that differ, lines that are left."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from django.conf import settings

from security_app.models import Finding
from security_app.services.findings import FindingSource, Found, register_finding_source
from usage_app.models import Reconciliation
from usage_app.services.rejects import Rejects
from usage_app.services.rollups import WINDOW, window_of
from usage_app.services.usage_sums import UsageQuery, usage_sums

UNPRICED_SPAN = timedelta(days=7)
_Severity = Finding.Severity


def unpriced_models(now: datetime) -> Iterator[Found]:
    """Models that were used lately without a price."""
    query = UsageQuery(window_of(now - UNPRICED_SPAN), window_of(now) + WINDOW, group_by=("model",))
    for row in usage_sums(query):
        if row.unpriced:
            model = row.group[0]
            detail = f"{row.unpriced:,} calls of the last seven days have no price."
            yield Found("unpriced_model", _Severity.WARNING, detail, "model", model, model)


def reconciliation_differences(_now: datetime) -> Iterator[Found]:
    """What the last nightly comparison found, if ledger, rollups and reports did not say the same."""
    last = Reconciliation.objects.order_by("-finished_at").first()
    if last is None or not last.differing:
        return
    example = f" First: {last.examples[0]}." if last.examples else ""
    if last.differing_after:
        detail = f"{last.differing_after:,} sums differ though computed again.{example}"
        severity = _Severity.CRITICAL
    else:
        detail = f"{last.differing:,} sums differed and were computed again.{example}"
        severity = _Severity.WARNING
    yield Found("usage_differs", severity, detail, "reconciliation", "", "usage")


def rejected_lines(_now: datetime) -> Iterator[Found]:
    """Calls that the database refused to store, and that are in no sum."""
    if files := Rejects(settings.JOURNAL_DIR).files():
        detail = f"{files:,} files of lines that the database refused wait for a person."
        yield Found("rejected_lines", _Severity.CRITICAL, detail, "journal", "", "rejected")


def register() -> None:
    """Have the audit know of them; for `ready()`."""
    for name, find in (
        ("unpriced_models", unpriced_models),
        ("reconciliation", reconciliation_differences),
        ("rejected_lines", rejected_lines),
    ):
        register_finding_source(FindingSource(name, find))
