"""Calls that limits and budgets refused: stored a minute at a time, and watched by alerts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from django.db.models import Sum

from gateway_project.core.clock import utc_now
from gateway_project.core.ids import parse_public_id
from security_app.services.denials import Denials
from usage_app.models import AlertRule, RefusedCalls
from usage_app.models.alert import MAX_WINDOW_MINUTES
from usage_app.models.rollup import MASTER_KEY
from usage_app.services.alerts.measures import MAX_SUBJECTS, Figure, Measure, register_measure, span_start

_BATCH = 1000
_PER = AlertRule.Per


def store_refusals(found: Sequence[Denials]) -> int:
    """Store what there is not yet; how many lines were given. Again changes nothing."""
    rows = [
        RefusedCalls(
            id=fold.id,
            at=datetime.fromtimestamp(fold.first, UTC),
            reason=fold.reason,
            key_id=parse_public_id("key", fold.who) or MASTER_KEY,
            calls=fold.count,
        )
        for fold in found
    ]
    RefusedCalls.objects.bulk_create(rows, ignore_conflicts=True)
    return len(rows)


def purge_refusals(*, now: datetime | None = None) -> int:
    """Delete what no alert rule can look back at."""
    cutoff = (now or utc_now()) - timedelta(minutes=MAX_WINDOW_MINUTES)
    deleted = 0
    while ids := list(RefusedCalls.objects.filter(at__lt=cutoff).values_list("pk", flat=True)[:_BATCH]):
        deleted += RefusedCalls.objects.filter(pk__in=ids).delete()[0]
    return deleted


def _reader(reason: str) -> Callable[[AlertRule, datetime], Iterable[Figure]]:
    def read(rule: AlertRule, now: datetime) -> Iterable[Figure]:
        rows = RefusedCalls.objects.filter(
            reason=reason, at__gte=span_start(rule, now), at__lte=now
        ).order_by()
        if rule.per == _PER.ALL:
            total = rows.aggregate(total=Sum("calls"))["total"]
            return [Figure("", Decimal(total))] if total else []
        by_key = rows.values_list("key_id").annotate(total=Sum("calls")).order_by("-total")[:MAX_SUBJECTS]
        return [Figure(key_id.hex, Decimal(total)) for key_id, total in by_key]

    return read


def register() -> None:
    """Have rules know of refused calls; for `ready()`."""
    for kind, title, reason in (
        ("rate_limited", "Calls refused by limits", "limit"),
        ("over_budget", "Calls refused by budgets", "budget"),
    ):
        register_measure(kind, Measure(title, "calls", (_PER.ALL, _PER.KEY), _reader(reason)))
