"""MCP servers in the admin: a form, their state, and a button that connects and lists."""

from __future__ import annotations

from typing import Any

from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.db.models import Count, Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.views.decorators.http import require_POST

from gateway_project.admin_base import SwitchableModelAdmin, display, log_change, moment, register
from security_app.admin.diagnostics import snapshot_context
from tools_app.admin.mcp_form import McpServerForm
from tools_app.models import McpServer, McpServerState, McpTool
from tools_app.services.mcp_management import create_mcp_server, delete_mcp_server, update_mcp_server
from tools_app.services.mcp_trial import connect_and_list

STATE_COLOURS = {"ready": "success", "failing": "danger", "off": "info", "unknown": "warning"}
MAY_RUN = "tools_app.run_mcpserver"
_MAY_TRY = "tools_app.try_mcpserver"


@register(McpServer)
class McpServerAdmin(SwitchableModelAdmin[McpServer]):
    """The servers. One over stdio is a program on this machine: only administrators make or change it."""

    form = McpServerForm
    list_display = ("name", "transport", "state", "shown_tools", "latency", "checked", "is_enabled")
    list_filter = ("transport", "is_enabled")
    search_fields = ("name", "description", "url")
    ordering = ("name",)
    list_before_template = "admin/tools_app/mcpserver/list_servers.html"
    change_form_outer_before_template = "admin/tools_app/mcpserver/status.html"
    _pairs: Any = (
        ("connect_timeout_s", "call_timeout_s", "total_timeout_s"),
        ("max_sessions", "max_result_bytes"),
    )
    _tools: Any = (
        "allowed_tools",
        "argument_guards",
        "needs_approval",
        "access_groups",
        "refresh_interval_s",
    )
    fieldsets = (
        (None, {"fields": ("name", "description", "is_enabled")}),
        ("Connection", {"fields": ("transport", "url", "headers", "command", "args", "environment")}),
        ("Authorisation", {"fields": ("auth", "auth_name", "secret", "token_url", "scopes")}),
        ("Tools", {"fields": _tools}),
        ("Limits", {"fields": _pairs}),
    )

    def get_urls(self) -> list[URLPattern]:
        """The address that connects, before the form's own."""
        view = self.admin_site.admin_view(require_POST(self.connect_view))
        return [
            path("<path:object_id>/connect/", view, name="tools_app_mcpserver_connect"),
            *super().get_urls(),
        ]

    def get_fieldsets(self, request: HttpRequest, obj: McpServer | None = None) -> Any:
        """Without the secrets for those who may only look."""
        if obj is None or self.has_change_permission(request, obj):
            return self.fieldsets
        hidden = {"headers", "environment", "secret", "access_groups"}
        return [
            (title, {"fields": tuple(name for name in options["fields"] if name not in hidden)})
            for title, options in self.fieldsets
        ]

    def get_form(
        self, request: HttpRequest, obj: McpServer | None = None, change: bool = False, **kwargs: Any
    ) -> Any:
        """The form knows whether this person may have programs started."""
        form: Any = super().get_form(request, obj, change, **kwargs)
        form.may_run = request.user.has_perm(MAY_RUN)
        return form

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """Tools go with their server, though nobody deletes them alone."""
        found, counts, _, protected = super().get_deleted_objects(objs, request)
        return found, counts, set(), protected

    def has_change_permission(self, request: HttpRequest, obj: McpServer | None = None) -> bool:
        """Of a program on this machine more is needed."""
        if obj is not None and obj.is_stdio and not request.user.has_perm(MAY_RUN):
            return False
        return super().has_change_permission(request, obj)

    def get_queryset(self, request: HttpRequest) -> QuerySet[McpServer]:
        """With the states, and how many tools there are and wait."""
        waits = Q(tools__state__in=(McpTool.State.PENDING, McpTool.State.QUARANTINED))
        rows = super().get_queryset(request).select_related("noted_state")
        return rows.annotate(tool_count=Count("tools"), waiting_count=Count("tools", filter=waits))

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        """With the rows that the snapshot left out, above the list."""
        return super().changelist_view(request, {**snapshot_context(), **(extra_context or {})})

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """With the state, and the way to the tools."""
        row = self.get_object(request, unquote(object_id))
        context: dict[str, Any] = {}
        if row is not None:
            tools = reverse("admin:tools_app_mcptool_changelist")
            context = {
                "server_state": self.state(row),
                "noted": _noted(row),
                "may_connect": request.user.has_perm(_MAY_TRY),
                "connect_url": reverse("admin:tools_app_mcpserver_connect", args=(row.pk,)),
                "tools_url": f"{tools}?server__id__exact={row.pk}",
                "waiting_url": f"{tools}?server__id__exact={row.pk}&waits=yes",
            }
        return super().change_view(request, object_id, form_url, {**context, **(extra_context or {})})

    def connect_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Connect to the server as it is saved, list what it offers, and show how that went."""
        row = self.get_object(request, unquote(object_id))
        if row is None:
            raise Http404
        if not (request.user.has_perm(_MAY_TRY) and self.has_view_permission(request, row)):
            raise PermissionDenied
        if row.is_stdio and not request.user.has_perm(MAY_RUN):
            raise PermissionDenied
        found = connect_and_list(row, actor=request.user.get_username())
        log_change(request, row, "tried")
        context = {
            **self.admin_site.each_context(request),
            "title": f"Connect to {row.name}",
            "opts": self.opts,
            "row": row,
            "found": found,
            "connect_url": reverse("admin:tools_app_mcpserver_connect", args=(row.pk,)),
            "change_url": reverse("admin:tools_app_mcpserver_change", args=(row.pk,)),
        }
        return TemplateResponse(request, "admin/tools_app/mcpserver/connect.html", context)

    # Columns

    @display(description="State", label=STATE_COLOURS)
    def state(self, row: McpServer) -> str:
        """As the process that looks after it last found it."""
        noted = _noted(row)
        return "off" if not row.is_enabled else "unknown" if noted is None else noted.state

    @display(description="Tools")
    def shown_tools(self, row: Any) -> str:
        """How many, and how many wait for a person."""
        return f"{row.tool_count} ({row.waiting_count} waiting)" if row.waiting_count else str(row.tool_count)

    @display(description="Latency", empty_value="–")
    def latency(self, row: McpServer) -> str | None:
        """Of the last look."""
        noted = _noted(row)
        return None if noted is None or noted.latency_ms is None else f"{noted.latency_ms:.0f} ms"

    @display(description="Looked at", empty_value="–")
    def checked(self, row: McpServer) -> str | None:
        """When."""
        noted = _noted(row)
        return None if noted is None else moment(noted.checked_at)

    # Writing, by the services

    def save_model(self, request: HttpRequest, obj: McpServer, form: Any, change: bool) -> None:
        """Make or change the server."""
        actor = request.user.get_username()
        if change:
            update_mcp_server(McpServer.objects.get(pk=obj.pk), actor=actor, **form.values())
        else:
            create_mcp_server(actor=actor, id=obj.pk, **form.values())
        log_change(request, obj, "changed" if change else "created")

    def delete_model(self, request: HttpRequest, obj: McpServer) -> None:
        """Delete the server with its tools."""
        log_change(request, obj, "deleted")
        delete_mcp_server(obj, actor=request.user.get_username())

    def delete_queryset(self, request: HttpRequest, queryset: Any) -> None:
        """Delete the servers one by one."""
        for row in McpServer.objects.filter(pk__in=list(queryset.values_list("pk", flat=True))):
            self.delete_model(request, row)


def _noted(row: McpServer) -> McpServerState | None:
    return getattr(row, "noted_state", None)
