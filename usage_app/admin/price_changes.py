"""What the catalogue would change: a list to approve or to dismiss, whole or row by row."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html_join

from gateway_project.admin_base import (
    ReadOnlyModelAdmin,
    action,
    confirmation_page,
    display,
    is_confirmed,
    moment,
    register,
    selected_rows,
)
from usage_app.models import PriceChange
from usage_app.models.rates import ALL_RATES
from usage_app.services import price_changes
from usage_app.services.overrides import overridden
from usage_app.services.published_catalogue import CatalogueUnavailable

_KIND_COLOURS = {"new": "info", "changed": "warning", "removed": "danger"}
_STATE_COLOURS = {"open": "warning", "approved": "success", "dismissed": "info"}
_LIST = "admin:usage_app_pricechange_changelist"
_MAX_SHOWN = 4


@register(PriceChange)
class PriceChangeAdmin(ReadOnlyModelAdmin[PriceChange]):
    """Nothing costs otherwise before it is approved here, by the API or by the command."""

    list_display = ("model", "shown_kind", "summary", "change", "begins", "override", "shown_state")
    list_filter = ("state", "kind")
    search_fields = ("model",)
    # What is open comes first.
    ordering = ("-state", "model", "valid_from")
    list_before_template = "admin/usage_app/pricechange/list_tools.html"
    actions = ("approve_selected", "dismiss_selected")
    fields = (
        "model",
        "shown_kind",
        "shown_state",
        "begins",
        "shown_rates",
        "listed_as",
        "catalogue",
        "found",
        "decided",
    )
    readonly_fields = fields

    def get_urls(self) -> list[URLPattern]:
        """With the buttons of the list."""
        view = self.admin_site.admin_view
        return [
            path("refresh/", view(self.refresh_view), name="usage_app_pricechange_refresh_every"),
            path("approve-all/", view(self.approve_all_view), name="usage_app_pricechange_approve_every"),
            *super().get_urls(),
        ]

    def has_decide_permission(self, request: HttpRequest) -> bool:
        """Whether this person may let prices change."""
        return request.user.has_perm("usage_app.decide_pricechange")

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        """With what may be done."""
        may_decide = self.has_decide_permission(request)
        is_any = may_decide and PriceChange.objects.filter(state=PriceChange.State.OPEN).exists()
        context = {"may_decide": may_decide, "is_any_open": is_any}
        return super().changelist_view(request, {**context, **(extra_context or {})})

    def get_queryset(self, request: HttpRequest) -> QuerySet[PriceChange]:
        """With whether an override holds, in the same query."""
        return super().get_queryset(request).annotate(is_overridden=overridden())

    @display(description="What", label=_KIND_COLOURS)
    def shown_kind(self, row: PriceChange) -> tuple[str, str]:
        """As a badge."""
        return row.kind, row.get_kind_display()

    @display(description="State", label=_STATE_COLOURS)
    def shown_state(self, row: PriceChange) -> tuple[str, str]:
        """As a badge."""
        return row.state, row.get_state_display()

    @display(description="Rates")
    def summary(self, row: PriceChange) -> str:
        """The first rates that differ."""
        lines = differing_rates(row)
        more = f" and {len(lines) - _MAX_SHOWN} more" if len(lines) > _MAX_SHOWN else ""
        return "; ".join(lines[:_MAX_SHOWN]) + more

    @display(description="Largest change", ordering="largest_change")
    def change(self, row: PriceChange) -> str | None:
        """In percent."""
        return None if row.largest_change is None else f"{row.largest_change:+} %"

    @display(description="Begins (UTC)", ordering="valid_from")
    def begins(self, row: PriceChange) -> str:
        """When it would hold."""
        return moment(row.valid_from) or "when approved"

    @display(description="Override", label={"yes": "warning"})
    def override(self, row: PriceChange) -> tuple[str, str] | None:
        """Whether an administrator's price holds whatever is decided."""
        return ("yes", "holds anyway") if getattr(row, "is_overridden", False) else None

    @display(description="Rates")
    def shown_rates(self, row: PriceChange) -> str:
        """All that differ, one a line."""
        return format_html_join("", "<div>{}</div>", ((line,) for line in differing_rates(row)))

    @display(description="Found (UTC)")
    def found(self, row: PriceChange) -> str | None:
        """When it was compared."""
        return moment(row.found_at)

    @display(description="Decided (UTC)")
    def decided(self, row: PriceChange) -> str | None:
        """When, and by whom."""
        return f"{moment(row.decided_at)} by {row.decided_by}" if row.decided_at else None

    @action(description="Approve selected changes", permissions=("decide",))
    def approve_selected(self, request: HttpRequest, queryset: QuerySet[PriceChange]) -> HttpResponse | None:
        """After a question: what models cost changes."""
        rows = selected_rows(request, queryset.filter(state=PriceChange.State.OPEN))
        if rows and not is_confirmed(request):
            question = "Calls that begin from now on cost what the catalogue says. Approve?"
            return confirmation_page(
                request, self, rows=rows, question=question, button="Approve", is_dangerous=False
            )
        self._tell_approved(request, price_changes.approve([row.pk for row in rows]))
        return None

    @action(description="Dismiss selected changes", permissions=("decide",))
    def dismiss_selected(self, request: HttpRequest, queryset: QuerySet[PriceChange]) -> None:
        """Prices stay as they are."""
        rows = selected_rows(request, queryset.filter(state=PriceChange.State.OPEN))
        count = len(price_changes.dismiss([row.pk for row in rows]))
        messages.success(request, f"Dismissed {count} changes; the same is not proposed again.")

    def approve_all_view(self, request: HttpRequest) -> HttpResponse:
        """Approve whatever is open, after a question."""
        if not self.has_decide_permission(request):
            raise PermissionDenied
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        rows = list(PriceChange.objects.filter(state=PriceChange.State.OPEN).order_by("model")[:1000])
        if rows and not is_confirmed(request):
            question = "Calls that begin from now on cost what the catalogue says. Approve all of it?"
            return confirmation_page(
                request, self, rows=rows, question=question, button="Approve all", is_dangerous=False
            )
        # Only what was asked about: another comparison may have come between.
        asked = request.POST.getlist("_selected_action")
        known = {str(row.pk): row.pk for row in rows}
        self._tell_approved(request, price_changes.approve([known[key] for key in asked if key in known]))
        return HttpResponseRedirect(reverse(_LIST))

    def refresh_view(self, request: HttpRequest) -> HttpResponse:
        """Compare with a catalogue."""
        if not self.has_decide_permission(request):
            raise PermissionDenied
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        try:
            found = price_changes.refresh_prices(is_published=request.POST.get("catalogue") == "published")
        except CatalogueUnavailable as error:
            messages.error(request, f"The published catalogue can’t be used. {error}")
        else:
            counts = f"{found.new} new, {found.changed} changed, {found.removed} removed"
            unusable = f"; {found.unusable} of its prices make no sense" if found.unusable else ""
            messages.success(request, f"Compared: {counts}{unusable}. Nothing holds before it is approved.")
        return HttpResponseRedirect(reverse(_LIST))

    def _tell_approved(self, request: HttpRequest, rows: list[PriceChange]) -> None:
        messages.success(request, f"Approved {len(rows)} changes.")


def differing_rates(row: PriceChange) -> list[str]:
    """Rates that are not as before, as `input 2 → 1`."""
    lines = [
        f"{name.replace('_', ' ')} {_plain(row.before.get(name))} → {_plain(row.rates.get(name))}"
        for name in ALL_RATES
        if row.before.get(name) != row.rates.get(name)
    ]
    others = {
        "tiers": "tiers by context",
        "service_tiers": "ways of service",
        "picture_prices": "images by size and quality",
    }
    return [*lines, *(text for name, text in others.items() if row.before.get(name) != row.rates.get(name))]


def _plain(rate: Any) -> str:
    if not isinstance(rate, str):
        return "–"
    return (rate.rstrip("0").rstrip(".") if "." in rate else rate) or "0"
