"""Open findings of the nightly audit as a figure that alerts can watch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal

from security_app.models import Finding
from usage_app.models import AlertRule
from usage_app.services.alerts.measures import Figure, Measure, register_measure

_SERIOUS = (Finding.Severity.WARNING, Finding.Severity.CRITICAL)


def _open(_rule: AlertRule, _now: datetime) -> Iterable[Figure]:
    """How many of them are warnings or worse; none is no figure, so that any threshold is above it."""
    rows = Finding.objects.filter(closed_at=None, severity__in=_SERIOUS).order_by()
    kinds = Counter(rows.values_list("kind", flat=True))
    if kinds:
        detail = ", ".join(f"{kind}: {count:,}" for kind, count in kinds.most_common())
        yield Figure("", Decimal(kinds.total()), detail)


def register() -> None:
    """Have rules know of findings; for `ready()`."""
    measure = Measure("Findings of the nightly audit", "open findings", (AlertRule.Per.ALL,), _open)
    register_measure("findings", measure)
