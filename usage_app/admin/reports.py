"""Saved reports in the admin; saving is the work of `usage_app.services.reports`."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.views.decorators.http import require_POST

from gateway_project.admin_base import InfinitePaginator, ModelAdmin, display, log_change, register
from gateway_project.core.errors import GatewayError
from usage_app.admin.report_form import OnceForm, ReportForm
from usage_app.models import Report, ReportExport
from usage_app.services.exports.formats import FORMATS
from usage_app.services.exports.query import zone
from usage_app.services.exports.storage import has_worker
from usage_app.services.reports import (
    create_report,
    delete_report,
    period_title,
    queue_export,
    update_report,
)

EXPORT = "usage_app.export_report"
NO_WORKER = (
    "No worker has looked for files to make within the last minute. “manage.py serve” starts one; "
    "“manage.py make_reports” makes what waits, once."
)


@register(Report)
class ReportAdmin(ModelAdmin[Report]):
    """Queries that somebody saved, with their schedules."""

    form = ReportForm
    paginator = InfinitePaginator
    list_display = ("name", "shown_period", "groups", "shown_format", "shown_schedule", "owner", "is_enabled")
    list_filter = ("schedule", "format", "is_enabled")
    search_fields = ("name", "owner")
    ordering = ("name",)
    change_form_outer_before_template = "admin/usage_app/report/status.html"
    fieldsets = (
        (None, {"fields": ("name", "format")}),
        ("Period", {"fields": ("period", ("first_day", "last_day"), "time_zone")}),
        ("Rows", {"fields": ("group_by", "filters")}),
        ("Schedule", {"fields": (("schedule", "hour"), "recipients", "bucket", "is_enabled")}),
    )

    def get_urls(self) -> list[URLPattern]:
        """Running a report and checking a form, before the form's own."""
        check = self.admin_site.admin_view(require_POST(check_view))
        run = self.admin_site.admin_view(require_POST(self.run_view))
        return [
            path("check/", check, name="usage_app_report_check"),
            path("<path:object_id>/run/", run, name="usage_app_report_run"),
            *super().get_urls(),
        ]

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        """Reports are deleted one by one, each by its page."""
        actions = super().get_actions(request)
        actions.pop("delete_selected", None)
        return actions

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """With a button that asks for a file."""
        row = self.get_object(request, unquote(object_id))
        context: dict[str, Any] = {}
        if row is not None:
            files = reverse("admin:usage_app_reportexport_changelist")
            context = {
                "may_run": request.user.has_perm(EXPORT),
                "run_url": reverse("admin:usage_app_report_run", args=(row.pk,)),
                "files_url": f"{files}?report__id__exact={row.pk}",
            }
        return super().change_view(request, object_id, form_url, {**context, **(extra_context or {})})

    def run_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Ask for a file, and go to its page."""
        if not request.user.has_perm(EXPORT):
            raise PermissionDenied
        row = self.get_object(request, unquote(object_id))
        if row is None:
            raise Http404
        return _ask(request, row)

    # Columns

    @display(description="Period")
    def shown_period(self, row: Report) -> str:
        """In words, with its zone."""
        return f"{period_title(row)}, {row.time_zone}"

    @display(description="Grouped by", empty_value="–")
    def groups(self, row: Report) -> str | None:
        """The columns."""
        return ", ".join(row.group_by) or None

    @display(description="Format", ordering="format")
    def shown_format(self, row: Report) -> str:
        """Its title."""
        return FORMATS[row.format].title if row.format in FORMATS else row.format

    @display(description="Schedule", empty_value="–")
    def shown_schedule(self, row: Report) -> str | None:
        """In words."""
        return f"{row.get_schedule_display()} at {row.hour:02d}:00" if row.schedule else None

    # Writing, by the services

    def save_model(self, request: HttpRequest, obj: Report, form: Any, change: bool) -> None:
        """Make or change the report."""
        if change:
            update_report(Report.objects.get(pk=obj.pk), form.values())
        else:
            obj.pk = create_report(request.user.get_username(), form.values()).pk
        log_change(request, obj, "changed" if change else "created")

    def delete_model(self, request: HttpRequest, obj: Report) -> None:
        """Delete the report; its files stay."""
        log_change(request, obj, "deleted")
        delete_report(obj)


def once_view(request: HttpRequest) -> HttpResponse:
    """A page that asks for one file of a report that is not saved."""
    form = OnceForm(request.POST if request.method == "POST" else None, initial={"name": "Usage"})
    if request.method == "POST" and form.is_valid():
        return _ask(request, form.instance)
    context = {
        "form": form,
        "media": form.media,
        "check_url": reverse("admin:usage_app_report_check"),
        "warning": "" if has_worker() else NO_WORKER,
        "waiting": ReportExport.objects.filter(state=ReportExport.State.QUEUED).count(),
        "files_url": reverse("admin:usage_app_reportexport_changelist"),
        "saved_url": reverse("admin:usage_app_report_changelist"),
    }
    return TemplateResponse(request, "admin_gateway/reports.html", context)


def check_view(request: HttpRequest) -> JsonResponse:
    """What is wrong with a form as it is being filled in, by field, or what it asks for."""
    if not request.user.has_perm(EXPORT):
        raise PermissionDenied
    form = OnceForm(request.POST)
    if form.is_valid() and form.query is not None:
        here = zone(form.query.time_zone)
        start, end = (f"{one.astimezone(here):%Y-%m-%d %H:%M}" for one in (form.query.start, form.query.end))
        return JsonResponse({"errors": {}, "summary": f"From {start} to {end}, {form.query.time_zone}."})
    errors = {_label(form, name): " ".join(map(str, texts)) for name, texts in form.errors.items()}
    return JsonResponse({"errors": errors, "summary": ""})


def _label(form: OnceForm, name: str) -> str:
    """What the page calls a field; "" for the form as a whole."""
    if name not in form.fields:
        return ""
    return str(form.fields[name].label or name.replace("_", " ").capitalize())


def _ask(request: HttpRequest, row: Report) -> HttpResponse:
    try:
        export = queue_export(row, requested_by=request.user.get_username())
    except GatewayError as error:
        messages.error(request, error.message)
        back = "admin:reports" if row._state.adding else "admin:usage_app_report_changelist"
        return HttpResponseRedirect(reverse(back))
    if not has_worker():
        messages.warning(request, NO_WORKER)
    return HttpResponseRedirect(reverse("admin:usage_app_reportexport_change", args=(export.pk,)))
