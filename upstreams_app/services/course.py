"""Where in the order of a model's targets a call is: which one comes next, when, and which beside it."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from math import inf
from time import monotonic
from uuid import UUID

from gateway_project.core.errors import GatewayError
from upstreams_app.registry import ModelEntry
from upstreams_app.route_policy import CONNECTION, OVERLOADED, RATE_LIMITED, SERVER_ERROR
from upstreams_app.routing.strategies import Candidate
from upstreams_app.services import failures

# What may be another time at the same target: a timeout has taken its time already.
_PASSING = frozenset({CONNECTION, SERVER_ERROR, RATE_LIMITED, OVERLOADED})
_FIRST_PAUSE_S = 0.5
_LONGEST_PAUSE_S = 8.0


class Course:
    """Where in the order of a model's targets a call is, and what it may still do."""

    __slots__ = (
        "_again",
        "_entry",
        "_made",
        "_order",
        "_position",
        "_repeats",
        "_retries",
        "candidate",
        "until",
    )

    def __init__(self, entry: ModelEntry, order: Sequence[Candidate]) -> None:
        policy = entry.policy
        self._entry = entry
        self._order = order
        self._position = 0
        self._made = 0
        self._repeats = 0
        self._retries: dict[str, int] = {}
        # Those that may be asked once more: when at the earliest, and how often they were.
        self._again: dict[str, tuple[float, Candidate, int]] = {}
        self.candidate = order[0]
        if policy.deadline_s is not None:
            total_s = policy.deadline_s
        elif len(order) == 1:
            total_s = order[0].target.upstream.total_timeout_s
        else:
            total_s = max(target.upstream.total_timeout_s for target, _, _ in order)
        self.until = monotonic() + total_s

    @property
    def is_at_last(self) -> bool:
        """Whether nothing else is left to ask."""
        return self._position >= len(self._order) - 1

    @property
    def may_wait(self) -> bool:
        """Whether nothing else may be asked after this, so that waiting for a place is worth it."""
        policy = self._entry.policy
        if self.is_at_last or (self._entry.is_route and self._made + 1 >= policy.max_attempts):
            return True
        allowed = policy.retries.get(OVERLOADED)
        return allowed is not None and self._retries.get(OVERLOADED, 0) >= allowed

    def beside(self, now: float, busy: Callable[[UUID], int]) -> Candidate | None:
        """Who may be asked at the same time as the present one: the next that is well and has a place."""
        if self._made + 1 >= self._entry.policy.max_attempts:
            return None
        for candidate in self._order[self._position + 1 :]:
            target, facts, share = candidate
            upstream = target.upstream
            if share == inf or facts.is_open or not facts.is_ready(now, upstream):
                continue
            if upstream.max_concurrency is None or busy(upstream.id) < upstream.max_concurrency:
                return candidate
        return None

    def take_beside(self, candidate: Candidate) -> None:
        """It is asked now, as one of the attempts: the next one after the present one."""
        rest = [each for each in self._order[self._position + 1 :] if each is not candidate]
        self._order = [*self._order[: self._position + 1], candidate, *rest]
        self._position += 1
        self._made += 1

    def is_shut(self, at: float) -> bool:
        """Whether the only target has died of this very request."""
        facts = self.candidate.facts
        return facts.is_open and facts.barred_until > at and len(self._order) == 1

    def go_on(self, error: GatewayError, fault: str, now: float) -> float | None:
        """Choose the next attempt: the pause before it in seconds, None if there is none."""
        self._made += 1
        used = self._retries[fault] = self._retries.get(fault, 0) + 1
        policy = self._entry.policy
        at_most = (
            policy.max_attempts if self._entry.is_route else self.candidate.target.upstream.max_retries + 1
        )
        allowed = policy.retries.get(fault)
        if self._made >= at_most or (allowed is not None and used > allowed) or now >= self.until:
            return None
        self.keep(self.candidate, error, fault, now)
        if not self.is_at_last:
            self._advance(now)
            return 0.0
        return self._repeat(now)

    def keep(self, candidate: Candidate, error: GatewayError, fault: str, now: float) -> None:
        """Note when a target that failed may be asked again, if that can help at all."""
        target = candidate.target
        times = self._again.pop(target.model_id, (0.0, candidate, 0))[2]
        if fault in _PASSING and times < target.upstream.max_retries and not failures.wants_long_pause(error):
            self._again[target.model_id] = (now + failures.retry_after_s(error), candidate, times)

    def _advance(self, now: float) -> None:
        """The next target; those that give no sign of life, or are in trouble meanwhile, after the others."""
        self._position += 1
        rest = self._order[self._position :]
        if len(rest) > 1:
            rest = sorted(
                rest,
                key=lambda each: (
                    int(each.facts.dread(now, each.target.upstream) * 10),
                    each.facts.barred_until > now,
                    each.facts.is_open,
                ),
            )
            self._order = [*self._order[: self._position], *rest]
        self.candidate = rest[0]

    def _repeat(self, now: float) -> float | None:
        """The target that may be asked again first, with a growing pause; None if none is in time."""
        if not self._again:
            return None
        model_id, (ready_at, candidate, times) = min(self._again.items(), key=lambda item: item[1][0])
        pause_s = max(backoff_s(self._repeats), ready_at - now)
        if now + pause_s >= self.until:
            return None
        self._again[model_id] = (ready_at, candidate, times + 1)
        self._repeats += 1
        self.candidate = candidate
        return pause_s


def backoff_s(repeats: int, draw: Callable[[], float] = random.random) -> float:
    """0.5 · 2ⁿ seconds, at most 8, the last quarter by chance: many that failed together come back apart."""
    pause_s: float = min(_FIRST_PAUSE_S * 2**repeats, _LONGEST_PAUSE_S)
    return pause_s * (0.75 + 0.25 * draw())
