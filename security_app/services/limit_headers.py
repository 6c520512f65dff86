"""What answers tell of limits: OpenAI's headers for the tightest, LiteLLM's for each scope."""

from __future__ import annotations

import functools
from collections.abc import Sequence

from security_app.limits import Take
from security_app.registry.counters import Meter

HeaderList = list[tuple[bytes, bytes]]
DEGRADED: HeaderList = [(b"x-gateway-limits", b"degraded")]
_FAMILIES = {
    "requests": "requests",
    "tokens": "tokens",
    "input_tokens": "tokens",
    "output_tokens": "tokens",
    "concurrency": "max_parallel_requests",
}
# LiteLLM's words, where they are not ours.
_SCOPES = {"key": "api_key"}


def limit_headers(
    meters: Sequence[Meter], takes: Sequence[Take], remaining: Sequence[int], reset_ms: Sequence[int]
) -> HeaderList:
    """Headers of the limits among these counters; what remains is after this call's own part."""
    by_scope: dict[tuple[str, str], int] = {}
    tightest: dict[str, int] = {}
    for index, meter in enumerate(meters):
        family = _FAMILIES.get(meter.rule.metric)
        if family is None:
            continue
        left = remaining[index]
        if family != "max_parallel_requests" and (
            family not in tightest or left < remaining[tightest[family]]
        ):
            tightest[family] = index
        scope = _SCOPES.get(meter.rule.kind, meter.rule.kind)
        place = (scope, family)
        if place not in by_scope or left < remaining[by_scope[place]]:
            by_scope[place] = index
    headers: HeaderList = []
    for family, index in tightest.items():
        limit, left_of_it, reset = _names("", family)
        headers += [
            (limit, b"%d" % takes[index].counter.limit),
            (left_of_it, b"%d" % max(remaining[index], 0)),
            (reset, duration(reset_ms[index])),
        ]
    for (scope, family), index in by_scope.items():
        limit, left_of_it, _ = _names(scope, family)
        headers += [
            (limit, b"%d" % takes[index].counter.limit),
            (left_of_it, b"%d" % max(remaining[index], 0)),
        ]
    return headers


@functools.cache
def _names(scope: str, family: str) -> tuple[bytes, bytes, bytes]:
    """What the headers of a limit are called; there are a few dozen of them at most."""
    of_scope = f"{scope}-" if scope else ""
    return (
        f"x-ratelimit-{of_scope}limit-{family}".encode(),
        f"x-ratelimit-{of_scope}remaining-{family}".encode(),
        f"x-ratelimit-{of_scope}reset-{family}".encode(),
    )


def duration(milliseconds: int) -> bytes:
    """As OpenAI writes them: `120ms`, `6s`, `1m0s`, `2h5m3s`; never shorter than it is."""
    if milliseconds < 1000:
        return b"%dms" % max(milliseconds, 0)
    minutes, seconds = divmod(-(-milliseconds // 1000), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return b"%dh%dm%ds" % (hours, minutes, seconds)
    return b"%dm%ds" % (minutes, seconds) if minutes else b"%ds" % seconds
