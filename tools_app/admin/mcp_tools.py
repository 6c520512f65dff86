"""Tools of MCP servers in the admin: what is pinned, what waits, and the page to decide on a change."""

from __future__ import annotations

import json
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.views.decorators.http import require_http_methods

from gateway_project.admin_base import InfinitePaginator, SwitchableModelAdmin, display, log_change, register
from gateway_project.core.errors import GatewayError
from tools_app.models import McpTool
from tools_app.services.mcp_approval import approve_tool, changes_of, visible, waiting_fingerprint
from tools_app.services.states import tool_problems

STATE_COLOURS = {
    "pinned": "success",
    "pending": "warning",
    "quarantined": "danger",
    "gone": "info",
    "off": "info",
}
_MAY_DECIDE = "tools_app.decide_mcptool"
_WAITING = (McpTool.State.PENDING, McpTool.State.QUARANTINED)


class WaitsFilter(admin.SimpleListFilter):
    """Those that a person has to decide on."""

    title = "decision"
    parameter_name = "waits"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """One choice beside all."""
        return [("yes", "Waits for one")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[McpTool]) -> QuerySet[McpTool]:
        """By the index on states."""
        return queryset.filter(state__in=_WAITING) if self.value() == "yes" else queryset


@register(McpTool)
class McpToolAdmin(SwitchableModelAdmin[McpTool]):
    """Found, not made: a person switches them on and off, and decides on what their servers say of them."""

    list_display = (
        "exposed_name",
        "server_name",
        "shown_state",
        "shown_findings",
        "shown_description",
        "is_enabled",
    )
    list_filter = (WaitsFilter, "state", "is_enabled", "server")
    list_select_related = ("server",)
    paginator = InfinitePaginator
    search_fields = ("exposed_name", "name")
    ordering = ("exposed_name",)
    change_form_outer_before_template = "admin/tools_app/mcptool/status.html"
    fields = (
        "exposed_name",
        "server",
        "name",
        "shown_state",
        "is_enabled",
        "fingerprint",
        "shown_definition",
    )
    readonly_fields = tuple(name for name in fields if name != "is_enabled")

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Never: servers bring them."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: McpTool | None = None) -> bool:
        """With their server alone."""
        return False

    def get_urls(self) -> list[URLPattern]:
        """The page to decide, before the form's own."""
        view = self.admin_site.admin_view(require_http_methods(["GET", "POST"])(self.decide_view))
        return [path("<path:object_id>/decide/", view, name="tools_app_mcptool_decide"), *super().get_urls()]

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """With what is wrong with the tool, and the way to the decision."""
        row = self.get_object(request, unquote(object_id))
        context: dict[str, Any] = {}
        if row is not None:
            context = {
                "tool_problem": tool_problems().get(row.exposed_name, ""),
                "findings": row.findings,
                "decide_url": reverse("admin:tools_app_mcptool_decide", args=(row.pk,)) if row.waits else "",
            }
        return super().change_view(request, object_id, form_url, {**context, **(extra_context or {})})

    def decide_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """What is otherwise than it was pinned, line by line, and a button that pins it so."""
        row = self.get_object(request, unquote(object_id))
        if row is None:
            raise Http404
        if not self.has_view_permission(request, row):
            raise PermissionDenied
        if request.method == "POST":
            return self._approve(request, row)
        context = {
            **self.admin_site.each_context(request),
            "title": f"Decide on {row.exposed_name}",
            "opts": self.opts,
            "row": row,
            "is_new": row.state == McpTool.State.PENDING,
            "changes": changes_of(row) if row.waits else [],
            "fingerprint": waiting_fingerprint(row),
            "may_decide": row.waits and request.user.has_perm(_MAY_DECIDE),
            "change_url": reverse("admin:tools_app_mcptool_change", args=(row.pk,)),
        }
        return TemplateResponse(request, "admin/tools_app/mcptool/decide.html", context)

    def _approve(self, request: HttpRequest, row: McpTool) -> HttpResponse:
        if not request.user.has_perm(_MAY_DECIDE):
            raise PermissionDenied
        given = request.POST.get("fingerprint", "")
        try:
            approve_tool(row, fingerprint=given, actor=request.user.get_username())
        except GatewayError as error:
            messages.error(request, f"Nothing was approved: {error.message}")
            return HttpResponseRedirect(request.path)
        log_change(request, row, "approved")
        messages.success(request, f"{row.exposed_name} is pinned as its server describes it now.")
        return HttpResponseRedirect(reverse("admin:tools_app_mcptool_change", args=(row.pk,)))

    # Columns

    @display(description="Server", ordering="server__name")
    def server_name(self, row: McpTool) -> str:
        """Its name."""
        return row.server.name

    @display(description="State", label=STATE_COLOURS)
    def shown_state(self, row: McpTool) -> tuple[str, str]:
        """Whether clients are told of it."""
        return ("off", "Off") if not row.is_enabled else (row.state, row.get_state_display())

    @display(description="Findings", empty_value="–")
    def shown_findings(self, row: McpTool) -> str | None:
        """How many the scanner has."""
        return str(len(row.findings)) if row.findings else None

    @display(description="Description", empty_value="–")
    def shown_description(self, row: McpTool) -> str | None:
        """The first words of what is pinned."""
        text = visible(" ".join(str(row.definition.get("description", "")).split()))
        return (text if len(text) <= 80 else f"{text[:80]}…") or None

    @display(description="Pinned definition")
    def shown_definition(self, row: McpTool) -> str:
        """All of it, with what is invisible written out."""
        text = json.dumps(row.definition, ensure_ascii=False, indent=2)
        return "\n".join(visible(line) for line in text.splitlines())
