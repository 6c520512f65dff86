"""Filters over upstreams, with choices that stay few however many upstreams there are."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from upstreams_app.models import Upstream
from upstreams_app.services.states import STATES

MAX_CHOICES = 100


class StateFilter(admin.SimpleListFilter):
    """Upstreams by the state of their health, which the list's query has as `health_state`."""

    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: admin.ModelAdmin[Any]) -> list[tuple[str, str]]:
        """The states."""
        return [(state, state.capitalize()) for state in STATES]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Enabled upstreams in the state; every one without a choice."""
        return queryset.filter(is_enabled=True, health_state=self.value()) if self.value() else queryset


class UpstreamFilter(admin.SimpleListFilter):
    """By upstream: the first hundred by name, and the one that a link asks for."""

    title = "upstream"
    parameter_name = "upstream__id__exact"

    def lookups(self, request: HttpRequest, model_admin: admin.ModelAdmin[Any]) -> list[tuple[str, str]]:
        """Ids and names."""
        rows = Upstream.objects.order_by("name").values_list("pk", "name")
        choices = [(str(pk), name) for pk, name in rows[:MAX_CHOICES]]
        chosen = request.GET.get(self.parameter_name, "")
        if len(choices) == MAX_CHOICES and _is_uuid(chosen) and all(pk != chosen for pk, _ in choices):
            choices += [(str(pk), name) for pk, name in rows.filter(pk=chosen)]
        return choices

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """The rows of one upstream; none for an id that isn't one."""
        value = self.value()
        if not value:
            return queryset
        return queryset.filter(upstream=value) if _is_uuid(value) else queryset.none()


def _is_uuid(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True
