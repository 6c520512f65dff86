"""What probes and calls say of an upstream: down, degraded, healthy, or not known; and why.

Nothing is read or stored here. docs/guides/upstream-health.md defines the rules for people.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import takewhile
from typing import Final, NamedTuple

from django.conf import settings

HEALTHY: Final = "healthy"
DEGRADED: Final = "degraded"
DOWN: Final = "down"
MAINTENANCE: Final = "maintenance"
UNKNOWN: Final = "unknown"
STATES = (HEALTHY, DEGRADED, DOWN, MAINTENANCE, UNKNOWN)
# So many probes in a row change an opinion: one failure may be chance, and so may one success.
CONFIRMING = 2
MIN_CALLS = 20
BAD_ERROR_SHARE = 0.2


class Probe(NamedTuple):
    """What one probe found."""

    at: datetime
    is_healthy: bool
    status: int | None
    latency_ms: float | None
    error: str

    @property
    def is_gone(self) -> bool:
        """Whether calls would fail too. A refusal of the list of models alone does not say so."""
        if self.is_healthy:
            return False
        return self.status is None or self.status >= 500 or self.status < 400 or self.status == 401


class Traffic(NamedTuple):
    """What calls of the last minutes came to; `failed` are those that the upstream is to blame for."""

    calls: int = 0
    failed: int = 0
    last_success: datetime | None = None

    @property
    def error_share(self) -> float | None:
        """The part that failed; None for too few calls."""
        return self.failed / self.calls if self.calls >= MIN_CALLS else None


_NO_TRAFFIC = Traffic()


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known lately. `probes` come newest first; `barred` names models that calls are kept from.

    `why_no_probes` says so of an upstream that is not asked, and is "" for others.
    """

    probes: Sequence[Probe] = ()
    traffic: Traffic = _NO_TRAFFIC
    barred: str = ""
    why_no_probes: str = "not probed yet"

    def has_answered_since(self, moment: datetime) -> bool:
        """Whether a call succeeded that began after this moment."""
        return self.traffic.last_success is not None and self.traffic.last_success > moment


class Verdict(NamedTuple):
    """`is_settled` is False where the next probe should come soon, for it decides."""

    state: str
    reason: str = ""
    is_settled: bool = True


def judge(evidence: Evidence, previous: str) -> Verdict:
    """The verdict on an upstream whose last verdict was `previous`."""
    complaints = _complaints(evidence)
    if not evidence.probes:
        return _by_calls_alone(evidence, complaints)
    newest = evidence.probes[0]
    gone = list(takewhile(lambda probe: probe.is_gone, evidence.probes))
    if gone:
        if evidence.has_answered_since(gone[-1].at):
            return Verdict(DEGRADED, f"calls succeed, but not probes: {newest.error}")
        if previous == DOWN or len(gone) >= CONFIRMING or len(gone) == len(evidence.probes):
            return Verdict(DOWN, newest.error or "the last probe failed")
        return Verdict(DEGRADED, newest.error or "the last probe failed", is_settled=False)
    if previous == DOWN and not _is_back(evidence):
        return Verdict(DOWN, "it answered once again; the next probe decides", is_settled=False)
    return Verdict(DEGRADED, "; ".join(complaints)) if complaints else Verdict(HEALTHY)


def _is_back(evidence: Evidence) -> bool:
    """Whether one that was down works again, by probes or by a call."""
    answered = list(takewhile(lambda probe: not probe.is_gone, evidence.probes))
    is_confirmed = len(answered) >= CONFIRMING or len(answered) == len(evidence.probes)
    return is_confirmed or evidence.has_answered_since(evidence.probes[len(answered)].at)


def _by_calls_alone(evidence: Evidence, complaints: list[str]) -> Verdict:
    if evidence.traffic.error_share is None and not evidence.barred:
        return Verdict(UNKNOWN, evidence.why_no_probes)
    return Verdict(DEGRADED, "; ".join(complaints)) if complaints else Verdict(HEALTHY, "by its calls alone")


def _complaints(evidence: Evidence) -> list[str]:
    """What is wrong with an upstream that answers."""
    found = []
    if evidence.probes and not evidence.probes[0].is_healthy:
        found.append(evidence.probes[0].error or "the last probe failed")
    failed = sum(not probe.is_healthy for probe in evidence.probes)
    if failed:
        found.append(f"{failed} of the latest {len(evidence.probes)} probes failed")
    latencies = [probe.latency_ms for probe in evidence.probes if probe.latency_ms is not None]
    mean_ms = sum(latencies) / len(latencies) if latencies else 0.0
    if mean_ms > settings.HEALTH_SLOW_MS:
        found.append(f"the latest probes took {mean_ms:.0f} ms")
    share = evidence.traffic.error_share
    if share is not None and share >= BAD_ERROR_SHARE:
        found.append(f"{share:.0%} of the latest calls failed")
    if evidence.barred:
        found.append(f"calls are kept from {evidence.barred}, for they failed")
    return found
