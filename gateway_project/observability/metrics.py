"""Metrics: plain numbers in memory on the request path; `exposition.py` adds them up when somebody asks.

A worker process writes its numbers to a file of its own each second; whichever process is scraped adds
up all files of this start of the server. Labels are bounded: names beyond 200 share the value "other".
What a row of the dump means is written in `metric_families.py`.
"""

from __future__ import annotations

import os
import secrets
import time
from bisect import bisect_left
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, Protocol

from gateway_project.core.codec import dumps
from gateway_project.observability.process_facts import process_facts

FOLDER_VARIABLE = "GATEWAY_METRICS_FOLDER"
BUCKETS_MS = (25, 50, 100, 200, 400, 800, 1600, 3200, 6400, 12_800, 25_600, 60_000)
# Of the OpenTelemetry semantic conventions for generative AI; durations in seconds there.
TOKEN_BUCKETS = tuple(4**power for power in range(14))
TURN_BUCKETS = (1, 2, 3, 5, 8, 13, 21, 34, 55, 100)
DURATION_BUCKETS_MS = tuple(10.0 * 2**power for power in range(14))
OTHER = "other"
MAX_LABEL_VALUES = 200


class Tokens(Protocol):
    """Token counts of a call."""

    input: int
    output: int


class Call(Protocol):
    """What of a settled call is measured; `usage_app.entry.UsageEntry` is one."""

    operation: str
    upstream: str
    model: str
    status: int
    is_stream: bool
    total_ms: float
    first_token_ms: float | None
    cost_nano: int | None
    attempts: int

    @property
    def tokens(self) -> Tokens:
        """What the call used."""
        ...


class Histogram:
    """Counts per bucket and one beyond the last, and the sum of what was observed."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        """Count one value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def dump(self) -> list[float]:
        """The counts, then the sum."""
        return [*self.counts, self.total]


class CallNumbers:
    """What the calls of one operation to one model at one upstream added up to."""

    __slots__ = ("attempts", "cost_nano", "first_chunk", "input", "output", "statuses", "unpriced")

    def __init__(self) -> None:
        # By status: durations in our buckets and in OpenTelemetry's.
        self.statuses: dict[int, tuple[Histogram, Histogram]] = {}
        self.first_chunk = Histogram(DURATION_BUCKETS_MS)
        self.input = Histogram(TOKEN_BUCKETS)
        self.output = Histogram(TOKEN_BUCKETS)
        self.cost_nano = 0
        self.unpriced = 0
        self.attempts = 0


class RunNumbers:
    """What the runs of one agent added up to."""

    __slots__ = ("durations", "statuses", "turns")

    def __init__(self) -> None:
        self.statuses: dict[int, int] = {}
        self.durations = Histogram(BUCKETS_MS)
        self.turns = Histogram(TURN_BUCKETS)


class Gauge(NamedTuple):
    """A value of this moment of one process: the metric, its labels, the value."""

    metric: str
    labels: list[str]
    value: float


Row = tuple[str, list[str], list[float]]
CallKey = tuple[str, str, str]


