"""The metrics that the gateway shows: name, kind, help and labels of each, by its name in the dumps.

The names are a contract (docs/reference/metrics.md lists them, a test compares): dashboards use them.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from gateway_project.observability.metrics import BUCKETS_MS, DURATION_BUCKETS_MS, TOKEN_BUCKETS, TURN_BUCKETS

_OPERATION = ("gen_ai_operation_name", "gen_ai_provider_name", "gen_ai_request_model")


class Counter(NamedTuple):
    """A sum over all processes of this start, the dead included; shown times `scale`."""

    name: str
    text: str
    labels: tuple[str, ...]
    scale: float = 1


class HistogramFamily(NamedTuple):
    """A histogram over all processes of this start; bounds and sum are shown times `scale`."""

    name: str
    text: str
    labels: tuple[str, ...]
    bounds: tuple[float, ...]
    scale: float = 1


class GaugeFamily(NamedTuple):
    """A value of the living processes: `across` says how those of the same labels become one."""

    name: str
    text: str
    labels: tuple[str, ...]
    across: Literal["sum", "max", "min"]
    is_counter: bool = False


COUNTERS = {
    "requests": Counter(
        "agent_gateway_requests", "Requests at the inference doors.", ("streaming", "status")
    ),
    "upstream_requests": Counter(
        "agent_gateway_upstream_requests",
        "Settled calls by the upstream that was asked last.",
        ("upstream", "status"),
    ),
    "attempts": Counter(
        "agent_gateway_upstream_attempts",
        "Attempts of settled calls, all booked on the upstream that was asked last.",
        ("upstream",),
    ),
    "upstream_failures": Counter(
        "agent_gateway_upstream_failures",
        "Failed attempts, by the upstream that failed and the status that it stands for.",
        ("upstream", "status"),
    ),
    "tokens": Counter("agent_gateway_tokens", "Tokens by upstream.", ("upstream", "direction")),
    "cost": Counter("agent_gateway_cost_usd", "Cost in US dollars by model.", ("model",), 1e-9),
    "unpriced": Counter("agent_gateway_unpriced_calls", "Calls without a price, by model.", ("model",)),
    "runs": Counter("agent_gateway_runs", "Runs of agents that ended.", ("agent", "status")),
    "denials": Counter("agent_gateway_denials", "Requests refused before any call, by reason.", ("reason",)),
    "cache": Counter(
        "agent_gateway_cache_requests",
        "Requests under a cache policy: hit, similar, shared (with one under way), or miss.",
        ("model", "result"),
    ),
    "authorizers": Counter(
        "agent_gateway_authorizer_requests",
        "Questions to external authorizers: allowed, denied, cached (an answer served again), or failed.",
        ("authorizer", "result"),
    ),
    "hedges": Counter(
        "agent_gateway_hedged_requests",
        "Requests whose first target took long, by what became of a second call: won, lost, failed, "
        "cancelled, unsent, refused (no leave), or capped (the share of the route is used up).",
        ("route", "outcome"),
    ),
    "tool_invocations": Counter(
        "agent_gateway_tool_invocations",
        "Calls of tools, by how they ended.",
        ("tool", "provider", "source", "status"),
    ),
}
HISTOGRAMS = {
    "tool_latency": HistogramFamily(
        "agent_gateway_tool_latency_ms",
        "Milliseconds of a call of a tool.",
        ("tool", "provider", "source"),
        BUCKETS_MS,
    ),
    "request_latency": HistogramFamily(
        "agent_gateway_request_latency_ms",
        "Milliseconds from arrival to the end of the answer.",
        ("streaming",),
        BUCKETS_MS,
    ),
    "upstream_latency": HistogramFamily(
        "agent_gateway_upstream_latency_ms", "Milliseconds of a call, by upstream.", ("upstream",), BUCKETS_MS
    ),
    "run_duration": HistogramFamily(
        "agent_gateway_run_duration_ms", "Milliseconds of a run, by agent.", ("agent",), BUCKETS_MS
    ),
    "run_turns": HistogramFamily(
        "agent_gateway_run_turns", "Turns of a run, by agent.", ("agent",), TURN_BUCKETS
    ),
    "operation_duration": HistogramFamily(
        "gen_ai_client_operation_duration_seconds",
        "Duration of calls (OpenTelemetry gen_ai.client.operation.duration).",
        (*_OPERATION, "error_type"),
        DURATION_BUCKETS_MS,
        0.001,
    ),
    "first_chunk": HistogramFamily(
        "gen_ai_client_operation_time_to_first_chunk_seconds",
        "Time to the first piece of streams (OpenTelemetry gen_ai.client.operation.time_to_first_chunk).",
        _OPERATION,
        DURATION_BUCKETS_MS,
        0.001,
    ),
    "token_usage": HistogramFamily(
        "gen_ai_client_token_usage",
        "Tokens of a call (OpenTelemetry gen_ai.client.token.usage).",
        (*_OPERATION, "gen_ai_token_type"),
        TOKEN_BUCKETS,
    ),
}
GAUGES = {
    "in_flight": GaugeFamily(
        "agent_gateway_requests_in_flight", "Requests at the doors that are being answered.", (), "sum"
    ),
    "agent_processes": GaugeFamily(
        "agent_gateway_agent_processes", "Runs of agents in processes of their own.", (), "sum"
    ),
    "workers": GaugeFamily("agent_gateway_workers", "Living server processes.", (), "sum"),
    "ledger_backlog": GaugeFamily(
        "agent_gateway_ledger_backlog_bytes", "Journal that is not in the database yet.", (), "max"
    ),
    "ledger_free": GaugeFamily(
        "agent_gateway_ledger_free_bytes", "Free disk space for the journal.", (), "min"
    ),
    "ledger_rejected": GaugeFamily(
        "agent_gateway_ledger_rejected_files", "Files of lines that the database refused.", (), "max"
    ),
    "ledger_flusher_up": GaugeFamily(
        "agent_gateway_ledger_flusher_up", "1 while every process's flusher runs and stores.", (), "min"
    ),
    "ledger_flush_age": GaugeFamily(
        "agent_gateway_ledger_seconds_since_flush", "Age of the oldest last flush.", (), "max"
    ),
    "snapshot_version": GaugeFamily(
        "agent_gateway_snapshot_version", "Version of the configuration in force.", ("section",), "min"
    ),
    "snapshot_age": GaugeFamily(
        "agent_gateway_snapshot_check_age_seconds", "Since the configuration was last checked.", (), "max"
    ),
    "snapshot_failed": GaugeFamily(
        "agent_gateway_snapshot_failed", "1 if a process could not reload the configuration.", (), "max"
    ),
    "limits_counted": GaugeFamily(
        "agent_gateway_limits_counted", "1 while every process counts limits and budgets.", (), "min"
    ),
    "limits_uncounted_calls": GaugeFamily(
        "agent_gateway_limits_uncounted_calls",
        "Calls that were let through or refused because nobody could count.",
        (),
        "sum",
    ),
    "reservations": GaugeFamily(
        "agent_gateway_limit_reservations", "Calls under way that limits or budgets hold for.", (), "sum"
    ),
    "cache_entries": GaugeFamily(
        "agent_gateway_cache_entries", "Answers that processes keep in their own memory.", (), "sum"
    ),
    "cache_bytes": GaugeFamily("agent_gateway_cache_bytes", "Bytes of these answers.", (), "sum"),
    "diagnostics": GaugeFamily(
        "agent_gateway_configuration_problems", "Configuration rows that can't be used.", (), "max"
    ),
    "sink_lag": GaugeFamily(
        "agent_gateway_usage_sink_lag_seconds",
        "For how long the oldest usage event waits that the sink has not got; 0 if it has all.",
        ("sink",),
        "max",
    ),
    "sink_lost": GaugeFamily(
        "agent_gateway_usage_sink_lost_events",
        "Usage events that the sink never got: beyond their retention, or rejected.",
        ("sink",),
        "max",
    ),
    "upstream_state": GaugeFamily(
        "agent_gateway_upstream_state",
        "1 for the state that the upstream is in, 0 for the others.",
        ("upstream", "state"),
        "max",
    ),
    "mcp_sessions": GaugeFamily(
        "agent_gateway_mcp_sessions",
        "Open sessions with an MCP server.",
        ("server",),
        "sum",
    ),
    "upstream_ejected_models": GaugeFamily(
        "agent_gateway_upstream_ejected_models",
        "Models of the upstream that a process keeps calls from, since they failed there.",
        ("upstream",),
        "max",
    ),
    "cpu_seconds": GaugeFamily(
        "process_cpu_seconds", "Processor time of a process.", ("pid",), "max", is_counter=True
    ),
    "started": GaugeFamily(
        "process_start_time_seconds", "Start of a process, seconds since 1970.", ("pid",), "max"
    ),
    "resident_bytes": GaugeFamily(
        "process_resident_memory_bytes", "Resident memory of a process.", ("pid",), "max"
    ),
    "open_files": GaugeFamily("process_open_fds", "Open file descriptors of a process.", ("pid",), "max"),
}
