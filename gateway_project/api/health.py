"""Liveness, readiness and metrics."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.db import DatabaseError
from ninja import Router

from gateway_project.api.database_look import DatabaseLook
from gateway_project.api.doors import PUBLIC, door
from gateway_project.api.exchange import Exchange
from gateway_project.core.codec import dumps
from gateway_project.core.errors import AuthenticationFailed, PermissionDenied
from gateway_project.core.threads import in_own_thread
from gateway_project.endpoints_health import endpoints
from gateway_project.gauges import stored_gauges
from gateway_project.lifecycle import lifecycle
from gateway_project.observability import exposition, metrics
from gateway_project.readiness import (
    Component,
    own_components,
    readiness_problems,
    readiness_warnings,
    stored_components,
    without_database,
)
from gateway_project.registries import store
from security_app.registry import DOORS
from security_app.registry.identities import MANAGEMENT
from security_app.services.authentication import authenticate_in
from security_app.services.door_modes import require_token
from security_app.services.permissions import decide_scope, require_entry
from upstreams_app.services.health import UpstreamHealth, health_by_upstream
from usage_app.services.ledger import ledger

router = Router(tags=["health"])
_DETAILS_S = 5.0
# Prometheus gives up after 10 s unless it was told otherwise.
_GAUGES_S = 1.0
_PROMETHEUS = (b"content-type", b"text/plain; version=0.0.4; charset=utf-8")
_stored_components = DatabaseLook(stored_components)
_stored_health = DatabaseLook(health_by_upstream)
_stored_gauges = DatabaseLook(stored_gauges)


async def _alive(exchange: Exchange, more: Mapping[str, Any] | None = None) -> None:
    await exchange.send_body(200, dumps({"status": "ok", "version": settings.VERSION, **(more or {})}))


async def _ready(exchange: Exchange) -> None:
    problems = readiness_problems()
    status = 503 if problems else 200
    state = "not ready" if problems else "ready"
    body: dict[str, Any] = {"status": state, "problems": problems, "warnings": readiness_warnings()}
    if _may_see_details(exchange):
        body["components"] = await _components()
    await exchange.send_body(status, dumps(body), extra=[(b"retry-after", b"5")] if problems else None)


def _may_see_details(exchange: Exchange) -> bool:
    """Whether the request shows a key with the scope `admin` or `metrics`; any other reads as a stranger."""
    token = exchange.token()
    if not token or not store.is_loaded:
        return False
    try:
        principal = authenticate_in(store.current, token)
        require_token(store.current.sections[DOORS].value, principal, MANAGEMENT)
        require_entry(principal, exchange.path, access="", ip=exchange.client_ip)
    except AuthenticationFailed as error:
        metrics.observe_denial(error.reason)
        return False
    except PermissionDenied:
        return False
    return any(decide_scope(principal, scope).is_allowed for scope in ("admin", "metrics"))


async def _components() -> list[Component]:
    own = asyncio.ensure_future(in_own_thread(own_components))
    try:
        stored = await _stored_components.within(_DETAILS_S)
    except TimeoutError:
        stored = without_database(f"The database did not answer within {_DETAILS_S:g} s.")
    return [*stored, *await own]


async def _upstreams() -> list[UpstreamHealth] | None:
    try:
        return await _stored_health.within(_DETAILS_S)
    except (TimeoutError, DatabaseError):
        return None


async def _upstream_gauges() -> list[metrics.Gauge]:
    """None while the database keeps us waiting: a scrape must not fail just then."""
    try:
        return await _stored_gauges.within(_GAUGES_S)
    except TimeoutError:
        return []


@door(router, "GET", "/health", access=PUBLIC, summary="Liveness", operation_id="health")
async def health(exchange: Exchange) -> None:
    """The process answers; nothing else is looked at.

    A key with the scope `admin` or `metrics` is told of each model as well, as LiteLLM does, by what is known
    already: no model is called. The lists are null while the database is away.
    """
    more = endpoints(await _upstreams()) if _may_see_details(exchange) else None
    await _alive(exchange, more)


@door(router, "GET", "/healthz", access=PUBLIC, include_in_schema=False)
async def healthz(exchange: Exchange) -> None:
    """Kubernetes' usual spelling of liveness."""
    await _alive(exchange)


@door(router, "GET", "/health/liveliness", access=PUBLIC, include_in_schema=False)
async def liveliness(exchange: Exchange) -> None:
    """LiteLLM's spelling of liveness."""
    await _alive(exchange)


@door(router, "GET", "/readyz", access=PUBLIC, summary="Readiness", operation_id="readiness")
async def readyz(exchange: Exchange) -> None:
    """Whether this process should get traffic: 503 while it drains or can't account for calls.

    A key with the scope `admin` or `metrics` is told about each part as well.
    """
    await _ready(exchange)


@door(router, "GET", "/health/readiness", access=PUBLIC, include_in_schema=False)
async def readiness(exchange: Exchange) -> None:
    """LiteLLM's spelling of readiness."""
    await _ready(exchange)


@door(router, "GET", "/health/upstreams", access="admin", summary="Upstreams", operation_id="upstream_health")
async def upstream_health(exchange: Exchange) -> None:
    """The state and the last probe of each upstream, and configuration that could not be used.

    `upstreams` is null while the database is away; the rest is known without it.
    """
    snapshot = lifecycle.snapshot()
    body: dict[str, Any] = {
        "upstreams": await _upstreams(),
        "diagnostics": [
            {"section": item.section, "object": item.object, "message": item.message}
            for item in snapshot.diagnostics()
        ],
        "ledger": ledger.health(),
        "snapshot": {"failure": store.failure, "age_s": round(time.monotonic() - store.checked_at, 3)},
    }
    await exchange.send_body(200, dumps(body))


@door(router, "GET", "/metrics", access="metrics", summary="Metrics", operation_id="metrics")
async def read_metrics(exchange: Exchange) -> None:
    """Metrics of all worker processes: JSON, or Prometheus' text form if the Accept header names it."""
    accepted = exchange.header(b"accept")
    if "text/plain" in accepted or "openmetrics" in accepted:
        await read_prometheus(exchange)
        return
    upstreams = await _upstream_gauges()
    body = await in_own_thread(exposition.render_json, upstreams)
    await exchange.send_body(200, body)


@door(router, "GET", "/metrics/prometheus", access="metrics", include_in_schema=False)
async def read_prometheus(exchange: Exchange) -> None:
    """Always Prometheus' text form, at the path that Agent Gateway's scrapers are configured with."""
    upstreams = await _upstream_gauges()
    text = await in_own_thread(exposition.render_text, upstreams)
    await exchange.send_body(200, text, content_type=_PROMETHEUS)
