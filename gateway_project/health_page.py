"""The health page of the admin: the state and the last day of each upstream, and the process's readiness."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.template.response import TemplateResponse
from django.urls import reverse

from gateway_project.core.clock import utc_now
from gateway_project.core.ids import parse_public_id
from gateway_project.readiness import Component, components
from upstreams_app.admin.health_strip import strip_of
from upstreams_app.admin.latency_line import latency_line
from upstreams_app.services.health import health_by_upstream, history
from upstreams_app.services.state_history import latest_changes
from upstreams_app.services.states import MAINTENANCE, by_severity

MAX_UPSTREAMS_SHOWN = 100


def health_view(request: HttpRequest) -> HttpResponse:
    """The page; readiness in detail is for administrators only."""
    if request.method not in ("GET", "HEAD"):
        return HttpResponseNotAllowed(["GET", "HEAD"])
    found = sorted(health_by_upstream(), key=lambda one: by_severity(one["state"]))
    shown = found[:MAX_UPSTREAMS_SHOWN]
    by_id = {key: one for one in shown if (key := parse_public_id("ups", one["id"]))}
    strips = history(by_id)
    has_pages = request.user.has_perm("upstreams_app.view_upstream")
    context = {
        "upstreams": [
            {
                "health": one,
                "url": reverse("admin:upstreams_app_upstream_change", args=[key]) if has_pages else "",
                "strip": strip_of(strips[key]),
                "latency_line": latency_line(strips[key]),
                "probe_url": reverse("admin:upstreams_app_upstream_probe", args=[key]),
                "key": key,
                "checked": (one["checked_at"] or "")[:19].replace("T", " "),
                "is_resting": one["state"] == MAINTENANCE,
            }
            for key, one in by_id.items()
        ],
        "more_upstreams": len(found) - len(shown),
        "changes": latest_changes(),
        "may_probe": has_pages and request.user.has_perm("upstreams_app.probe_upstream"),
        "may_rest": has_pages and request.user.has_perm("upstreams_app.change_upstream"),
        "list_url": reverse("admin:upstreams_app_upstream_changelist"),
        "components": [_shown(part) for part in components()] if request.user.is_superuser else [],
        "interval_s": settings.HEALTH_INTERVAL_S,
        "now": utc_now(),
    }
    return TemplateResponse(request, "admin_gateway/health.html", context)


def _shown(part: Component) -> dict[str, Any]:
    figures = [
        (name.replace("_", " "), value)
        for name, value in part["figures"].items()
        if value is not None and not isinstance(value, dict)
    ]
    return {**part, "shown": figures}
