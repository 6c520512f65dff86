"""The admin's start page: what there is, what is wrong, and the first call to make."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, NamedTuple

from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse

from gateway_project.core.clock import utc_now
from security_app.admin.diagnostics import snapshot_context
from security_app.models import ApiKey
from security_app.services.configuration import store
from upstreams_app.models import Upstream, UpstreamModel
from upstreams_app.registry import UpstreamsConfig
from usage_app.models import UsageRecord

# A count reads this many rows at most, so that the page stays fast on any ledger.
COUNT_LIMIT = 100_000


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
        "title": "Start",
        **(snapshot_context() if sees_configuration else {}),
        "facts": _facts(request),
        "base_url": request.build_absolute_uri("/v1"),
        "example_model": _example_model(),
        "add_key_url": reverse("admin:security_app_apikey_add"),
        "may_add_key": request.user.has_perm("security_app.add_apikey"),
    }


def _facts(request: HttpRequest) -> list[Fact]:
    since = utc_now() - timedelta(hours=24)
    candidates: list[tuple[str, str, QuerySet[Any], str]] = [
        ("Upstreams", "enabled", Upstream.objects.filter(is_enabled=True), "upstreams_app_upstream"),
        (
            "Models",
            "enabled",
            UpstreamModel.objects.filter(is_enabled=True, upstream__is_enabled=True),
            "upstreams_app_upstreammodel",
        ),
        ("API keys", "not deleted", ApiKey.objects.filter(deleted_at=None), "security_app_apikey"),
        (
            "Requests",
            "in the last 24 hours",
            UsageRecord.objects.filter(at__gte=since),
            "usage_app_usagerecord",
        ),
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
