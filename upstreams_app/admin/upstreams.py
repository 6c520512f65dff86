"""Upstreams in the admin: where models are served, whether they answer, and what they serve."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, cast

from django.contrib import messages
from django.contrib.admin.utils import unquote
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from gateway_project.admin_base import display, log_change, moment, register
from security_app.admin.diagnostics import reasons_by_object, snapshot_context
from upstreams_app.admin.filters import StateFilter
from upstreams_app.admin.health import STATE_COLOURS
from upstreams_app.admin.health_strip import strip_of
from upstreams_app.admin.latency_line import latency_line
from upstreams_app.admin.option_fields import OPTION, field_names
from upstreams_app.admin.upstream_calls import UpstreamCallActions
from upstreams_app.admin.upstream_form import UpstreamForm
from upstreams_app.kinds import KINDS
from upstreams_app.models import HealthSample, RouteTarget, StateChange, Upstream, UpstreamModel
from upstreams_app.secret_hints import masked_headers
from upstreams_app.services.health import history
from upstreams_app.services.management import create_upstream, delete_upstream, update_upstream
from upstreams_app.services.overview import with_model_count
from upstreams_app.services.state_history import changes_of
from upstreams_app.services.states import UpstreamWithState, state_reason, with_state

if TYPE_CHECKING:

    class UpstreamRow(UpstreamWithState):
        """A row of the admin's own query."""

        model_count: int


_COLOURS = {**STATE_COLOURS, "left out": "danger", "disabled": "info"}
CHANGES_SHOWN = 10
# What stands in for a field in a form that can't be changed.
_READ_ONLY = {"headers": "shown_headers"}


