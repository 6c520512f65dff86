"""Upstreams that are down, as a figure that alerts can watch."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal

from upstreams_app.models import UpstreamState
from upstreams_app.services.states import DOWN
from usage_app.models import AlertRule
from usage_app.services.alerts.measures import Figure, Measure


def _minutes_down(_rule: AlertRule, now: datetime) -> Iterable[Figure]:
    """How long each upstream that is down has been so."""
    for state in UpstreamState.objects.filter(state=DOWN).select_related("upstream"):
        minutes = max(0, int((now - state.since).total_seconds() // 60))
        yield Figure(state.upstream.name, Decimal(minutes))


UPSTREAM_DOWN = Measure("Upstream is down", "minutes", (AlertRule.Per.UPSTREAM,), _minutes_down)
