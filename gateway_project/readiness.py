"""Whether this process should get traffic, and how each part that it stands on is.

Problems and warnings are for everybody and name no details; `components` is for administrators and monitors.
"""

from __future__ import annotations

import time
from collections import Counter
from typing import Any, Literal, TypedDict

import redis
from django.conf import settings
from django.db import DatabaseError, connection

from gateway_project.core.clock import utc_now
from gateway_project.lifecycle import lifecycle
from gateway_project.registries import store
from security_app.services.limiting import limiting
from upstreams_app.models import Heartbeat
from upstreams_app.services.evidence import window
from upstreams_app.services.health import health_by_upstream
from upstreams_app.services.probe_rounds import PROBE_ROUND
from upstreams_app.services.states import DOWN
from usage_app.services.ledger import ledger

State = Literal["ok", "warning", "failed", "unused"]
_STALE_S = 10.0
_VALKEY_S = 1.0
_BACKGROUND = "worker and beat"


class Component(TypedDict):
    """One part: its state, a sentence about it, and figures; durations in ms or s as their names say."""

    name: str
    state: State
    text: str
    figures: dict[str, Any]


def readiness_problems() -> list[str]:
    """Why this process should get no traffic, in words without details that a stranger should not read."""
    problems = []
    if lifecycle.is_draining:
        problems.append("draining")
    if not store.is_loaded:
        problems.append("configuration not loaded")
    if lifecycle.admission_error() is not None:
        problems.append("usage can't be recorded")
    return problems


def readiness_warnings() -> list[str]:
    """What needs a person, while calls are still served from memory and kept in the journal."""
    warnings = []
    if store.failure is not None:
        warnings.append("the configuration can't be reloaded; the last good one is in force")
    elif store.is_loaded and time.monotonic() - store.checked_at > _STALE_S:
        warnings.append("the configuration was not checked for changes lately")
    if ledger.health()["warnings"]:
        warnings.append("the ledger needs attention")
    if limiting.problem() is not None:
        warnings.append("limits and budgets are not counted")
    return warnings


def components() -> list[Component]:
    """Every part, looked at now. Asks the database and Valkey: call it in a thread."""
    return [*stored_components(), *own_components()]


def own_components() -> list[Component]:
    """What is known without the database. Asks Valkey: call it in a thread."""
    return [_journal(), _snapshot(), _limits(), _valkey()]


def stored_components() -> list[Component]:
    """The database, and what only it knows; call it in a thread, and be prepared to wait."""
    try:
        return [_database(), _background(), _upstreams()]
    except DatabaseError as error:
        return without_database(f"The database does not answer ({type(error).__name__}).")


def without_database(text: str) -> list[Component]:
    """What stands for `stored_components` while the database is away."""
    unknown = "Not known: the database is away."
    return [
        _component("database", "failed", text),
        _component(_BACKGROUND, "failed", unknown),
        _component("upstreams", "failed", unknown),
    ]


def _component(name: str, state: State, text: str, **figures: Any) -> Component:
    return {"name": name, "state": state, "text": text, "figures": figures}


def _database() -> Component:
    started = time.monotonic()
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    latency_ms = round((time.monotonic() - started) * 1000, 1)
    return _component(
        "database", "ok", "The database answers.", vendor=connection.vendor, latency_ms=latency_ms
    )


def _journal() -> Component:
    health = ledger.health()
    figures = {
        name: health[name]
        for name in ("backlog_bytes", "free_bytes", "rejected_files", "seconds_since_flush")
    }
    if health["admission_error"] is not None:
        return _component("journal", "failed", f"Calls are refused: {health['admission_error']}.", **figures)
    if not health["is_running"]:
        return _component("journal", "warning", "The flusher of this process does not run.", **figures)
    if health["warnings"]:
        return _component("journal", "warning", "; ".join(health["warnings"]).capitalize() + ".", **figures)
    return _component("journal", "ok", "Calls are recorded and moved to the database.", **figures)


def _snapshot() -> Component:
    if not store.is_loaded:
        return _component("configuration", "failed", "This process has not loaded the configuration.")
    snapshot = store.current
    figures = {
        "versions": {name: section.version for name, section in snapshot.sections.items()},
        "built_s_ago": round(time.time() - snapshot.built_at, 1),
        "checked_s_ago": round(time.monotonic() - store.checked_at, 1),
        "rows_left_out": len(snapshot.diagnostics()),
    }
    if store.failure is not None:
        text = "It can't be reloaded; the last good configuration is in force."
        return _component("configuration", "warning", text, **figures)
    if figures["rows_left_out"]:
        return _component("configuration", "warning", "Some rows can't be used and were left out.", **figures)
    return _component("configuration", "ok", "The configuration is in force.", **figures)


def _limits() -> Component:
    state = limiting.limiter.state()
    figures = {
        "shared": state.is_shared,
        "open_reservations": state.open_tickets,
        "queued_settlements": state.queued_settles,
        "dropped_settlements": state.dropped_settles,
        "calls_uncounted_or_refused": limiting.unavailable_calls,
    }
    problem = limiting.problem()
    if problem is not None:
        return _component("limits", "warning", f"{problem.capitalize()}.", **figures)
    return _component("limits", "ok", "Limits and budgets are counted.", **figures)


def _valkey() -> Component:
    if not settings.REDIS_URL:
        return _component("valkey", "unused", "REDIS_URL is not set; one server process needs none.")
    started = time.monotonic()
    try:
        client = redis.Redis.from_url(
            settings.REDIS_URL, socket_timeout=_VALKEY_S, socket_connect_timeout=_VALKEY_S
        )
        with client:
            client.ping()
    except redis.RedisError as error:
        return _component("valkey", "failed", f"Valkey does not answer ({type(error).__name__}).")
    latency_ms = round((time.monotonic() - started) * 1000, 1)
    return _component("valkey", "ok", "Valkey answers.", latency_ms=latency_ms)


def _background() -> Component:
    heartbeat = Heartbeat.objects.filter(name=PROBE_ROUND).first()
    if heartbeat is None:
        return _component(_BACKGROUND, "warning", "No background task has run yet.")
    age = utc_now() - heartbeat.at
    figures = {"seconds_since_probe_round": round(age.total_seconds(), 1)}
    if age > window():
        return _component(
            _BACKGROUND, "warning", "No probe round has run lately: is a worker up, and beat?", **figures
        )
    return _component(_BACKGROUND, "ok", "Background tasks run.", **figures)


def _upstreams() -> Component:
    rows = health_by_upstream()
    counts = Counter(row["state"] for row in rows)
    down = [row["name"] for row in rows if row["state"] == DOWN]
    if down:
        text = f"Down: {', '.join(down[:10])}{' and more' if len(down) > 10 else ''}."
        return _component("upstreams", "warning", text, **counts)
    text = "No upstream is down." if rows else "There is no enabled upstream."
    return _component("upstreams", "ok" if rows else "warning", text, **counts)
