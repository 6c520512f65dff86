"""The audit, to look at and to export: what was done, by whom, and what changed.

There may be millions of events: no list here counts them, and every filter is one that an index serves.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.apps import apps
from django.contrib import admin
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.urls import URLPattern, path, reverse

from gateway_project.admin_base import (
    ConfigModelAdmin,
    InfinitePaginator,
    ReadOnlyModelAdmin,
    display,
    register,
)
from gateway_project.core.clock import utc_now
from security_app.models import AuditEvent
from security_app.services.audit import audit_head, record
from security_app.services.audit_list import FORMATS, EventFilter, event_changes, export_events

_COLOURS = {"denied": "danger", "login_failed": "danger", "deleted": "warning", "created": "success"}
# What is told by name; others can be searched for.
ACTIONS = (
    "created",
    "updated",
    "deleted",
    "restored",
    "revealed",
    "rotated",
    "denied",
    "logged_in",
    "login_failed",
    "logged_out",
    "factor_added",
    "factor_removed",
    "factor_reset",
    "identity_joined",
    "identity_parted",
    "exported",
    "pruned",
)
_PERIODS = {
    "hour": ("Last hour", timedelta(hours=1)),
    "day": ("Last 24 hours", timedelta(days=1)),
    "week": ("Last 7 days", timedelta(days=7)),
    "month": ("Last 30 days", timedelta(days=30)),
    "year": ("Last 365 days", timedelta(days=365)),
}
EXPORT_PERMISSION = "security_app.export_auditevent"


class PeriodFilter(admin.SimpleListFilter):
    """When it was."""

    title = "time"
    parameter_name = "period"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """The periods by name."""
        return [(name, title) for name, (title, _) in _PERIODS.items()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """The events of the period."""
        chosen = _PERIODS.get(str(self.value()))
        return queryset.filter(at__gte=utc_now() - chosen[1]) if chosen else queryset


class ActionFilter(admin.SimpleListFilter):
    """What was done."""

    title = "action"
    parameter_name = "action"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """The actions that have a name."""
        return [(name, name.replace("_", " ").capitalize()) for name in ACTIONS]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """The events of the action."""
        return queryset.filter(action=self.value()) if self.value() else queryset


class ObjectFilter(admin.SimpleListFilter):
    """What kind of object it was done to."""

    title = "object"
    parameter_name = "object"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Everything that has a history."""
        models = [model for model in apps.get_models() if model._meta.app_label.endswith(("_app", "auth"))]
        found = {
            model._meta.label_lower: str(model._meta.verbose_name) for model in models if has_history(model)
        }
        return sorted(found.items(), key=lambda pair: pair[1].lower())

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """The events of objects of the kind."""
        return queryset.filter(object_type=self.value()) if self.value() else queryset


def has_history(model: type[Any]) -> bool:
    """Whether changes of the model's rows are events."""
    return hasattr(model, "config_section") or model._meta.label_lower in ("auth.user", "auth.group")