class Numbers:
    """Everything that one process counts."""

    def __init__(self) -> None:
        self.requests: dict[tuple[bool, int], int] = {}
        self.latencies = {False: Histogram(BUCKETS_MS), True: Histogram(BUCKETS_MS)}
        self.calls: dict[CallKey, CallNumbers] = {}
        self.failures: dict[tuple[str, int], int] = {}
        self.denials: dict[str, int] = {}
        # By model and result.
        self.cache: dict[tuple[str, str], int] = {}
        # By external authorizer and result.
        self.authorizers: dict[tuple[str, str], int] = {}
        self._authorizers: set[str] = set()
        # By route and what became of the second call.
        self.hedges: dict[tuple[str, str], int] = {}
        self.runs: dict[str, RunNumbers] = {}
        self._agents: set[str] = set()
        # By tool, kind and source: durations of all calls, and how many ended in which way.
        self.tools: dict[tuple[str, str, str], tuple[Histogram, dict[str, int]]] = {}
        # By source: what agents' code calls its tools takes no room from the registry's.
        self._tools: dict[str, set[str]] = {}
        self._upstreams: set[str] = set()
        self._models: set[str] = set()

    def observe_request(self, status: int, duration_ms: float, *, is_stream: bool) -> None:
        """Count one answered request at an inference door."""
        key = (is_stream, status)
        self.requests[key] = self.requests.get(key, 0) + 1
        self.latencies[is_stream].observe(duration_ms)

    def observe_call(self, entry: Call) -> None:
        """Count one settled call to an upstream."""
        numbers = self.calls.get((entry.operation, entry.upstream, entry.model))
        if numbers is None:
            numbers = self._numbers_of(entry)
        status = entry.status
        durations = numbers.statuses.get(status)
        if durations is None:
            durations = Histogram(BUCKETS_MS), Histogram(DURATION_BUCKETS_MS)
            numbers.statuses[status] = durations
        total_ms, tokens = entry.total_ms, entry.tokens
        durations[0].observe(total_ms)
        durations[1].observe(total_ms)
        numbers.attempts += entry.attempts
        if tokens.input or tokens.output:
            numbers.input.observe(tokens.input)
            numbers.output.observe(tokens.output)
        if entry.cost_nano is None:
            numbers.unpriced += 1
        else:
            numbers.cost_nano += entry.cost_nano
        if entry.is_stream and entry.first_token_ms is not None:
            numbers.first_chunk.observe(entry.first_token_ms)

    def observe_failure(self, upstream: str, status: int) -> None:
        """Count one attempt at an upstream that failed; another may have followed."""
        key = (self._bounded(self._upstreams, upstream), status)
        self.failures[key] = self.failures.get(key, 0) + 1

    def observe_denial(self, reason: str) -> None:
        """Count one request that was refused before any call; reasons are words of ours."""
        self.denials[reason] = self.denials.get(reason, 0) + 1

    def observe_cache(self, model: str, result: str) -> None:
        """Count one request that a kept answer might have been for; results are words of ours."""
        key = (self._bounded(self._models, model), result)
        self.cache[key] = self.cache.get(key, 0) + 1

    def observe_authorizer(self, authorizer: str, result: str) -> None:
        """Count one question to an external authorizer; results are words of ours."""
        key = (self._bounded(self._authorizers, authorizer), result)
        self.authorizers[key] = self.authorizers.get(key, 0) + 1

    def observe_hedge(self, route: str, outcome: str) -> None:
        """Count one request that a second target might have been asked for; outcomes are words of ours."""
        key = (self._bounded(self._models, route), outcome)
        self.hedges[key] = self.hedges.get(key, 0) + 1

    def observe_run(self, agent: str, status: int, duration_ms: float, turns: int) -> None:
        """Count one run of an agent that ended."""
        name = self._bounded(self._agents, agent)
        numbers = self.runs.get(name) or self.runs.setdefault(name, RunNumbers())
        numbers.statuses[status] = numbers.statuses.get(status, 0) + 1
        numbers.durations.observe(duration_ms)
        numbers.turns.observe(turns)

    def observe_tool(self, tool: str, kind: str, source: str, status: str, latency_ms: float) -> None:
        """Count one call of a tool; without a kind there is no such tool. All but names are words of ours."""
        known = self._tools.setdefault(source, set())
        key = (self._bounded(known, tool) if kind else OTHER, kind, source)
        latencies, statuses = self.tools.setdefault(key, (Histogram(BUCKETS_MS), {}))
        latencies.observe(latency_ms)
        statuses[status] = statuses.get(status, 0) + 1

    def dump(self) -> list[Row]:
        """All values as (metric, labels, numbers); a histogram's numbers are its buckets and its sum."""
        rows: list[Row] = [
            ("requests", [str(is_stream).lower(), str(status)], [count])
            for (is_stream, status), count in self.requests.copy().items()
        ]
        rows += [
            ("request_latency", [str(is_stream).lower()], latencies.dump())
            for is_stream, latencies in self.latencies.items()
        ]
        for key, numbers in self.calls.copy().items():
            rows += _call_rows(key, numbers)
        for (upstream, status), count in self.failures.copy().items():
            rows.append(("upstream_failures", [upstream, str(status)], [count]))
        rows += [("denials", [reason], [count]) for reason, count in self.denials.copy().items()]
        rows += [("cache", [model, result], [count]) for (model, result), count in self.cache.copy().items()]
        asked = self.authorizers.copy().items()
        rows += [("authorizers", [name, result], [count]) for (name, result), count in asked]
        rows += [("hedges", [*labels], [count]) for labels, count in self.hedges.copy().items()]
        for agent, runs in self.runs.copy().items():
            ended = runs.statuses.copy().items()
            rows += [("runs", [agent, str(status)], [count]) for status, count in ended]
            rows.append(("run_duration", [agent], runs.durations.dump()))
            rows.append(("run_turns", [agent], runs.turns.dump()))
        for labels, (tool_latencies, statuses) in self.tools.copy().items():
            rows.append(("tool_latency", [*labels], tool_latencies.dump()))
            for word, count in statuses.copy().items():
                rows.append(("tool_invocations", [*labels, word], [count]))
        return rows

    def _numbers_of(self, entry: Call) -> CallNumbers:
        upstream = self._bounded(self._upstreams, entry.upstream)
        model = self._bounded(self._models, entry.model)
        key = (entry.operation, upstream, model)
        # Routes multiply models by upstreams: the series have a bound of their own.
        if key not in self.calls and len(self.calls) >= 2 * MAX_LABEL_VALUES:
            key = (entry.operation, upstream, OTHER)
        return self.calls.setdefault(key, CallNumbers())

    @staticmethod
    def _bounded(known: set[str], name: str) -> str:
        if name not in known:
            if len(known) >= MAX_LABEL_VALUES - 1:
                return OTHER
            known.add(name)
        return name


