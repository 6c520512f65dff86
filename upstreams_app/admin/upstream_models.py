"""Models of the upstreams in the admin: a list of their own, since one upstream may serve hundreds."""

from __future__ import annotations

from django.db.models import F, QuerySet, Value
from django.db.models.functions import Concat
from django.http import HttpRequest

from gateway_project.admin_base import SwitchableModelAdmin, display, register
from upstreams_app.admin.filters import UpstreamFilter
from upstreams_app.models import UpstreamModel


@register(UpstreamModel)
class UpstreamModelAdmin(SwitchableModelAdmin[UpstreamModel]):
    """What the upstreams serve; “Import models” on an upstream adds them."""

    list_display = ("model_id", "mode", "is_enabled", "context_window", "max_output_tokens", "description")
    list_filter = (UpstreamFilter, "mode", "is_enabled")
    search_fields = ("model_id",)
    search_help_text = "Part of the id, as upstream/model"
    autocomplete_fields = ("upstream",)
    ordering = ("upstream__name", "name")
    fieldsets = (
        (None, {"fields": (("upstream", "name"), "mode", "is_enabled")}),
        ("Facts for clients", {"fields": (("context_window", "max_output_tokens"), "description")}),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[UpstreamModel]:
        """With the public id, to show and to search, in the same query."""
        public = Concat(F("upstream__name"), Value("/"), F("name"))
        return super().get_queryset(request).select_related("upstream").annotate(model_id=public)

    @display(description="Model id", ordering="model_id")
    def model_id(self, row: UpstreamModel) -> str:
        """What clients put into `model`."""
        return str(row)
