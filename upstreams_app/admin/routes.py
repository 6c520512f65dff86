"""Routes in the admin: public model ids over one or more upstream models."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django.contrib.admin.utils import unquote
from django.db.models import Count, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.http import HttpRequest, HttpResponse
from django.urls import reverse

from gateway_project.admin_base import BadgedValue, SwitchableModelAdmin, TabularInline, display, register
from security_app.admin.diagnostics import reasons_by_object
from security_app.services.configuration import store
from upstreams_app.models import Route, RouteTarget
from upstreams_app.registry import UpstreamsConfig
from upstreams_app.services.simulation import fallbacks_of


class RouteTargetInline(TabularInline[RouteTarget, Route]):
    """The targets of a route, in the order in which they are tried."""

    model = RouteTarget
    fields = ("model", "priority", "weight", "is_enabled", "condition", "tags")
    autocomplete_fields = ("model",)
    ordering = ("priority", "id")
    extra = 0
    hide_title = True

    def get_queryset(self, request: HttpRequest) -> QuerySet[RouteTarget]:
        """With the names of models and upstreams, in one query."""
        return super().get_queryset(request).select_related("model__upstream", "route")


def _in_force(row: Route | None) -> dict[str, Any]:
    if row is None or not store.is_loaded:
        return {}
    upstreams: UpstreamsConfig = store.current.sections["upstreams"].value
    entry = upstreams.models.get(row.name)
    return {
        "fallback_nodes": () if entry is None else fallbacks_of(entry, upstreams),
        "simulator_url": f"{reverse('admin:simulate_route')}?{urlencode({'model': row.name})}",
    }


@register(Route)
class RouteAdmin(SwitchableModelAdmin[Route]):
    """Names of your own, such as `fast`, for models of any upstream."""

    list_display = ("name", "state", "strategy", "target_count", "is_enabled", "description")
    list_filter = ("is_enabled", "is_in_maintenance", "strategy")
    search_fields = ("name", "description")
    ordering = ("name",)
    inlines = (RouteTargetInline,)
    change_form_outer_before_template = "admin/upstreams_app/route/status.html"
    fieldsets = (
        (None, {"fields": ("name", "description", "aliases", "is_enabled")}),
        ("Choice", {"fields": (("strategy", "affinity"),)}),
        (
            "When a target fails",
            {
                "fields": (("max_attempts", "deadline_s"), "retry_policy", "fallbacks"),
                "classes": ("collapse",),
            },
        ),
        (
            "When a target takes long",
            {
                "fields": (("hedge_after_ms", "hedges_at_p95"), ("hedge_percent", "hedge_condition")),
                "classes": ("collapse",),
            },
        ),
        (
            "Requests and answers",
            {
                "fields": (
                    ("body_defaults", "body_overrides"),
                    "body_templates",
                    ("prompt_prepend", "prompt_append"),
                    ("upstream_header_defaults", "upstream_header_overrides"),
                    ("upstream_header_templates", "response_headers"),
                ),
                "classes": ("collapse",),
            },
        ),
        (
            "Maintenance",
            {
                "fields": ("is_in_maintenance", "maintenance_message", "maintenance_answer"),
                "classes": ("collapse",),
            },
        ),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Route]:
        """With the number of targets, in the same query."""
        targets = RouteTarget.objects.filter(route=OuterRef("pk")).order_by().values("route")
        count = Subquery(targets.annotate(rows=Count("pk")).values("rows"))
        return super().get_queryset(request).annotate(target_count=Coalesce(count, 0))

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """With the fallbacks as they are in force, and the way to the simulator."""
        context = _in_force(self.get_object(request, unquote(object_id)))
        return super().change_view(request, object_id, form_url, {**context, **(extra_context or {})})

    @display(
        description="State", label={"off": "info", "broken": "danger", "rests": "warning", "on": "success"}
    )
    def state(self, row: Route) -> BadgedValue:
        """Whether clients can use the route now."""
        if not row.is_enabled:
            return "off", "disabled"
        reason = reasons_by_object("route").get(row.name)
        if reason:
            return "broken", reason
        return ("rests", "in maintenance") if row.is_in_maintenance else ("on", "in use")

    @display(description="Targets", ordering="target_count")
    def target_count(self, row: Route) -> int:
        """Targets, also disabled ones."""
        return int(getattr(row, "target_count", 0))
