"""What the probes last found, per upstream."""

from __future__ import annotations

from datetime import datetime
from typing import Any, TypedDict

from django.db.models import OuterRef, Subquery

from gateway_project.core.ids import public_id
from upstreams_app.models import HealthSample, Upstream


class UpstreamHealth(TypedDict):
    """The last probe of one upstream; `state` is healthy, down or unknown."""

    id: str
    name: str
    state: str
    latency_ms: float | None
    status_code: int | None
    error: str
    checked_at: str | None


def health_by_upstream() -> list[UpstreamHealth]:
    """Every enabled upstream with its last probe, in one query."""
    last = HealthSample.objects.filter(upstream=OuterRef("pk")).order_by("-at")
    columns = ("is_healthy", "latency_ms", "status_code", "error", "at")
    rows = Upstream.objects.filter(is_enabled=True).annotate(
        **{f"last_{name}": Subquery(last.values(name)[:1]) for name in columns}
    )
    return [
        _health(row)
        for row in rows.order_by("name").values("id", "name", *(f"last_{name}" for name in columns))
    ]


def _health(row: dict[str, Any]) -> UpstreamHealth:
    at: datetime | None = row["last_at"]
    return {
        "id": public_id("ups", row["id"]),
        "name": row["name"],
        "state": "unknown" if at is None else "healthy" if row["last_is_healthy"] else "down",
        "latency_ms": row["last_latency_ms"],
        "status_code": row["last_status_code"],
        "error": row["last_error"] or "",
        "checked_at": at.isoformat().replace("+00:00", "Z") if at else None,
    }
