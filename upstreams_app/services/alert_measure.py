"""Upstreams that are down, as a figure that alerts can watch."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal

from upstreams_app.models import Upstream
from upstreams_app.services.states import DOWN, state_reason, with_state
from usage_app.models import AlertRule
from usage_app.services.alerts.measures import Figure, Measure


def _minutes_down(_rule: AlertRule, now: datetime) -> Iterable[Figure]:
    """How long each upstream that is down has been so, and why it is.

    One that is switched off, or in maintenance, is not: its alert ends.
    """
    for row in with_state(Upstream.objects.filter(is_enabled=True), now=now).filter(health_state=DOWN):
        since = (row.noted_since if row.noted == DOWN else None) or now
        minutes = max(0, int((now - since).total_seconds() // 60))
        yield Figure(row.name, Decimal(minutes), state_reason(row))


UPSTREAM_DOWN = Measure("Upstream is down", "minutes", (AlertRule.Per.UPSTREAM,), _minutes_down)
