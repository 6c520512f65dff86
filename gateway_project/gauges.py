"""The gauges of a server process: what it does now, and how its ledger and its configuration are."""

from __future__ import annotations

import time

from django.db import DatabaseError

from agents_app.services.process_slots import slots
from gateway_project.lifecycle import lifecycle
from gateway_project.observability import metrics
from gateway_project.observability.metrics import MAX_LABEL_VALUES, Gauge
from gateway_project.registries import store
from security_app.services.limiting import limiting
from tools_app.services.mcp_client.pool import mcp_pool
from upstreams_app.services.answer_cache.cache import answer_cache
from upstreams_app.services.health import health_by_upstream
from upstreams_app.services.states import STATES
from usage_app.services.ledger import ledger
from usage_app.services.sinks.lag import sink_lags


def process_gauges() -> list[Gauge]:
    """This process's part; from memory only."""
    health = ledger.health()
    stores = health["is_running"] and health["database_error"] is None
    gauges = [
        Gauge("in_flight", [], len(lifecycle.ticker.scopes)),
        Gauge("agent_processes", [], slots.used),
        Gauge("ledger_backlog", [], health["backlog_bytes"]),
        Gauge("ledger_rejected", [], health["rejected_files"]),
        Gauge("ledger_flusher_up", [], int(stores)),
    ]
    gauges += [
        Gauge("limits_counted", [], int(limiting.problem() is None)),
        Gauge("limits_uncounted_calls", [], limiting.unavailable_calls),
        Gauge("reservations", [], limiting.limiter.state().open_tickets),
    ]
    ejected = lifecycle.clients.tracker.ejected(time.monotonic())
    gauges += [
        Gauge("upstream_ejected_models", [name], len(models))
        for name, models in sorted(ejected.items())[:MAX_LABEL_VALUES]
    ]
    gauges += [
        Gauge("cache_entries", [], len(answer_cache.memory)),
        Gauge("cache_bytes", [], answer_cache.memory.size_bytes),
    ]
    gauges += [
        Gauge("mcp_sessions", [name], count)
        for name, count in sorted(mcp_pool.open_sessions().items())[:MAX_LABEL_VALUES]
    ]
    if health["free_bytes"] is not None:
        gauges.append(Gauge("ledger_free", [], health["free_bytes"]))
    if health["seconds_since_flush"] is not None:
        gauges.append(Gauge("ledger_flush_age", [], health["seconds_since_flush"]))
    if store.is_loaded:
        snapshot = store.current
        gauges += [
            Gauge("snapshot_version", [name], section.version) for name, section in snapshot.sections.items()
        ]
        gauges += [
            Gauge("snapshot_age", [], time.monotonic() - store.checked_at),
            Gauge("snapshot_failed", [], int(store.failure is not None)),
            Gauge("diagnostics", [], len(snapshot.diagnostics())),
        ]
    return gauges


def upstream_gauges() -> list[Gauge]:
    """The states of upstreams, from the database; none while that is away: a scrape must not fail then."""
    try:
        rows = health_by_upstream()[:MAX_LABEL_VALUES]
    except DatabaseError:
        return []
    return [
        Gauge("upstream_state", [row["name"], state], int(row["state"] == state))
        for row in rows
        for state in STATES
    ]


def sink_gauges() -> list[Gauge]:
    """How far sinks of usage events are behind, from the database; none while that is away."""
    try:
        rows = sink_lags()[:MAX_LABEL_VALUES]
    except DatabaseError:
        return []
    return [
        gauge
        for sink, lag in rows
        for gauge in (
            Gauge("sink_lag", [sink.name], lag.total_seconds()),
            Gauge("sink_lost", [sink.name], sink.state.lost_events),
        )
    ]


def stored_gauges() -> list[Gauge]:
    """All that is asked of the database."""
    return [*upstream_gauges(), *sink_gauges()]


metrics.gauge_sources.append(process_gauges)
