"""Probe results and changes of states in the admin, to look at."""

from __future__ import annotations

from gateway_project.admin_base import (
    BadgedValue,
    InfinitePaginator,
    ReadOnlyModelAdmin,
    display,
    moment,
    register,
)
from upstreams_app.admin.filters import UpstreamFilter
from upstreams_app.models import HealthSample, StateChange

# Badges of states, in lists.
STATE_COLOURS = {
    "healthy": "success",
    "degraded": "warning",
    "down": "danger",
    "maintenance": "info",
    "unknown": "warning",
}


@register(HealthSample)
class HealthSampleAdmin(ReadOnlyModelAdmin[HealthSample]):
    """The probes of the last days, the newest first."""

    list_display = ("moment_of_probe", "upstream", "result", "status_code", "latency", "error")
    list_filter = (UpstreamFilter, "is_healthy")
    list_select_related = ("upstream",)
    ordering = ("-at",)
    fields = ("at", "upstream", "is_healthy", "status_code", "latency_ms", "error")

    @display(description="At", ordering="at")
    def moment_of_probe(self, row: HealthSample) -> str | None:
        """When the probe ended."""
        return moment(row.at)

    @display(description="Result", label={"healthy": "success", "down": "danger"})
    def result(self, row: HealthSample) -> BadgedValue:
        """Healthy or down, as a badge."""
        return ("healthy", "healthy") if row.is_healthy else ("down", "down")

    @display(description="Latency", ordering="latency_ms")
    def latency(self, row: HealthSample) -> str | None:
        """In milliseconds."""
        return None if row.latency_ms is None else f"{row.latency_ms:.0f} ms"


@register(StateChange)
class StateChangeAdmin(ReadOnlyModelAdmin[StateChange]):
    """When upstreams turned down, came back, or rested; the newest first."""

    list_display = ("moment_of_change", "upstream", "shown_state", "previous", "reason")
    list_filter = (UpstreamFilter, "state")
    list_select_related = ("upstream",)
    ordering = ("-at", "-id")
    paginator = InfinitePaginator
    fields = ("at", "upstream", "previous", "state", "reason")

    @display(description="At", ordering="at")
    def moment_of_change(self, row: StateChange) -> str | None:
        """When it was seen."""
        return moment(row.at)

    @display(description="State", ordering="state", label=STATE_COLOURS)
    def shown_state(self, row: StateChange) -> str:
        """The new state, as a badge."""
        return row.state
