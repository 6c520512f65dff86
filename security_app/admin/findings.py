"""Findings of the nightly audit, to look at: what is wrong, and since when."""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from gateway_project.admin_base import InfinitePaginator, ReadOnlyModelAdmin, display, moment, register
from security_app.models import Finding
from security_app.services.finding_list import CLOSED, OPEN

_COLOURS = {"critical": "danger", "warning": "warning", "info": "info"}


class StateFilter(admin.SimpleListFilter):
    """Whether it is still so."""

    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Open or closed."""
        return [(OPEN, "Open"), (CLOSED, "Closed")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """The findings in that state."""
        value = self.value()
        return queryset.filter(closed_at__isnull=value == OPEN) if value in (OPEN, CLOSED) else queryset


@register(Finding)
class FindingAdmin(ReadOnlyModelAdmin[Finding]):
    """Findings, the newest first."""

    list_display = ("shown_kind", "shown_severity", "shown_object", "detail", "opened", "seen", "closed")
    list_filter = (StateFilter, "severity", "kind")
    search_fields = ("object_name", "=object_id")
    search_help_text = "A part of an object's name, or its whole id."
    ordering = ("-id",)
    sortable_by = ()
    paginator = InfinitePaginator
    fields = (
        "shown_kind",
        "shown_severity",
        "shown_object",
        "object_id",
        "detail",
        "source",
        "opened",
        "seen",
        "closed",
    )
    readonly_fields = fields

    @display(description="Finding")
    def shown_kind(self, finding: Finding) -> str:
        """Its kind in words."""
        return finding.kind.replace("_", " ").capitalize()

    @display(description="Severity", label=_COLOURS)
    def shown_severity(self, finding: Finding) -> tuple[str, str]:
        """The severity as a badge."""
        return finding.severity, finding.get_severity_display()

    @display(description="Object")
    def shown_object(self, finding: Finding) -> str:
        """What it is about: its kind and name."""
        kind = finding.object_type
        if "." in kind:
            try:
                kind = str(apps.get_model(kind)._meta.verbose_name)
            except LookupError:
                kind = finding.object_type
        return f"{kind} {finding.object_name or finding.object_id}".strip()

    @display(description="Opened (UTC)")
    def opened(self, finding: Finding) -> str | None:
        """When it was found at first."""
        return moment(finding.opened_at)

    @display(description="Last seen (UTC)")
    def seen(self, finding: Finding) -> str | None:
        """When it was found at last."""
        return moment(finding.seen_at)

    @display(description="Closed (UTC)")
    def closed(self, finding: Finding) -> str | None:
        """When it was not found any more."""
        return moment(finding.closed_at)
