"""Prices: an administrator's own are edited here, the catalogue's are shown beside them."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest

from gateway_project.admin_base import ConfigModelAdmin, display, register
from gateway_project.core.clock import utc_now
from usage_app.models import Price

_SOURCE_COLOURS = {"override": "warning", "catalogue": "info"}


@register(Price)
class PriceAdmin(ConfigModelAdmin[Price]):
    """A price that is added here is an override: it beats the catalogue from its first day on."""

    list_display = ("model", "valid_from", "shown_source", "input", "output", "cached_input", "per_request")
    list_filter = ("source",)
    search_fields = ("model",)
    ordering = ("model", "-valid_from")
    readonly_fields = ("source",)
    fieldsets = (
        (None, {"fields": ("model", "valid_from", "source")}),
        ("Rates", {"fields": ("input", "output", "cached_input", "cache_write", "reasoning")}),
        ("Audio", {"fields": ("input_audio", "output_audio")}),
        ("More", {"fields": ("per_request", "tiers")}),
    )

    @display(description="Source", label=_SOURCE_COLOURS)
    def shown_source(self, price: Price) -> tuple[str, str]:
        """The source as a badge."""
        return price.source, price.get_source_display()

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        """A new price holds from now on."""
        return {
            "valid_from": utc_now().replace(microsecond=0),
            **super().get_changeform_initial_data(request),
        }

    def has_change_permission(self, request: HttpRequest, obj: Price | None = None) -> bool:
        """What the catalogue says is not ours to change: add an override instead."""
        return super().has_change_permission(request, obj) and not _is_catalogue(obj)

    def has_delete_permission(self, request: HttpRequest, obj: Price | None = None) -> bool:
        """Catalogue rows would come back; records refer to them as well."""
        return super().has_delete_permission(request, obj) and not _is_catalogue(obj)


def _is_catalogue(price: Price | None) -> bool:
    return price is not None and price.source == Price.Source.CATALOGUE
