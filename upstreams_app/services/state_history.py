"""What became of upstreams: changes of their states, the newest first."""

from __future__ import annotations

from django.db.models import QuerySet

from upstreams_app.models import StateChange, Upstream

SHOWN = 20


def changes_of(row: Upstream) -> QuerySet[StateChange]:
    """Those of one upstream."""
    return StateChange.objects.filter(upstream=row)


def latest_changes(limit: int = SHOWN) -> list[StateChange]:
    """Of all enabled upstreams, each with its upstream."""
    changes = StateChange.objects.filter(upstream__is_enabled=True).select_related("upstream")
    return list(changes[:limit])
