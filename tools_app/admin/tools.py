"""Tools in the admin: what agents can call, and a page to try one."""

from __future__ import annotations

import json
from typing import Any

from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.views.decorators.http import require_http_methods

from gateway_project.admin_base import SwitchableModelAdmin, display, log_change, register
from security_app.admin.diagnostics import snapshot_context
from tools_app.admin.tool_form import MEMBERS, ToolForm, TrialForm
from tools_app.models import Tool
from tools_app.services.management import create_tool, delete_tool, headers_for_display, update_tool
from tools_app.services.states import tool_problems
from tools_app.services.trial import Trial, try_tool

STATE_COLOURS = {"ready": "success", "left out": "danger", "off": "info"}
_TITLES = {"python": "Python function", "http": "HTTP request", "agent": "Agent"}


@register(Tool)
class ToolAdmin(SwitchableModelAdmin[Tool]):
    """The registry of tools. The kind of a tool is chosen when it is made."""

    form = ToolForm
    list_display = ("name", "kind", "shown_description", "state", "timeout_s", "is_enabled")
    list_filter = ("kind", "is_enabled")
    search_fields = ("name", "description")
    ordering = ("name",)
    list_before_template = "admin/tools_app/tool/list_tools.html"
    change_form_outer_before_template = "admin/tools_app/tool/status.html"
    _limits: Any = (("timeout_s", "max_result_bytes"),)

    def get_urls(self) -> list[URLPattern]:
        """The trial's address, before the form's own."""
        view = self.admin_site.admin_view(require_http_methods(["GET", "POST"])(self.trial_view))
        return [path("<path:object_id>/try/", view, name="tools_app_tool_try"), *super().get_urls()]

    def get_fieldsets(self, request: HttpRequest, obj: Tool | None = None) -> Any:
        """Of a tool that exists what its kind has; to those who may only look with masked headers."""
        kinds = list(MEMBERS) if obj is None else [obj.kind]
        if obj is None or self.has_change_permission(request, obj):
            of_kinds = [(_TITLES[kind], {"fields": tuple(MEMBERS[kind].values())}) for kind in kinds]
        else:
            of_kinds = [(_TITLES[obj.kind], {"fields": ("shown_config",)})]
        return [
            (None, {"fields": ("name", "kind", "description", "is_enabled")}),
            *of_kinds,
            ("Arguments", {"fields": ("parameters", "argument_guards")}),
            ("Limits of a call", {"fields": self._limits}),
        ]

    def get_readonly_fields(self, request: HttpRequest, obj: Tool | None = None) -> Any:
        """The kind stays."""
        return () if obj is None else ("kind", "shown_config")

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
        """With what is wrong with the tool, and the way to its trial."""
        row = self.get_object(request, unquote(object_id))
        context: dict[str, Any] = {}
        if row is not None:
            context = {
                "tool_problem": tool_problems().get(row.name, "") if row.is_enabled else "",
                "may_try": row.is_enabled and _may_try(request),
                "try_url": reverse("admin:tools_app_tool_try", args=(row.pk,)),
            }
        return super().change_view(request, object_id, form_url, {**context, **(extra_context or {})})

    def trial_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Call the tool with arguments of one's own, and show what comes."""
        row = self.get_object(request, unquote(object_id))
        if row is None:
            raise Http404
        if not _may_try(request):
            raise PermissionDenied
        trial: Trial | None = None
        form = TrialForm(request.POST if request.method == "POST" else None)
        if request.method == "POST" and form.is_valid():
            trial = try_tool(row.name, form.cleaned_data["arguments"], actor=request.user.get_username())
            log_change(request, row, "tried")
        context = {
            **self.admin_site.each_context(request),
            "title": f"Try {row.name}",
            "opts": self.opts,
            "row": row,
            "form": form,
            "trial": trial,
            "parameters": json.dumps(row.parameters, ensure_ascii=False, indent=2) if row.parameters else "",
            "change_url": reverse("admin:tools_app_tool_change", args=(row.pk,)),
        }
        return TemplateResponse(request, "admin/tools_app/tool/try.html", context)

    # Columns

    @display(description="Description", empty_value="–")
    def shown_description(self, row: Tool) -> str | None:
        """Its first words."""
        text = " ".join(row.description.split())
        return (text if len(text) <= 80 else f"{text[:80]}…") or None

    @display(description="State", label=STATE_COLOURS)
    def state(self, row: Tool) -> str:
        """Whether agents can call it, as this process sees it."""
        if not row.is_enabled:
            return "off"
        return "left out" if row.name in tool_problems() else "ready"

    @display(description="Configuration")
    def shown_config(self, row: Tool) -> str:
        """With masked values of headers."""
        return json.dumps({**row.config, "headers": headers_for_display(row)}, ensure_ascii=False)

    # Writing, by the services

    def save_model(self, request: HttpRequest, obj: Tool, form: Any, change: bool) -> None:
        """Make or change the tool."""
        actor = request.user.get_username()
        if change:
            values = form.values()
            # What was cleared in the form is gone; the service keeps what is left out.
            gone = {member: None for member in MEMBERS[obj.kind] if member not in values["config"]}
            values["config"] = gone | values["config"]
            update_tool(Tool.objects.get(pk=obj.pk), actor=actor, **values)
        else:
            create_tool(actor=actor, id=obj.pk, **form.values())
        log_change(request, obj, "changed" if change else "created")

    def delete_model(self, request: HttpRequest, obj: Tool) -> None:
        """Delete the tool."""
        log_change(request, obj, "deleted")
        delete_tool(obj, actor=request.user.get_username())

    def delete_queryset(self, request: HttpRequest, queryset: Any) -> None:
        """Delete the tools one by one."""
        for row in queryset:
            self.delete_model(request, row)


def _may_try(request: HttpRequest) -> bool:
    """Calling a tool is a permission of its own: it may act."""
    return request.user.has_perm("tools_app.try_tool")
