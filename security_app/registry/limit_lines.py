"""What answers tell of limits: OpenAI's headers for the tightest, LiteLLM's for each scope.

Which headers a call gets is known with its counters, so that an answer only has its numbers filled in.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from operator import itemgetter

from security_app.registry.counters import LimitRule, Meter

_FAMILIES = {
    "requests": "requests",
    "tokens": "tokens",
    "input_tokens": "tokens",
    "output_tokens": "tokens",
    "concurrency": "max_parallel_requests",
}
# LiteLLM's words, where they are not ours.
_SCOPES = {"key": "api_key"}


class LimitLines:
    """The header lines of the limits among some counters, as they stand on the wire."""

    __slots__ = ("_form", "_groups", "_pick")

    def __init__(self, meters: Sequence[Meter]) -> None:
        by_family: dict[tuple[str, str], list[int]] = {}
        by_scope: dict[tuple[str, str], list[int]] = {}
        for index, meter in enumerate(meters):
            family = _FAMILIES.get(meter.rule.metric)
            if family is None:
                continue
            if family != "max_parallel_requests":
                by_family.setdefault(("", family), []).append(index)
            scope = _SCOPES.get(meter.rule.kind, meter.rule.kind)
            by_scope.setdefault((f"{scope}-", family), []).append(index)
        # Nearly every scope has one counter of a family: one form for all of those.
        self._pick = picker([indexes[0] for indexes in by_scope.values() if len(indexes) == 1])
        self._form = b"".join(
            [_form(*place, meters[indexes[0]]) for place, indexes in by_scope.items() if len(indexes) == 1]
        )
        # Of several counters the one is told of that has the least left.
        groups = [*by_family.items(), *(item for item in by_scope.items() if len(item[1]) > 1)]
        self._groups = [
            (not place[0], tuple(indexes), {index: _form(*place, meters[index]) for index in indexes})
            for place, indexes in groups
        ]

    def filled(self, remaining: Sequence[int], reset_ms: Sequence[int]) -> bytes:
        """The lines; what remains is after the call's own part. Empty without limits."""
        if not remaining:
            return b""
        if min(remaining) < 0:
            remaining = [max(left, 0) for left in remaining]
        lines = b""
        for has_reset, indexes, forms in self._groups:
            index = indexes[0] if len(indexes) == 1 else min(indexes, key=remaining.__getitem__)
            left = remaining[index]
            lines += forms[index] % ((left, duration(reset_ms[index])) if has_reset else left)
        return lines + self._form % self._pick(remaining)


def picker(indexes: Sequence[int]) -> Callable[[Sequence[int]], tuple[int, ...]]:
    """What takes these items out of a sequence."""
    if len(indexes) > 1:
        return itemgetter(*indexes)
    return lambda values: tuple([values[index] for index in indexes])


def _form(scope: str, family: str, meter: Meter) -> bytes:
    """The lines of one counter: its limit is known, what remains and the reset are to be filled in."""
    rule = meter.rule
    limit = rule.value if isinstance(rule, LimitRule) else 0
    form = f"x-ratelimit-{scope}limit-{family}: {limit}\r\nx-ratelimit-{scope}remaining-{family}: %d\r\n"
    if not scope:
        form += f"x-ratelimit-reset-{family}: %s\r\n"
    return form.encode()


def duration(milliseconds: int) -> bytes:
    """As OpenAI writes them: `120ms`, `6s`, `1m0s`, `2h5m3s`; never shorter than it is."""
    if milliseconds < 1000:
        return b"%dms" % max(milliseconds, 0)
    return _whole(-(-milliseconds // 1000))


@functools.lru_cache(maxsize=4096)
def _whole(seconds: int) -> bytes:
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return b"%dh%dm%ds" % (hours, minutes, seconds)
    return b"%dm%ds" % (minutes, seconds) if minutes else b"%ds" % seconds