@register(AuditEvent)
class AuditEventAdmin(ReadOnlyModelAdmin[AuditEvent]):
    """Events of the audit."""

    list_display = ("seq", "at", "actor", "shown_action", "shown_object", "ip")
    list_filter = (PeriodFilter, ActionFilter, ObjectFilter, "actor_kind")
    search_fields = ("seq",)
    search_help_text = "An event's number, an actor, an object's id, or the id of a request (req_…)."
    ordering = ("-seq",)
    sortable_by = ()
    paginator = InfinitePaginator
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    change_form_template = "admin/security_app/auditevent/change_form.html"
    list_before_template = "admin/security_app/auditevent/list_export.html"
    fieldsets = (
        (None, {"fields": ("seq", "at", "actor", "actor_kind", "action", "shown_object", "object_id", "ip")}),
        ("Evidence", {"fields": ("request_id", "event_id", "prev_hash", "hash", "key_id", "mac")}),
    )
    readonly_fields = ("shown_object",)

    @display(description="Action", label=_COLOURS)
    def shown_action(self, event: AuditEvent) -> tuple[str, str]:
        """The action as a badge."""
        return event.action, event.action.replace("_", " ").capitalize()

    @display(description="Object")
    def shown_object(self, event: AuditEvent) -> str:
        """What it was done to: its kind and name."""
        kind = event.object_type
        if "." in kind:
            try:
                kind = str(apps.get_model(kind)._meta.verbose_name)
            except LookupError:
                kind = event.object_type
        return f"{kind} {event.object_name}".strip()

    def get_urls(self) -> list[URLPattern]:
        """With the export."""
        view = self.admin_site.admin_view(self.export_view)
        return [path("export/", view, name="security_app_auditevent_export"), *super().get_urls()]

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[AuditEvent], search_term: str
    ) -> tuple[QuerySet[AuditEvent], bool]:
        """Exact matches only: a search for a part of a text would read the whole audit."""
        term = search_term.strip().replace("\0", "")
        if not term:
            return queryset, False
        if term.isascii() and term.isdecimal() and len(term) < 19:
            return queryset.filter(seq=int(term)), False
        if term.startswith("req_"):
            return queryset.filter(request_id=term), False
        is_id = len(term.replace("-", "")) == 32
        return queryset.filter(**({"object_id": term.replace("-", "")} if is_id else {"actor": term})), False

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        """With what changed, and the way back to it."""
        event = self.get_object(request, unquote(object_id)) if self.has_view_permission(request) else None
        context: dict[str, Any] = dict(extra_context or {})
        if event is not None:
            context |= {"event": event, **event_changes(event), "restore_url": _restore_url(request, event)}
        return super().change_view(request, object_id, form_url, context)

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """With links to exports of what is shown, for who may export."""
        links = []
        if request.user.has_perm(EXPORT_PERMISSION):
            url = reverse("admin:security_app_auditevent_export")
            for kind in FORMATS:
                query = request.GET.copy()
                query["format"] = kind
                links.append((kind.upper(), f"{url}?{query.urlencode()}"))
        return super().changelist_view(request, {"export_links": links, **(extra_context or {})})

    def export_view(self, request: HttpRequest) -> StreamingHttpResponse:
        """The events that the list's filters match, as a file; the export is an event itself."""
        if not request.user.has_perm(EXPORT_PERMISSION):
            raise PermissionDenied
        kind = request.GET.get("format", "")
        kind = kind if kind in FORMATS else FORMATS[0]
        wanted = _wanted(request)
        through = audit_head().seq
        record(
            "exported",
            object_type=AuditEvent._meta.label_lower,
            object_id="",
            object_name="audit",
            detail={"format": kind, "through": through, "filter": wanted.told()},
        )
        types = {"jsonl": "application/x-ndjson", "csv": "text/csv; charset=utf-8"}
        name = f"audit-{utc_now():%Y%m%d-%H%M%S}.{kind}"
        headers = {"content-disposition": f'attachment; filename="{name}"', "cache-control": "no-store"}
        lines = export_events(wanted, kind=kind, through=through)
        return StreamingHttpResponse(lines, content_type=types[kind], headers=headers)


def _wanted(request: HttpRequest) -> EventFilter:
    """What the list's filters say."""
    chosen = _PERIODS.get(request.GET.get("period", ""))
    return EventFilter(
        action=request.GET.get("action") or None,
        object_type=request.GET.get("object") or None,
        actor_kind=request.GET.get("actor_kind__exact") or None,
        start=utc_now() - chosen[1] if chosen else None,
    )


def _restore_url(request: HttpRequest, event: AuditEvent) -> str:
    """Where what the event tells can be brought back; only rows of the configuration can."""
    try:
        model = apps.get_model(event.object_type) if "." in event.object_type else None
    except LookupError:
        model = None
    found = admin.site._registry.get(model) if model is not None else None
    return found.restore_url(request, event) if isinstance(found, ConfigModelAdmin) else ""
