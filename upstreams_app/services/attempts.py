"""The attempts of one call: over the targets of a model id, and over the models that it falls back to.

All of it ends with the first byte for the client: `use` returns when a target is the one.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from math import inf
from time import monotonic
from typing import Any, Generic, NamedTuple, TypeVar

from gateway_project.core.errors import GatewayError
from gateway_project.observability import metrics
from gateway_project.observability.logging import log_event
from upstreams_app.registry import ModelEntry, Target
from upstreams_app.route_policy import (
    CONNECTION,
    CREDENTIAL,
    OVERLOADED,
    RATE_LIMITED,
    SERVER_ERROR,
)
from upstreams_app.routing.plan import Plan
from upstreams_app.routing.strategies import Candidate
from upstreams_app.services import failures
from upstreams_app.services.calls import Call, OpenAnswer, ask
from upstreams_app.services.client import ClientPool
from upstreams_app.services.deciding import EMBEDDINGS, decide
from upstreams_app.services.fallbacks import Fallbacks
from usage_app.entry import TokenUsage

T = TypeVar("T")
# What may be another time at the same target: a timeout has taken its time already.
_PASSING = frozenset({CONNECTION, SERVER_ERROR, RATE_LIMITED, OVERLOADED})
# Where callers bring their own credential, one of them must not close a model to the others.
_OF_THE_CALLER = frozenset({CREDENTIAL, RATE_LIMITED})
_FIRST_PAUSE_S = 0.5
_LONGEST_PAUSE_S = 8.0
_MAX_RECORDED = 10


class Attempt(NamedTuple):
    """An attempt that failed."""

    target: Target
    error: GatewayError
    fault: str
    elapsed_ms: float


async def try_targets(call: Call, clients: ClientPool, use: Callable[[OpenAnswer], Awaitable[T]]) -> T:
    """What `use` makes of the first good answer of a target; raises the last error, with all attempts listed.

    `use` reads as much as must have come before this target is the one. It releases the answer if it raises,
    and finds the phase "first token" running.
    """
    call.settlement.queue_ms = round(call.context.elapsed_ms(), 3)
    return await _Trial(call, clients, use).run()


def note_use(clients: ClientPool, target: Target, tokens: TokenUsage) -> None:
    """A target's answer took so many tokens."""
    clients.tracker.facts(target).add_use(tokens.input + tokens.output, monotonic())


