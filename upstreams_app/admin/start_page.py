"""The admin's start page: what was used, how the upstreams are, what is wrong, and the first call to make."""

from __future__ import annotations

from typing import Any, NamedTuple

from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse

from security_app.admin.diagnostics import snapshot_context
from security_app.models import ApiKey
from security_app.services.configuration import store
from upstreams_app.models import Upstream, UpstreamModel
from upstreams_app.registry import UpstreamsConfig
from upstreams_app.services.health import health_by_upstream
from upstreams_app.services.states import by_severity
from usage_app.admin.dashboard import usage_context

# A count reads this many rows at most, so that the page stays fast on any number of rows.
COUNT_LIMIT = 100_000
MAX_UPSTREAMS_SHOWN = 50


class Fact(NamedTuple):
    """One card: a number, what it counts, and where to see it."""

    title: str
    number: str
    note: str
    url: str


def add_facts(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Add the start page's facts to its context (`UNFOLD["DASHBOARD_CALLBACK"]`)."""
    sees_configuration = request.user.has_perm("upstreams_app.view_upstream")
    return {
        **context,
        "title": "Dashboard",
        **(snapshot_context() if sees_configuration else {}),
        **(_health() if sees_configuration else {}),
        **usage_context(request),
        "facts": _facts(request),
        "base_url": request.build_absolute_uri("/v1"),
        "example_model": _example_model(),
        "add_key_url": reverse("admin:security_app_apikey_add"),
        "may_add_key": request.user.has_perm("security_app.add_apikey"),
    }


def _health() -> dict[str, object]:
    """The enabled upstreams with their state, those in trouble first."""
    found = sorted(health_by_upstream(), key=lambda one: by_severity(one["state"]))
    return {
        "upstreams": found[:MAX_UPSTREAMS_SHOWN],
        "more_upstreams": max(0, len(found) - MAX_UPSTREAMS_SHOWN),
        "upstreams_url": reverse("admin:upstreams_app_upstream_changelist"),
    }


def _facts(request: HttpRequest) -> list[Fact]:
    candidates: list[tuple[str, str, QuerySet[Any], str]] = [
        ("Upstreams", "enabled", Upstream.objects.filter(is_enabled=True), "upstreams_app_upstream"),
        (
            "Models",
            "enabled",
            UpstreamModel.objects.filter(is_enabled=True, upstream__is_enabled=True),
            "upstreams_app_upstreammodel",
        ),
        ("API keys", "not deleted", ApiKey.objects.filter(deleted_at=None), "security_app_apikey"),
    ]
    return [
        Fact(title, _bounded_count(rows), note, reverse(f"admin:{name}_changelist"))
        for title, note, rows, name in candidates
        if request.user.has_perm(f"{rows.model._meta.app_label}.view_{rows.model._meta.model_name}")
    ]


def _bounded_count(rows: QuerySet[Any]) -> str:
    count = rows.order_by()[: COUNT_LIMIT + 1].count()
    return f"{count:,}" if count <= COUNT_LIMIT else f"{COUNT_LIMIT:,}+"


def _example_model() -> str:
    """The first chat model that clients see in /v1/models; "" if there is none."""
    if not store.is_loaded:
        return ""
    config: UpstreamsConfig = store.current.sections["upstreams"].value
    chat_models = (entry.id for entry in config.models.values() if entry.mode == UpstreamModel.Mode.CHAT)
    return next(chat_models, "")
