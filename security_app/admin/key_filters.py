"""Filters of the key list. Deleted keys are tombstones and stay out of sight until asked for."""

from __future__ import annotations

from datetime import timedelta

from django.contrib import admin
from django.db.models import Q, QuerySet, TextField
from django.db.models.functions import Cast
from django.http import HttpRequest

from gateway_project.core.clock import utc_now
from security_app.models import SCOPES, ApiKey


class StatusFilter(admin.SimpleListFilter):
    """By status; without a choice, all but the deleted."""

    title = "status"
    parameter_name = "status"

    def lookups(self, request: HttpRequest, model_admin: admin.ModelAdmin[ApiKey]) -> list[tuple[str, str]]:
        """The statuses of `ApiKey.status`."""
        return [(status, status.capitalize()) for status in ("active", "blocked", "expired", "deleted")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> QuerySet[ApiKey]:
        """The rows of the chosen status, with the precedence of `ApiKey.status`."""
        choice = self.value()
        if choice == "deleted":
            return queryset.filter(deleted_at__isnull=False)
        live = queryset.filter(deleted_at=None)
        has_expired = Q(expires_at__isnull=False, expires_at__lte=utc_now())
        if choice == "blocked":
            return live.filter(is_blocked=True)
        if choice == "expired":
            return live.filter(has_expired, is_blocked=False)
        if choice == "active":
            return live.filter(~has_expired, is_blocked=False)
        return live


class ScopeFilter(admin.SimpleListFilter):
    """By one scope among those of a key."""

    title = "scope"
    parameter_name = "scope"

    def lookups(self, request: HttpRequest, model_admin: admin.ModelAdmin[ApiKey]) -> list[tuple[str, str]]:
        """All scopes."""
        return [(scope, scope) for scope in SCOPES]

    def queryset(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> QuerySet[ApiKey]:
        """Rows whose list holds the scope; as text, since SQLite can't look into JSON lists."""
        if self.value() not in SCOPES:
            return queryset
        return queryset.alias(scopes_text=Cast("scopes", TextField())).filter(
            scopes_text__contains=f'"{self.value()}"'
        )


class ExpiryFilter(admin.SimpleListFilter):
    """By the time until a key ends."""

    title = "expiry"
    parameter_name = "expiry"

    def lookups(self, request: HttpRequest, model_admin: admin.ModelAdmin[ApiKey]) -> list[tuple[str, str]]:
        """Periods in days, and never."""
        return [("7", "Within 7 days"), ("30", "Within 30 days"), ("never", "Never")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> QuerySet[ApiKey]:
        """Rows that end in the chosen period, counted from now."""
        choice = self.value()
        if choice == "never":
            return queryset.filter(expires_at=None)
        if choice in ("7", "30"):
            now = utc_now()
            return queryset.filter(expires_at__gt=now, expires_at__lte=now + timedelta(days=int(choice)))
        return queryset
