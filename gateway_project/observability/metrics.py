"""Prometheus metrics: names of Agent Gateway, fixed label sets, children bound once.

With `PROMETHEUS_MULTIPROC_DIR` set before the first import (the server does so), values live in files
that any worker process can add up.
"""

from __future__ import annotations

import os
from typing import Protocol

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

_LATENCY_BUCKETS_MS = (25, 50, 100, 200, 400, 800, 1600, 3200, 6400, 12_800, 25_600, 60_000)
_MAX_LABEL_VALUES = 200
OTHER = "other"

REGISTRY = CollectorRegistry()
requests_total = Counter(
    "agent_gateway_requests_total", "Requests at the inference doors.", ["streaming", "status"], registry=REGISTRY
)
request_latency_ms = Histogram(
    "agent_gateway_request_latency_ms",
    "Milliseconds from arrival to the end of the answer.",
    ["streaming"],
    buckets=_LATENCY_BUCKETS_MS,
    registry=REGISTRY,
)
upstream_requests_total = Counter(
    "agent_gateway_upstream_requests_total", "Calls by upstream.", ["upstream", "status"], registry=REGISTRY
)
upstream_latency_ms = Histogram(
    "agent_gateway_upstream_latency_ms",
    "Milliseconds of a call, by upstream.",
    ["upstream"],
    buckets=_LATENCY_BUCKETS_MS,
    registry=REGISTRY,
)
tokens_total = Counter(
    "agent_gateway_tokens_total", "Tokens by upstream and direction.", ["upstream", "direction"], registry=REGISTRY
)
denials_total = Counter(
    "agent_gateway_denials_total", "Requests refused before any call, by reason.", ["reason"], registry=REGISTRY
)


class Tokens(Protocol):
    """Token counts of a call."""

    input: int
    output: int


class Call(Protocol):
    """What of a settled call is measured; `usage_app.entry.UsageEntry` is one."""

    upstream: str
    status: int
    total_ms: float

    @property
    def tokens(self) -> Tokens:
        """What the call used."""
        ...


class _CallChildren:
    __slots__ = ("input", "latency", "output", "statuses", "upstream")

    def __init__(self, upstream: str) -> None:
        self.upstream = upstream
        self.latency = upstream_latency_ms.labels(upstream)
        self.input = tokens_total.labels(upstream, "input")
        self.output = tokens_total.labels(upstream, "output")
        self.statuses: dict[int, Counter] = {}

    def status(self, code: int) -> Counter:
        child = self.statuses.get(code)
        if child is None:
            child = self.statuses[code] = upstream_requests_total.labels(self.upstream, str(code))
        return child


_calls: dict[str, _CallChildren] = {}
_requests: dict[tuple[bool, int], Counter] = {}
_latencies = {flag: request_latency_ms.labels(str(flag).lower()) for flag in (False, True)}


def observe_call(entry: Call) -> None:
    """Count one settled call to an upstream; unknown upstreams beyond 200 share the label "other"."""
    children = _calls.get(entry.upstream)
    if children is None:
        name = entry.upstream if len(_calls) < _MAX_LABEL_VALUES else OTHER
        children = _calls.get(name) or _CallChildren(name)
        _calls[name] = children
    children.status(entry.status).inc()
    children.latency.observe(entry.total_ms)
    if entry.tokens.input:
        children.input.inc(entry.tokens.input)
    if entry.tokens.output:
        children.output.inc(entry.tokens.output)


def observe_request(status: int, duration_ms: float, *, is_stream: bool) -> None:
    """Count one answered request at an inference door."""
    child = _requests.get((is_stream, status))
    if child is None:
        child = _requests[is_stream, status] = requests_total.labels(str(is_stream).lower(), str(status))
    child.inc()
    _latencies[is_stream].observe(duration_ms)


def render() -> bytes:
    """All metrics of all worker processes in Prometheus' text form. Reads files; call it in a thread."""
    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        return generate_latest(REGISTRY)
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return generate_latest(registry)
