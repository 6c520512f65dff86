"""The attempts of one call: over the targets of a model id, and over the models that it falls back to.

All of it ends with the first byte for the client: `use` returns when a target is the one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from math import inf
from time import monotonic
from typing import Any, Generic, NamedTuple, TypeVar

from gateway_project.core.errors import GatewayError
from gateway_project.observability import metrics
from gateway_project.observability.logging import log_event
from upstreams_app.hedge_policy import HedgePolicy
from upstreams_app.registry import ModelEntry, Target
from upstreams_app.route_policy import (
    CONNECTION,
    CREDENTIAL,
    RATE_LIMITED,
)
from upstreams_app.routing.plan import Plan
from upstreams_app.routing.strategies import Candidate
from upstreams_app.services import failures
from upstreams_app.services.calls import Call, OpenAnswer, ask
from upstreams_app.services.client import ClientPool
from upstreams_app.services.course import Course
from upstreams_app.services.deciding import EMBEDDINGS, decide
from upstreams_app.services.fallbacks import Fallbacks
from upstreams_app.services.hedging import OUTRUN, REFUSED, WON, Arm, Race, hedge_of
from usage_app.entry import TokenUsage

T = TypeVar("T")
Use = Callable[[Call, OpenAnswer], Awaitable[T]]
# Where callers bring their own credential, one of them must not close a model to the others.
_OF_THE_CALLER = frozenset({CREDENTIAL, RATE_LIMITED})
_MAX_RECORDED = 10


class Attempt(NamedTuple):
    """An attempt that failed."""

    target: Target
    error: GatewayError
    fault: str
    elapsed_ms: float


def try_targets(
    call: Call, clients: ClientPool, use: Use[T], *, discard: Callable[[T], None] | None = None
) -> Awaitable[T]:
    """What `use` makes of the first good answer of a target; raises the last error, with all attempts listed.

    `use` reads as much as must have come before this target is the one. It releases the answer if it raises,
    and finds the phase "first token" running. It is given the call, or where two targets are asked at once a
    copy for each of them; what came of the slower one is for `discard`.
    """
    call.settlement.queue_ms = round(call.context.elapsed_ms(), 3)
    return _Trial(call, clients, use, discard).run()


def note_use(clients: ClientPool, target: Target, tokens: TokenUsage) -> None:
    """A target's answer took so many tokens."""
    clients.tracker.facts(target).add_use(tokens.input + tokens.output, monotonic())


class _Trial(Generic[T]):
    __slots__ = ("_attempts", "_call", "_clients", "_discard", "_hedges", "_plans", "_until", "_use")

    def __init__(
        self, call: Call, clients: ClientPool, use: Use[T], discard: Callable[[T], None] | None
    ) -> None:
        self._call = call
        self._clients = clients
        self._use = use
        self._discard = discard
        self._attempts: list[Attempt] = []
        self._hedges: list[dict[str, object]] | None = None
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
        course = Course(entry, self._order(entry))
        self._until = course.until = min(self._until, course.until)
        target, facts, _ = course.candidate
        now = monotonic()
        if facts.is_open and facts.barred_until > now and len(entry.targets) == 1:
            raise failures.breaker_open(target, facts.barred_until - now)
        hedge = None if entry.policy.hedge is None else hedge_of(self._call, entry)
        if hedge is not None:
            self._clients.hedges.of(entry.id).note_request(hedge)
        while True:
            try:
                if hedge is not None:
                    return await self._hedged(course, hedge, entry)
                total_s = min(course.candidate.target.upstream.total_timeout_s, course.until - now)
                return await self._once(
                    self._call, course.candidate, total_s=total_s, may_wait=course.may_wait
                )
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

    async def _hedged(self, course: Course, hedge: HedgePolicy, entry: ModelEntry) -> T:
        """One attempt, and another one beside it if it takes long."""
        race = Race(self._call, entry, self._clients, course, self._once, discard=self._discard)
        try:
            return await race.run(hedge)
        finally:
            if known := race.record():
                self._hedges = [*(self._hedges or ()), known]
            if race.second is not None and race.outcome != REFUSED:
                self._note_beside(course, race.second)
                if race.outcome == WON:
                    self._note_beside(course, race.first)

    def _note_beside(self, course: Course, arm: Arm[T]) -> None:
        """One of two that failed, while the other one went on."""
        if arm.error is None:
            return
        fault = failures.fault_of(arm.error)
        self._note(Attempt(arm.candidate.target, arm.error, fault or "refused", arm.elapsed_ms))
        if fault is not None:
            course.keep(arm.candidate, arm.error, fault, arm.ended)

    async def _once(self, call: Call, candidate: Candidate, *, total_s: float, may_wait: bool) -> T:
        """One attempt; what is known of the target learns what became of it."""
        target, facts, _ = candidate
        upstream, now = target.upstream, monotonic()
        before = call.settlement.attempts
        facts.begin(now, upstream)
        try:
            opened = await ask(call, target, self._clients, total_s=total_s, may_wait=may_wait)
            answer = await self._use(call, opened)
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
            if call.context.scope.reason == OUTRUN:
                facts.outrun(ended, (ended - now) * 1000, is_stream=call.is_stream)
            else:
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
        if self._hedges:
            record["hedged"] = self._hedges
        if served_by is not None and served_by is not self._call.entry:
            record["fallback"] = served_by.id
        self._call.settlement.decision = record
