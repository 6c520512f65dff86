"""Metrics: plain numbers in memory on the request path, Prometheus' text form when somebody asks.

A worker process writes its numbers to a file of its own each second; whichever process is scraped adds
up all files of this start of the server. Labels are bounded: names beyond 200 share the value "other".
"""

from __future__ import annotations

import os
from bisect import bisect_left
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from gateway_project.core.codec import dumps, loads

FOLDER_VARIABLE = "GATEWAY_METRICS_FOLDER"
BUCKETS_MS = (25, 50, 100, 200, 400, 800, 1600, 3200, 6400, 12_800, 25_600, 60_000)
OTHER = "other"
_MAX_LABEL_VALUES = 200


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


class Latencies:
    """A histogram: counts per bucket of `BUCKETS_MS` and one beyond, and the sum in milliseconds."""

    __slots__ = ("counts", "total_ms")

    def __init__(self) -> None:
        self.counts = [0] * (len(BUCKETS_MS) + 1)
        self.total_ms = 0.0

    def observe(self, duration_ms: float) -> None:
        """Count one duration."""
        self.counts[bisect_left(BUCKETS_MS, duration_ms)] += 1
        self.total_ms += duration_ms


class UpstreamNumbers:
    """What calls to one upstream added up to."""

    __slots__ = ("input_tokens", "latencies", "output_tokens", "statuses")

    def __init__(self) -> None:
        self.statuses: dict[int, int] = {}
        self.latencies = Latencies()
        self.input_tokens = 0
        self.output_tokens = 0


class Numbers:
    """Everything that one process counts."""

    def __init__(self) -> None:
        self.requests: dict[tuple[bool, int], int] = {}
        self.latencies = {False: Latencies(), True: Latencies()}
        self.upstreams: dict[str, UpstreamNumbers] = {}
        self.denials: dict[str, int] = {}

    def observe_request(self, status: int, duration_ms: float, *, is_stream: bool) -> None:
        """Count one answered request at an inference door."""
        key = (is_stream, status)
        self.requests[key] = self.requests.get(key, 0) + 1
        self.latencies[is_stream].observe(duration_ms)

    def observe_call(self, entry: Call) -> None:
        """Count one settled call to an upstream."""
        numbers = self.upstreams.get(entry.upstream)
        if numbers is None:
            name = entry.upstream if len(self.upstreams) < _MAX_LABEL_VALUES else OTHER
            numbers = self.upstreams.setdefault(name, UpstreamNumbers())
        numbers.statuses[entry.status] = numbers.statuses.get(entry.status, 0) + 1
        numbers.latencies.observe(entry.total_ms)
        numbers.input_tokens += entry.tokens.input
        numbers.output_tokens += entry.tokens.output

    def observe_denial(self, reason: str) -> None:
        """Count one request that was refused before any call; reasons are words of ours."""
        self.denials[reason] = self.denials.get(reason, 0) + 1

    def dump(self) -> list[tuple[str, list[str], list[float]]]:
        """All values as (metric, labels, numbers); a histogram's numbers are its buckets and its sum."""
        rows: list[tuple[str, list[str], list[float]]] = []
        for (is_stream, status), count in self.requests.copy().items():
            rows.append(("requests", [str(is_stream).lower(), str(status)], [count]))
        for is_stream, latencies in self.latencies.items():
            rows.append(
                ("request_latency", [str(is_stream).lower()], [*latencies.counts, latencies.total_ms])
            )
        for name, numbers in self.upstreams.copy().items():
            for status, count in numbers.statuses.copy().items():
                rows.append(("upstream_requests", [name, str(status)], [count]))
            rows.append(("upstream_latency", [name], [*numbers.latencies.counts, numbers.latencies.total_ms]))
            rows.append(("tokens", [name, "input"], [numbers.input_tokens]))
            rows.append(("tokens", [name, "output"], [numbers.output_tokens]))
        for reason, count in self.denials.copy().items():
            rows.append(("denials", [reason], [count]))
        return rows


numbers = Numbers()
observe_request = numbers.observe_request
observe_call = numbers.observe_call
observe_denial = numbers.observe_denial

_COUNTERS = {
    "requests": ("agent_gateway_requests", "Requests at the inference doors.", ["streaming", "status"]),
    "upstream_requests": ("agent_gateway_upstream_requests", "Calls by upstream.", ["upstream", "status"]),
    "tokens": ("agent_gateway_tokens", "Tokens by upstream and direction.", ["upstream", "direction"]),
    "denials": ("agent_gateway_denials", "Requests refused before any call, by reason.", ["reason"]),
}
_HISTOGRAMS = {
    "request_latency": (
        "agent_gateway_request_latency_ms",
        "Milliseconds from arrival to the end of the answer.",
        ["streaming"],
    ),
    "upstream_latency": (
        "agent_gateway_upstream_latency_ms",
        "Milliseconds of a call, by upstream.",
        ["upstream"],
    ),
}


class _Sums(Collector):
    """The sums over all processes, as Prometheus' metric families."""

    def __init__(self, sums: dict[tuple[str, tuple[str, ...]], list[float]]) -> None:
        self._sums = sums

    def collect(self) -> Iterator[Metric]:
        """One family per metric, with or without samples."""
        for metric, (name, text, labels) in _COUNTERS.items():
            counter = CounterMetricFamily(name, text, labels=labels)
            for values, (count,) in self._of(metric):
                counter.add_metric(values, count)
            yield counter
        for metric, (name, text, labels) in _HISTOGRAMS.items():
            histogram = HistogramMetricFamily(name, text, labels=labels)
            for values, (*counts, total) in self._of(metric):
                histogram.add_metric(values, _cumulative(counts), total)
            yield histogram

    def _of(self, metric: str) -> Iterator[tuple[list[str], list[float]]]:
        return ((list(labels), values) for (name, labels), values in self._sums.items() if name == metric)


def _cumulative(counts: list[float]) -> list[tuple[str, float]]:
    bounds = [*(str(float(bound)) for bound in BUCKETS_MS), "+Inf"]
    return [(bound, sum(counts[: index + 1])) for index, bound in enumerate(bounds)]


def _folder() -> Path | None:
    folder = os.environ.get(FOLDER_VARIABLE)
    return Path(folder) if folder else None


def write_own() -> None:
    """Write this process's numbers for the others; called each second from a thread."""
    folder = _folder()
    if folder is None:
        return
    # A scrape never sees half a file.
    fresh = folder / f".{os.getpid()}"
    fresh.write_bytes(dumps(numbers.dump()))
    fresh.replace(folder / f"{os.getpid()}.json")


def render() -> bytes:
    """The metrics of all worker processes in Prometheus' text form. Reads files; call it in a thread."""
    sums: dict[tuple[str, tuple[str, ...]], list[float]] = {}
    dumped: list[Any] = [numbers.dump()]
    folder = _folder()
    if folder is not None:
        own = f"{os.getpid()}.json"
        dumped += [loads(path.read_bytes()) for path in folder.glob("[0-9]*.json") if path.name != own]
    for rows in dumped:
        for metric, labels, values in rows:
            known = sums.get((metric, tuple(labels)))
            added = values if known is None else [old + more for old, more in zip(known, values, strict=True)]
            sums[metric, tuple(labels)] = added
    registry = CollectorRegistry()
    registry.register(_Sums(sums))
    return generate_latest(registry)
