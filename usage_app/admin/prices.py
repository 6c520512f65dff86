"""Prices: an administrator's own are edited here, the catalogue's are shown beside them."""

from __future__ import annotations

from typing import Any, NamedTuple
from urllib.parse import urlencode

from django.contrib.admin.utils import unquote
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse

from gateway_project.admin_base import ConfigModelAdmin, display, register
from gateway_project.core.clock import utc_now
from gateway_project.core.ids import parse_public_id
from usage_app.models import Price, PriceChange
from usage_app.models.rates import ALL_RATES, STRUCTURED_RATES
from usage_app.services.prices import prices_for_display, state_of
from usage_app.services.unpriced import unpriced_models

_SOURCE_COLOURS = {"override": "warning", "catalogue": "info"}
_STATES = {
    "holds": ("success", "holds"),
    "overridden": ("warning", "overridden"),
    "later": ("info", "later"),
    "past": ("default", "past"),
    "withdrawn": ("danger", "withdrawn"),
}
_STATE_COLOURS = {name: colour for name, (colour, _) in _STATES.items()}


# What a new price takes over from the one that it is to stand for.
_COPIED = ("model", *ALL_RATES, *STRUCTURED_RATES)


@register(Price)
class PriceAdmin(ConfigModelAdmin[Price]):
    """A price that is added here is an override: it beats the catalogue from its first day on."""

    list_display = (
        "model",
        "valid_from",
        "shown_state",
        "shown_source",
        "input",
        "output",
        "cached_input",
        "per_request",
    )
    list_filter = ("source",)
    search_fields = ("model",)
    ordering = ("model", "-valid_from")
    readonly_fields = ("source", "listed_as")
    list_before_template = "admin/usage_app/price/list_tools.html"
    change_form_outer_before_template = "admin/usage_app/price/instead.html"
    fieldsets = (
        (None, {"fields": ("model", "valid_from", "source", "listed_as", "is_withdrawn")}),
        (
            "Tokens",
            {"fields": ("input", "output", "cached_input", "cache_write", "cache_write_1h", "reasoning")},
        ),
        ("Audio and images", {"fields": ("input_audio", "output_audio", "input_image", "output_image")}),
        ("Not by tokens", {"fields": ("per_request", "per_image", "characters", "audio_hour", "per_search")}),
        ("Tiers", {"fields": ("tiers", "service_tiers", "picture_prices")}),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Price]:
        """With what tells which of the rows holds."""
        return prices_for_display(utc_now())

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        """With ways to what the catalogue would change and to models without a price."""
        may_see = request.user.has_perm("usage_app.view_pricechange")
        open_changes = PriceChange.objects.filter(state=PriceChange.State.OPEN).count() if may_see else 0
        context = {"may_see_changes": may_see, "open_changes": open_changes}
        return super().changelist_view(request, {**context, **(extra_context or {})})

    @display(description="State", label=_STATE_COLOURS)
    def shown_state(self, price: Price) -> tuple[str, str]:
        """Whether it holds now, as a badge."""
        state: str = state_of(price, utc_now())
        if state == "holds" and price.is_withdrawn:
            state = "withdrawn"
        return state, _STATES[state][1]

    @display(description="Source", label=_SOURCE_COLOURS)
    def shown_source(self, price: Price) -> tuple[str, str]:
        """The source as a badge."""
        return price.source, price.get_source_display()

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        """A new price holds from now on; `like` names one whose rates it begins with."""
        given = super().get_changeform_initial_data(request)
        like = parse_public_id("price", str(given.pop("like", "")))
        row = None if like is None else Price.objects.filter(pk=like).first()
        said = {} if row is None else {name: getattr(row, name) for name in _COPIED}
        return {"valid_from": utc_now().replace(microsecond=0), **said, **given}

    def change_view(self, request: HttpRequest, object_id: str, *args: Any, **kwargs: Any) -> HttpResponse:
        """With the way to a price instead of it."""
        row = self.get_object(request, unquote(object_id))
        if row is not None and _is_settled(row) and self.has_add_permission(request):
            url = f"{reverse('admin:usage_app_price_add')}?{urlencode({'like': row.pk.hex})}"
            kwargs["extra_context"] = {**(kwargs.get("extra_context") or {}), "instead_url": url}
        return super().change_view(request, object_id, *args, **kwargs)

    def has_change_permission(self, request: HttpRequest, obj: Price | None = None) -> bool:
        """What the catalogue says is not ours to change, and what has begun has made costs: add another."""
        return super().has_change_permission(request, obj) and not _is_settled(obj)

    def has_delete_permission(self, request: HttpRequest, obj: Price | None = None) -> bool:
        """Catalogue rows would come back, and records refer to what has begun: withdraw it by another one."""
        return super().has_delete_permission(request, obj) and not _is_settled(obj)


class UnpricedRow(NamedTuple):
    """A model without a price; `add_url` is empty for those who may not add one."""

    model: str
    is_configured: bool
    requests: str
    tokens: str
    add_url: str


def unpriced_view(request: HttpRequest) -> TemplateResponse:
    """Models without a price, the most used first, each with the way to its price."""
    rows = [
        UnpricedRow(
            row.model,
            row.is_configured,
            f"{row.requests:,}",
            f"{row.tokens:,}",
            add_price_url(request, row.model),
        )
        for row in unpriced_models(utc_now())
    ]
    return TemplateResponse(request, "admin_gateway/unpriced.html", {"rows": rows})


def add_price_url(request: HttpRequest, model: str) -> str:
    """Where a price for a model is added; "" for those who may not."""
    if not request.user.has_perm("usage_app.add_price"):
        return ""
    return f"{reverse('admin:usage_app_price_add')}?{urlencode({'model': model})}"


def _is_settled(price: Price | None) -> bool:
    """Whether a row is the catalogue's, or may have made a cost that leads to it."""
    if price is None or price._state.adding:
        return False
    return price.source == Price.Source.CATALOGUE or price.valid_from <= utc_now()
