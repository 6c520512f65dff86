"""What is stored about upstreams lately, gathered for `verdicts.judge`: a query for each kind of it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from django.conf import settings

from upstreams_app.models import HealthSample, Upstream, UpstreamState
from upstreams_app.services.verdicts import Evidence, Probe, Traffic
from usage_app.models import UsageRecord

# "Lately" is so many intervals of probes; a state without a probe in that time is not known.
WINDOW_INTERVALS = 5
# What a round may come late, and a probe take.
_SLACK_S = 15
_TRAFFIC_WINDOW = timedelta(minutes=5)
_TRAFFIC_ROWS = 5000
_UPSTREAM_FAULTS = (502, 504)
_CLIENTS_OWN = "not probed: its callers bring their own credential"
_OFF = "not probed: its probes are switched off"


class Known(NamedTuple):
    """The evidence on one upstream, the last verdict on it, and until when a new one counts."""

    evidence: Evidence
    previous: str
    fresh_until: datetime


def interval_s(row: Upstream) -> int:
    """Seconds between two probes of an upstream."""
    return row.probe_interval_s or settings.HEALTH_INTERVAL_S


def window(row: Upstream | None = None) -> timedelta:
    """How long a probe counts."""
    seconds = settings.HEALTH_INTERVAL_S if row is None else interval_s(row)
    return timedelta(seconds=seconds * WINDOW_INTERVALS + _SLACK_S)


def gather(rows: Sequence[Upstream], *, now: datetime) -> dict[UUID, Known]:
    """What is known of each."""
    probes = _probes(rows, now)
    traffic = _traffic(now)
    noted = {state.upstream_id: state for state in UpstreamState.objects.filter(upstream__in=rows)}
    found = {}
    for row in rows:
        state = noted.get(row.pk)
        is_barred = state is not None and state.barred_until is not None and state.barred_until > now
        evidence = Evidence(
            probes=probes[row.pk],
            traffic=traffic.get(row.name, Traffic()),
            barred=state.barred if state is not None and is_barred else "",
            why_no_probes=why_no_probes(
                row, was_probed=state is not None and state.next_probe_at is not None
            ),
        )
        newest = evidence.probes[0].at if evidence.probes else now
        is_known = state is not None and state.fresh_until is not None and state.fresh_until >= now
        previous = state.verdict if state is not None and is_known else ""
        found[row.pk] = Known(evidence, previous, newest + window(row))
    return found


def why_no_probes(row: Upstream, *, was_probed: bool) -> str:
    """Why nothing is known of an upstream by probes."""
    if row.credential_source == Upstream.CredentialSource.CLIENT:
        return _CLIENTS_OWN
    if not row.is_probed:
        return _OFF
    return "not probed lately" if was_probed else "not probed yet"


def _probes(rows: Iterable[Upstream], now: datetime) -> dict[UUID, list[Probe]]:
    """The probes within each upstream's window, newest first.

    Those from before an upstream took its callers' credentials say nothing of it any more.
    """
    by_window: dict[timedelta, list[UUID]] = defaultdict(list)
    for row in rows:
        if row.credential_source != Upstream.CredentialSource.CLIENT:
            by_window[window(row)].append(row.pk)
    found: dict[UUID, list[Probe]] = defaultdict(list)
    columns = ("upstream_id", "at", "is_healthy", "status_code", "latency_ms", "error")
    for length, keys in by_window.items():
        samples = HealthSample.objects.filter(upstream__in=keys, at__gte=now - length).order_by("-at", "-pk")
        for key, *values in samples.values_list(*columns):
            found[key].append(Probe(*values))
    return found


def _traffic(now: datetime) -> dict[str, Traffic]:
    """What the newest calls came to, by the upstream's name."""
    newest = UsageRecord.objects.filter(at__gte=now - _TRAFFIC_WINDOW, is_cached=False).order_by("-at", "-id")
    found: dict[str, Traffic] = {}
    for upstream, status, at in newest.values_list("upstream", "status", "at")[:_TRAFFIC_ROWS]:
        calls, failed, last_success = found.get(upstream, Traffic())
        if last_success is None and 200 <= status < 400:
            last_success = at
        found[upstream] = Traffic(calls + 1, failed + (status in _UPSTREAM_FAULTS), last_success)
    return found
