"""What the probes last found, per upstream."""

from __future__ import annotations

from datetime import datetime
from typing import Any, TypedDict

from gateway_project.core.ids import public_id
from upstreams_app.models import Upstream
from upstreams_app.services.overview import PROBE_COLUMNS, with_last_probe


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
    rows = with_last_probe(Upstream.objects.filter(is_enabled=True)).order_by("name")
    return [_health(row) for row in rows.values("id", "name", *(f"last_{name}" for name in PROBE_COLUMNS))]


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