def _call_rows(key: CallKey, numbers: CallNumbers) -> list[Row]:
    operation, upstream, model = key
    labels = [operation, upstream, model]
    rows: list[Row] = []
    for status, (latencies, durations) in numbers.statuses.copy().items():
        count = sum(latencies.counts)
        rows.append(("upstream_requests", [upstream, str(status)], [count]))
        rows.append(("upstream_latency", [upstream], latencies.dump()))
        error = "" if status < 400 else str(status)
        rows.append(("operation_duration", [*labels, error], durations.dump()))
    first_chunk = numbers.first_chunk
    if any(first_chunk.counts):
        rows.append(("first_chunk", labels, first_chunk.dump()))
    for direction, histogram in (("input", numbers.input), ("output", numbers.output)):
        rows.append(("tokens", [upstream, direction], [histogram.total]))
        rows.append(("token_usage", [*labels, direction], histogram.dump()))
    rows.append(("attempts", [upstream], [numbers.attempts]))
    rows.append(("cost", [model], [numbers.cost_nano]))
    rows.append(("unpriced", [model], [numbers.unpriced]))
    return rows


numbers = Numbers()
observe_request = numbers.observe_request
observe_call = numbers.observe_call
observe_failure = numbers.observe_failure
observe_denial = numbers.observe_denial
observe_cache = numbers.observe_cache
observe_authorizer = numbers.observe_authorizer
observe_hedge = numbers.observe_hedge
observe_run = numbers.observe_run
observe_tool = numbers.observe_tool

# What else a process tells of this moment; the shell adds a function at start.
gauge_sources: list[Callable[[], list[Gauge]]] = []
# Process ids are used again, file names must not be.
_own_name = f"{os.getpid()}-{secrets.token_hex(4)}.json"


def own_name() -> str:
    """The file of this process in the folder, also after a fork."""
    global _own_name
    if not _own_name.startswith(f"{os.getpid()}-"):
        _own_name = f"{os.getpid()}-{secrets.token_hex(4)}.json"
    return _own_name


def own_values() -> dict[str, object]:
    """What this process counted, and how it is now."""
    # The encoder knows plain tuples only.
    gauges = [*process_facts(), *(tuple(gauge) for source in gauge_sources for gauge in source())]
    return {"pid": os.getpid(), "at": time.time(), "rows": numbers.dump(), "gauges": gauges}


def folder() -> Path | None:
    """Where the processes of this start leave their numbers; None if there is but this one."""
    path = os.environ.get(FOLDER_VARIABLE)
    return Path(path) if path else None


def write_own() -> None:
    """Write this process's numbers for the others; called each second from a thread."""
    place = folder()
    if place is None:
        return
    # A scrape never sees half a file.
    name = own_name()
    fresh = place / f".{name}"
    fresh.write_bytes(dumps(own_values()))
    fresh.replace(place / name)
