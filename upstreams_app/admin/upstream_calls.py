"""The buttons and actions that call upstreams: probing them, and importing the models that they list."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from django.contrib import messages
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import (
    Http404,
    HttpRequest,
    HttpResponse,
    HttpResponseNotAllowed,
    HttpResponseRedirect,
    JsonResponse,
)
from django.urls import URLPattern, path, reverse

from gateway_project.admin_base import action, selected_rows
from gateway_project.core.errors import UpstreamFailed
from upstreams_app.admin.maintenance import MaintenanceActions
from upstreams_app.models import HealthSample, Upstream
from upstreams_app.services.discovery import RefreshResult, import_models, refresh_upstreams
from upstreams_app.services.probe_rounds import probe_all, probe_upstream
from upstreams_app.services.trials import try_upstream

# The browser waits for the calls, and each may take ten seconds.
MAX_CALLS_PER_ACTION = 10
# Messages may travel in a cookie of 4 kB.
MAX_OUTCOMES_SHOWN = 10


class Outcome(NamedTuple):
    """What a call to one upstream came to, as a message: its level, and its text."""

    level: int
    text: str


def probe(rows: Sequence[Upstream] | None) -> list[Outcome]:
    """Probe these upstreams, or every enabled one, and keep the samples."""
    if rows is None:
        return [_probed(sample.upstream.name, sample) for sample in probe_all()]
    return [_probed(row.name, probe_upstream(row)) for row in rows]


def _probed(name: str, sample: HealthSample | None) -> Outcome:
    if sample is None:
        return Outcome(messages.INFO, f"{name} is not probed: its callers bring their own credential.")
    if not sample.is_healthy:
        return Outcome(messages.WARNING, f"{name} failed its probe: {sample.error}.")
    return Outcome(messages.SUCCESS, f"{name} answered its probe in {sample.latency_ms or 0:.0f} ms.")


def import_from(rows: Sequence[Upstream] | None) -> list[Outcome]:
    """Add the models that these upstreams, or all enabled ones, list."""
    results = refresh_upstreams() if rows is None else {row.name: _import(row) for row in rows}
    return [_imported(name, result) for name, result in results.items()]


def _import(row: Upstream) -> RefreshResult:
    try:
        return RefreshResult(import_models(row), "")
    except UpstreamFailed as error:
        return RefreshResult(None, error.message)


def _imported(name: str, result: RefreshResult) -> Outcome:
    if result.imported is None:
        return Outcome(messages.WARNING, f"{name}: nothing was imported. {result.error}")
    added, updated, kept = result.imported
    return Outcome(messages.SUCCESS, f"{name}: {added} models added, {updated} completed, {kept} unchanged.")


Call = Callable[[Sequence[Upstream] | None], list[Outcome]]


class UpstreamCallActions(MaintenanceActions):
    """Adds “Probe now” and “Import models”, to the list and to the form; a dead upstream is a message."""

    actions = (
        "probe_selected",
        "import_selected",
        "start_maintenance",
        "end_maintenance",
        "enable",
        "disable",
    )

    def get_urls(self) -> list[URLPattern]:
        """The buttons' addresses, before the form's own."""
        view = self.admin_site.admin_view
        return [
            path("probe/", view(self.probe_every_view), name="upstreams_app_upstream_probe_every"),
            path("import/", view(self.import_every_view), name="upstreams_app_upstream_import_every"),
            path("<path:object_id>/probe/", view(self.probe_view), name="upstreams_app_upstream_probe"),
            path("<path:object_id>/trial/", view(self.trial_view), name="upstreams_app_upstream_trial"),
            path("<path:object_id>/import/", view(self.import_view), name="upstreams_app_upstream_import"),
            *super().get_urls(),
        ]

    def has_probe_permission(self, request: HttpRequest) -> bool:
        """Whether this person may have upstreams called, which is a permission of its own."""
        return request.user.has_perm("upstreams_app.probe_upstream")

    def probe_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """“Probe now” of one upstream."""
        return self._call_one(request, object_id, probe)

    def trial_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """What comes of trying one upstream, for the script of “Test upstreams”."""
        row = self._row_to_call(request, object_id)
        if row is None:
            return HttpResponseNotAllowed(["POST"])
        trial = try_upstream(row)
        return JsonResponse({**trial._asdict(), "models": [model._asdict() for model in trial.models]})

    def import_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """“Import models” of one upstream."""
        return self._call_one(request, object_id, import_from)

    def probe_every_view(self, request: HttpRequest) -> HttpResponse:
        """“Probe all” of the list."""
        return self._call_every(request, probe)

    def import_every_view(self, request: HttpRequest) -> HttpResponse:
        """“Refresh models” of the list."""
        return self._call_every(request, import_from)

    @action(description="Probe selected upstreams now", permissions=("probe",))
    def probe_selected(self, request: HttpRequest, queryset: QuerySet[Upstream]) -> None:
        """Ask each whether it answers."""
        self._call(request, selected_rows(request, queryset), probe)

    @action(description="Import models of selected upstreams", permissions=("probe",))
    def import_selected(self, request: HttpRequest, queryset: QuerySet[Upstream]) -> None:
        """Add the models that each lists."""
        self._call(request, selected_rows(request, queryset), import_from)

    def _row_to_call(self, request: HttpRequest, object_id: str) -> Upstream | None:
        """The upstream that a button is for; None if nobody pressed it."""
        if request.method != "POST":
            return None
        row = self.get_object(request, unquote(object_id))
        if row is None:
            raise Http404
        if not self.has_probe_permission(request):
            raise PermissionDenied
        return row

    def _call_one(self, request: HttpRequest, object_id: str, call: Call) -> HttpResponse:
        row = self._row_to_call(request, object_id)
        if row is None:
            return HttpResponseNotAllowed(["POST"])
        self._call(request, [row], call)
        if request.POST.get("back") == "health":
            return HttpResponseRedirect(reverse("admin:health"))
        return HttpResponseRedirect(reverse("admin:upstreams_app_upstream_change", args=(row.pk,)))

    def _call_every(self, request: HttpRequest, call: Call) -> HttpResponse:
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        if not self.has_probe_permission(request):
            raise PermissionDenied
        self._tell(request, call(None))
        return HttpResponseRedirect(reverse("admin:upstreams_app_upstream_changelist"))

    def _call(self, request: HttpRequest, rows: list[Upstream], call: Call) -> None:
        if len(rows) > MAX_CALLS_PER_ACTION:
            messages.error(request, f"Select at most {MAX_CALLS_PER_ACTION} upstreams at a time.")
            return
        self._tell(request, call(rows))

    def _tell(self, request: HttpRequest, outcomes: list[Outcome]) -> None:
        if not outcomes:
            messages.info(request, "There is no enabled upstream to ask.")
        for outcome in outcomes[:MAX_OUTCOMES_SHOWN]:
            messages.add_message(request, outcome.level, outcome.text)
        if len(outcomes) > MAX_OUTCOMES_SHOWN:
            messages.info(
                request, f"{len(outcomes) - MAX_OUTCOMES_SHOWN} more upstreams were asked; see the list."
            )