class _Trial(Generic[T]):
    __slots__ = ("_attempts", "_call", "_clients", "_plans", "_until", "_use")

    def __init__(self, call: Call, clients: ClientPool, use: Callable[[OpenAnswer], Awaitable[T]]) -> None:
        self._call = call
        self._clients = clients
        self._use = use
        self._attempts: list[Attempt] = []
        self._plans: list[Plan] = []
        # One deadline over everything: the first model's.
        self._until = inf

    async def run(self) -> T:
        """Over the model's targets, then over those of its fallbacks."""
        entry = self._call.stand_in or self._call.entry
        fallbacks: Fallbacks | None = None
        while True:
            try:
                answer = await self._over(entry)
            except GatewayError as error:
                self._record()
                fallbacks = fallbacks or Fallbacks(self._call, entry)
                following = await fallbacks.after(entry, error) if monotonic() < self._until else None
                if following is None:
                    tried = [(attempt.target, attempt.error) for attempt in self._attempts]
                    failures.note_attempts(error, tried)
                    raise
                self._tell_fallback(entry, following, error)
                entry = following
            else:
                if self._plans or self._attempts or entry is not self._call.entry:
                    self._record(entry)
                return answer

    async def _over(self, entry: ModelEntry) -> T:
        """The first good answer of one model's targets."""
        if entry.maintenance is not None:
            raise failures.resting(entry, entry.maintenance)
        if not entry.targets:
            raise failures.in_maintenance(entry)
        course = _Course(entry, self._order(entry))
        self._until = course.until = min(self._until, course.until)
        target, facts, _ = course.candidate
        now = monotonic()
        if facts.is_open and facts.barred_until > now and len(entry.targets) == 1:
            raise failures.breaker_open(target, facts.barred_until - now)
        while True:
            try:
                return await self._once(course, now)
            except GatewayError as error:
                fault = failures.fault_of(error)
                if fault is None:
                    raise
                # What was not kept can't be sent once more.
                is_spent = self._call.parcel is not None and self._call.parcel.is_spent
                target, ended = course.candidate.target, monotonic()
                self._note(Attempt(target, error, fault, (ended - now) * 1000))
                pause_s = None if is_spent else course.go_on(error, fault, ended)
                if pause_s is None or course.is_shut(ended + pause_s):
                    raise
                if pause_s:
                    await asyncio.sleep(pause_s)
                now = monotonic()
                self._call.settlement.forget_answer()
                self._call.settlement.first_token_ms = None

    async def _once(self, course: _Course, now: float) -> T:
        """One attempt; what is known of the target learns what became of it."""
        call, (target, facts, _) = self._call, course.candidate
        upstream = target.upstream
        before = call.settlement.attempts
        facts.begin(now, upstream)
        try:
            total_s = min(upstream.total_timeout_s, course.until - now)
            opened = await ask(call, target, self._clients, total_s=total_s, may_wait=course.may_wait)
            answer = await self._use(opened)
        except GatewayError as error:
            fault, ended = failures.fault_of(error), monotonic()
            elapsed_ms = (ended - now) * 1000
            if call.is_cut or (call.settlement.attempts == before and fault != CONNECTION):
                # Nothing was sent, or only half: it could not be made for this target, or there was no place.
                facts.abandoned(ended, elapsed_ms)
            elif fault is None or (upstream.takes_client_credential and fault in _OF_THE_CALLER):
                # The upstream works: it is the request that it does not like, or this caller.
                facts.refused(ended)
            else:
                pause_s = failures.retry_after_s(error)
                facts.failed(ended, elapsed_ms, fault, upstream, retry_after_s=pause_s)
            raise
        except BaseException:
            ended = monotonic()
            facts.abandoned(ended, (ended - now) * 1000)
            raise
        ended = monotonic()
        facts.succeeded(ended, (ended - now) * 1000, is_stream=call.is_stream)
        return answer

    def _order(self, entry: ModelEntry) -> Sequence[Candidate]:
        call, clients = self._call, self._clients
        is_plain = not entry.is_selective and not (entry.embedding_model and call.path == EMBEDDINGS)
        if len(entry.targets) == 1 and is_plain:
            return clients.tracker.groups(entry)[0]
        plan = decide(call.question(), entry, clients.tracker.groups(entry), clients.busy)
        self._plans.append(plan)
        if not plan.order:
            raise failures.no_target(entry) if plan.passed else failures.in_maintenance(entry)
        return plan.order

    def _note(self, attempt: Attempt) -> None:
        self._attempts.append(attempt)
        target, error = attempt.target, attempt.error
        metrics.observe_failure(target.upstream.name, error.status)
        log_event(
            "upstream.attempt_failed",
            {
                "request_id": "req_" + self._call.context.request_id.hex,
                "upstream": target.upstream.name,
                "upstream_model": target.model,
                "attempt": len(self._attempts),
                "status": error.status,
                "error_code": error.code,
                "error_stage": "upstream",
                "fault": attempt.fault,
            },
            level="warning",
        )

    def _tell_fallback(self, entry: ModelEntry, following: ModelEntry, error: GatewayError) -> None:
        settlement = self._call.settlement
        settlement.forget_answer()
        settlement.first_token_ms = None
        log_event(
            "upstream.fallback",
            {
                "request_id": "req_" + self._call.context.request_id.hex,
                "model": entry.id,
                "fallback": following.id,
                "reason": failures.fallback_kind(error),
            },
            level="warning",
        )

    def _record(self, served_by: ModelEntry | None = None) -> None:
        """The decision record: the plan, what failed, and which model it fell back to. All of it bounded."""
        if not self._plans and not self._attempts and served_by is None:
            return
        record: dict[str, Any] = self._plans[0].record() if self._plans else {}
        if self._attempts:
            record["failed"] = [
                {
                    "target": attempt.target.model_id,
                    "fault": attempt.fault,
                    "status": attempt.error.status,
                    "ms": round(attempt.elapsed_ms),
                }
                for attempt in self._attempts[:_MAX_RECORDED]
            ]
        if served_by is not None and served_by is not self._call.entry:
            record["fallback"] = served_by.id
        self._call.settlement.decision = record


class _Course:
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
        self._keep(error, fault, now)
        if not self.is_at_last:
            self._advance(now)
            return 0.0
        return self._repeat(now)

    def _keep(self, error: GatewayError, fault: str, now: float) -> None:
        """Note when the target that failed may be asked again, if that can help at all."""
        target = self.candidate.target
        times = self._again.pop(target.model_id, (0.0, self.candidate, 0))[2]
        if fault in _PASSING and times < target.upstream.max_retries and not failures.wants_long_pause(error):
            self._again[target.model_id] = (now + failures.retry_after_s(error), self.candidate, times)

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
