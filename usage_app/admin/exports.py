"""Files of reports in the admin: how far they are, downloads, manifests, and whether they are sound."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from django.conf import settings
from django.contrib import messages
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.http import (
    Http404,
    HttpRequest,
    HttpResponse,
    HttpResponseNotAllowed,
    HttpResponseRedirect,
    JsonResponse,
)
from django.http.response import HttpResponseBase
from django.template.defaultfilters import filesizeformat
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse

from gateway_project.admin_base import InfinitePaginator, ReadOnlyModelAdmin, display, moment, register
from gateway_project.core.errors import GatewayError
from usage_app.admin.reports import EXPORT, NO_WORKER
from usage_app.downloads import file_answer
from usage_app.models import ReportExport
from usage_app.services.exports.downloads import note_download, ready_file
from usage_app.services.exports.formats import FORMATS
from usage_app.services.exports.manifest import manifest_text
from usage_app.services.exports.sources import own_sources
from usage_app.services.exports.storage import has_worker
from usage_app.services.exports.verify import Verdict, is_sound, verify

STATE_COLOURS = {
    "queued": "info",
    "running": "warning",
    "done": "success",
    "failed": "danger",
    "expired": "info",
}
# What is larger is verified on the command line: a page's answer has to come in time.
MAX_VERIFIED_BYTES = 20_000_000
_View = Callable[[HttpRequest, str], HttpResponseBase]
_ENDED = ("done", "failed", "expired")


class Progress(NamedTuple):
    """How far a file is, for the page and for its script; `share` is None if nobody knows."""

    state: str
    title: str
    share: int | None
    text: str
    has_ended: bool


@register(ReportExport)
class ReportExportAdmin(ReadOnlyModelAdmin[ReportExport]):
    """One line a file, and a page for each."""

    paginator = InfinitePaginator
    list_display = (
        "title",
        "period",
        "shown_state",
        "progress",
        "shown_format",
        "size",
        "requested_by",
        "asked",
    )
    list_filter = ("state", "format")
    list_select_related = ("report",)
    search_fields = ("title", "requested_by", "sha256")
    search_help_text = "Title, who asked, or the file's SHA-256"
    ordering = ("-id",)

    def get_urls(self) -> list[URLPattern]:
        """What a file's page leads to, before the page's own."""
        read, write = ("GET", "HEAD"), ("POST",)
        views = (
            ("progress", self.progress_view, "usage_app.view_reportexport", read),
            ("download", self.download_view, EXPORT, read),
            ("manifest", self.manifest_view, EXPORT, read),
            ("verify", self.verify_view, EXPORT, write),
        )
        own = [
            path(
                f"<path:object_id>/{name}/",
                self.admin_site.admin_view(_guarded(view, permission, methods)),
                name=f"usage_app_reportexport_{name}",
            )
            for name, view, permission, methods in views
        ]
        return [*own, *super().get_urls()]

    def lookup_allowed(self, lookup: str, value: Any, request: HttpRequest) -> bool:
        """The files of one report are asked for by its page."""
        return lookup == "report__id__exact" or super().lookup_allowed(lookup, value, request)

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """The file's own page in place of a form."""
        row = self.get_object(request, unquote(object_id))
        if row is None:
            answer: HttpResponse = self._get_obj_does_not_exist_redirect(request, self.opts, object_id)  # type: ignore[attr-defined]
            return answer
        if not self.has_view_permission(request, row) or request.method == "POST":
            raise PermissionDenied
        return self._page(request, row)

    def progress_view(self, request: HttpRequest, object_id: str) -> JsonResponse:
        """How far it is, for the page's script."""
        return JsonResponse(progress_of(self._row(request, object_id))._asdict())

    def download_view(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        """The file."""
        row = self._row(request, object_id)
        try:
            file = ready_file(row)
        except GatewayError as error:
            messages.error(request, error.message)
            return HttpResponseRedirect(_url(row, "change"))
        note_download(row)
        return file_answer(request, file, name=row.file_name, content_type=FORMATS[row.format].content_type)

    def manifest_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """The manifest, as a file."""
        row = self._row(request, object_id)
        if row.manifest is None:
            raise Http404
        note_download(row, "manifest")
        disposition = f'attachment; filename="{row.file_name}.manifest.json"'
        return HttpResponse(
            manifest_text(row.manifest),
            content_type="application/json",
            headers={"content-disposition": disposition},
        )

    def verify_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Look whether file, manifest, rollups and audit chain agree, and say it on the page."""
        row = self._row(request, object_id)
        try:
            file = ready_file(row)
        except GatewayError as error:
            messages.error(request, error.message)
            return HttpResponseRedirect(_url(row, "change"))
        if (row.size_bytes or 0) > MAX_VERIFIED_BYTES:
            messages.warning(request, f"The file is large: use “manage.py verify_report {row.public_id}”.")
            return HttpResponseRedirect(_url(row, "change"))
        verdicts = verify(
            file,
            dict(row.manifest or {}),
            ring=settings.GATEWAY_ENCRYPTION_RING,
            sources=own_sources(),
            stored=row.manifest,
        )
        return self._page(request, row, verdicts)

    def _row(self, request: HttpRequest, object_id: str) -> ReportExport:
        row = self.get_object(request, unquote(object_id))
        if row is None:
            raise Http404
        if not self.has_view_permission(request, row):
            raise PermissionDenied
        return row

    def _page(
        self, request: HttpRequest, row: ReportExport, verdicts: list[Verdict] | None = None
    ) -> HttpResponse:
        is_waiting = row.state == ReportExport.State.QUEUED
        context = {
            **self.admin_site.each_context(request),
            "title": str(row),
            "opts": self.opts,
            "row": row,
            "progress": progress_of(row),
            "facts": _facts(row),
            "urls": {name: _url(row, name) for name in ("progress", "download", "manifest", "verify")},
            "may_export": request.user.has_perm(EXPORT),
            "is_done": row.state == ReportExport.State.DONE,
            "warning": NO_WORKER if is_waiting and not has_worker() else "",
            "verdicts": verdicts,
            "is_sound": verdicts is not None and is_sound(verdicts),
        }
        return TemplateResponse(request, "admin/usage_app/reportexport/page.html", context)

    # Columns

    @display(description="State", ordering="state", label=STATE_COLOURS)
    def shown_state(self, row: ReportExport) -> tuple[str, str]:
        """As a badge."""
        return row.state, row.get_state_display()

    @display(description="Progress")
    def progress(self, row: ReportExport) -> str:
        """Rows so far, of how many."""
        return progress_of(row).text

    @display(description="Format", ordering="format")
    def shown_format(self, row: ReportExport) -> str:
        """Its title."""
        return FORMATS[row.format].title if row.format in FORMATS else row.format

    @display(description="Size", empty_value="–")
    def size(self, row: ReportExport) -> str | None:
        """In units that people read."""
        return None if row.size_bytes is None else filesizeformat(row.size_bytes)

    @display(description="Asked for", ordering="id")
    def asked(self, row: ReportExport) -> str | None:
        """When."""
        return moment(row.created_at)


def _guarded(view: _View, permission: str, methods: tuple[str, ...]) -> _View:
    """The view for those who have the permission, by these methods only."""

    def guarded(request: HttpRequest, object_id: str) -> HttpResponseBase:
        if not request.user.has_perm(permission):
            raise PermissionDenied
        if request.method not in methods:
            return HttpResponseNotAllowed(methods)
        return view(request, object_id)

    return guarded


def progress_of(row: ReportExport) -> Progress:
    """How far a file is, in numbers and words."""
    total, done = row.total_rows, row.progress_rows
    has_ended = row.state in _ENDED
    if row.state == "failed":
        text = row.error
    elif row.state == "queued":
        text = "Waits for a worker"
    elif total is None:
        text = "Rows are being counted" if row.state == "running" else ""
    else:
        text = f"{done:,} of {total:,} rows"
    share = 100 if row.state in ("done", "expired") else done * 100 // total if total else None
    return Progress(row.state, row.get_state_display(), share, text, has_ended)


def _url(row: ReportExport, name: str) -> str:
    return reverse(f"admin:usage_app_reportexport_{name}", args=(row.pk,))


def _facts(row: ReportExport) -> list[tuple[str, str]]:
    query = row.query
    filters = [f"{name}: {', '.join(values)}" for name, values in query.get("filters", {}).items()]
    facts = [
        ("Period", row.period),
        ("From", str(query.get("start", ""))),
        ("To, not included", str(query.get("end", ""))),
        ("Time zone", str(query.get("time_zone", ""))),
        ("Grouped by", ", ".join(query.get("group_by", [])) or "nothing"),
        ("Filters", "; ".join(filters) or "none"),
        ("Asked for by", row.requested_by),
        ("Asked for at", f"{moment(row.created_at)} UTC"),
        ("Id", row.public_id),
    ]
    if row.sha256:
        facts += [
            ("File", row.file_name),
            ("Size", filesizeformat(row.size_bytes or 0)),
            ("SHA-256", row.sha256),
        ]
    for name, value in (row.manifest or {}).get("totals", {}).items():
        facts.append((f"Total of {name}", str(value)))
    if row.mail_state:
        facts.append(("Mail", f"{row.get_mail_state_display()} {row.mail_error}".strip()))
        facts.append(("To whom", ", ".join(row.recipients)))
    if row.upload_state:
        facts.append(("Bucket", f"{row.get_upload_state_display()} {row.upload_error}".strip()))
    if row.uploaded_as:
        facts.append(("Object", row.uploaded_as))
    return facts
