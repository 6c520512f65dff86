"""Upstreams that have been down for long, as findings of the nightly audit."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from security_app.models import Finding
from security_app.services.findings import FindingSource, Found
from upstreams_app.models import Upstream, UpstreamState
from upstreams_app.services.states import DOWN

LONG = timedelta(hours=1)


def _down(now: datetime) -> Iterator[Found]:
    states = UpstreamState.objects.filter(state=DOWN, since__lte=now - LONG, upstream__is_enabled=True)
    for state in states.select_related("upstream").order_by("pk"):
        upstream = state.upstream
        yield Found(
            "upstream_down",
            Finding.Severity.WARNING,
            f"It has been down since {state.since:%Y-%m-%d %H:%M} UTC.",
            Upstream._meta.label_lower,
            upstream.pk.hex,
            upstream.name,
        )


DOWN_UPSTREAMS = FindingSource("upstreams_down", _down)