@register(Upstream)
class UpstreamAdmin(UpstreamCallActions):
    """The services behind the door. Health comes from the last probe, in the list's own query."""

    form = UpstreamForm
    list_display = ("name", "kind", "base_url", "is_enabled", "model_count", "state", "latency", "checked")
    list_filter = (StateFilter, "kind", "is_enabled", "credential_source")
    search_fields = ("name", "base_url", "description")
    ordering = ("name",)
    list_before_template = "admin/upstreams_app/upstream/list_tools.html"
    change_form_outer_before_template = "admin/upstreams_app/upstream/status.html"
    _health: Any = (("is_in_maintenance", "maintenance_until"), ("is_probed", "probe_interval_s"))
    _tls: Any = (("ca_bundle", "tls_server_name"), ("client_certificate", "client_key"))
    _limits: Any = (
        ("connect_timeout_s", "first_token_timeout_s"),
        ("idle_timeout_s", "total_timeout_s"),
        ("max_concurrency", "asks_stream_usage"),
        ("queue_size", "queue_wait_s"),
        ("max_retries", "breaker_failures", "breaker_cooldown_s"),
    )
    # The script of the form shows only those of the chosen kind.
    _options: Any = tuple(
        (f"Options of {kind.label}", {"fields": field_names(kind), "classes": (f"gw-kind-{kind.id}",)})
        for kind in KINDS.values()
        if kind.options
    )
    fieldsets = (
        (None, {"fields": ("name", "kind", "description", "is_enabled")}),
        *_options,
        (
            "Connection",
            {"fields": ("base_url", "path_prefix", "api_version", "extra_endpoints", "headers")},
        ),
        ("Credential", {"fields": ("credential_source", "api_key", "credential_reference")}),
        ("Pass-through", {"fields": ("allows_passthrough",), "classes": ("collapse",)}),
        ("Health", {"fields": _health, "classes": ("collapse",)}),
        ("TLS", {"fields": _tls, "classes": ("collapse",)}),
        ("Timeouts and limits", {"fields": _limits, "classes": ("collapse",)}),
    )

    def get_fieldsets(self, request: HttpRequest, obj: Upstream | None = None) -> Any:
        """Whoever may only look is shown no column as it is stored if it may hold secrets."""
        fieldsets = super().get_fieldsets(request, obj)
        if obj is None:
            (title, options), *others = fieldsets
            return [(title, {**options, "fields": ("preset", *options["fields"])}), *others]
        if self.has_change_permission(request, obj):
            return fieldsets
        shown = [
            (title, {**options, "fields": [_READ_ONLY.get(str(name), name) for name in options["fields"]]})
            for title, options in fieldsets
            if not str(options["fields"][0]).startswith(OPTION)
        ]
        return [*shown, ("Options", {"fields": ("options",)})] if obj.options else shown

    def get_queryset(self, request: HttpRequest) -> QuerySet[UpstreamRow]:
        """With the number of models, the state and the last probe, in the same query."""
        return cast("QuerySet[UpstreamRow]", with_state(with_model_count(super().get_queryset(request))))

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        """With the rows that the snapshot left out, above the list."""
        context = {**snapshot_context(), "may_call": self.has_probe_permission(request)}
        return super().changelist_view(request, {**context, **(extra_context or {})})

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """With the state of the upstream and the buttons above the form."""
        row = cast("UpstreamRow | None", self.get_object(request, unquote(object_id)))
        context: dict[str, Any] = {}
        if row is not None:
            blocks = history([row.pk])[row.pk]
            context = {
                "upstream_state": self.state(row),
                "is_asked": row.may_be_probed,
                "upstream_reason": reasons_by_object("upstream").get(row.name) or state_reason(row),
                "upstream_strip": strip_of(blocks),
                "upstream_latency_line": latency_line(blocks),
                "upstream_changes": changes_of(row)[:CHANGES_SHOWN],
                "may_change": self.has_change_permission(request, row),
                "upstream_latency": self.latency(row) if self.state(row) == "healthy" else None,
                "upstream_checked": self.checked(row),
                "upstream_model_count": row.model_count,
                "upstream_models_url": _models_url(row),
                "may_call": self.has_probe_permission(request),
            }
        return super().change_view(request, object_id, form_url, {**context, **(extra_context or {})})

    # Columns

    @display(description="Models", ordering="model_count")
    def model_count(self, row: UpstreamRow) -> SafeString:
        """How many models the upstream has, as a link to them."""
        return format_html('<a href="{}">{}</a>', _models_url(row), row.model_count)

    @display(description="State", label=_COLOURS)
    def state(self, row: UpstreamWithState) -> str:
        """What stands in the way of calls, else the state of its health."""
        if not row.is_enabled:
            return "disabled"
        if row.name in reasons_by_object("upstream"):
            return "left out"
        return row.health_state

    @display(description="Extra headers")
    def shown_headers(self, row: Upstream) -> str:
        """The names of the extra headers, with masked values."""
        return json.dumps(masked_headers(row.headers), ensure_ascii=False)

    @display(description="Latency")
    def latency(self, row: UpstreamWithState) -> str | None:
        """Of the last probe."""
        return None if row.last_latency_ms is None else f"{row.last_latency_ms:.0f} ms"

    @display(description="Last checked", ordering="last_at", empty_value="never")
    def checked(self, row: UpstreamWithState) -> str | None:
        """When the last probe was."""
        return moment(row.last_at)

    # Writing, by the services

    def save_model(self, request: HttpRequest, obj: Upstream, form: Any, change: bool) -> None:
        """Make or change the upstream."""
        actor = request.user.get_username()
        if change:
            row = Upstream.objects.get(pk=obj.pk)
            update_upstream(row, actor=actor, **form.credential(), **form.values(form.changed_data))
        else:
            create_upstream(actor=actor, id=obj.pk, **form.credential(), **form.values(form.cleaned_data))
        log_change(request, obj, "changed" if change else "created")

    def delete_model(self, request: HttpRequest, obj: Upstream) -> None:
        """Delete the upstream with its models, and the routes that only it serves."""
        log_change(request, obj, "deleted")
        routes = delete_upstream(obj, actor=request.user.get_username())
        if routes:
            messages.info(
                request, f"These routes went too, as nothing was left in them: {', '.join(routes[:20])}."
            )

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Upstream]) -> None:
        """Delete the upstreams one by one."""
        for row in queryset:
            self.delete_model(request, row)

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """What goes with the upstreams, counted: a list of every model and probe would be endless."""
        rows = list(objs)
        pks = [row.pk for row in rows]
        counts = {
            "upstreams": len(rows),
            "models": UpstreamModel.objects.filter(upstream__in=pks).count(),
            "targets of routes": RouteTarget.objects.filter(model__upstream__in=pks).count(),
            "health samples": HealthSample.objects.filter(upstream__in=pks).count(),
            "state changes": StateChange.objects.filter(upstream__in=pks).count(),
        }
        is_allowed = all(self.has_delete_permission(request, row) for row in rows)
        lacking = set() if is_allowed else {str(self.opts.verbose_name)}
        return [f"{row}, and the routes that nothing else serves" for row in rows], counts, lacking, []


def _models_url(row: Upstream) -> str:
    return reverse("admin:upstreams_app_upstreammodel_changelist") + f"?upstream__id__exact={row.pk}"
