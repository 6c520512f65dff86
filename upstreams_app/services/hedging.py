"""Two targets at once: where the first byte of one takes long, a second one is asked; who answers first wins.

Each of the two is a call of its own, in a task of its own, with its own time limits and its own account.
What the winner's account says becomes the request's. The other one is cancelled at once, and what it may
have cost is a record below the request's, paid from a leave of its own: without that no second call is made.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from time import monotonic
from typing import Generic, Protocol, TypeVar

from gateway_project.core.codec import join_object
from gateway_project.core.context import RequestContext
from gateway_project.core.deadline import DISCONNECTED, CallScope
from gateway_project.core.errors import GatewayError
from gateway_project.observability import metrics
from gateway_project.observability.logging import log_event
from security_app.services.reservation import Ticket, reserve_child
from upstreams_app.hedge_policy import HedgePolicy
from upstreams_app.registry import ModelEntry
from upstreams_app.routing.strategies import Candidate
from upstreams_app.services import failures
from upstreams_app.services.background import spawn
from upstreams_app.services.calls import Call
from upstreams_app.services.client import ClientPool
from upstreams_app.services.course import Course
from upstreams_app.services.deciding import EMBEDDINGS
from upstreams_app.services.demand import estimate_call
from upstreams_app.services.questions import Question
from usage_app.entry import TokenUsage
from usage_app.services.extraction import estimate_tokens
from usage_app.services.settlement import CLIENT_LEFT, Settlement

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
# What may be asked twice: models, whose answers have no effect but their price.
_SAFE_PATHS = frozenset({"/chat/completions", "/completions", EMBEDDINGS})
_BEFORE_SENDING = frozenset({"queue", "connect"})
# Why a call was cancelled that another one was quicker than.
OUTRUN = "outrun"
LOST_CODE = "hedge_lost"
# What became of a second call, or why there was none.
WON, LOST, FAILED, LEFT = "won", "lost", "failed", "cancelled"
REFUSED, CAPPED, UNSENT = "refused", "capped", "unsent"
_TAKEN_OVER = (
    "upstream",
    "upstream_model",
    "price_model",
    "tokens",
    "told",
    "service_tier",
    "received_bytes",
)


class Asks(Protocol[T_co]):
    """One attempt of a call at a target, as `attempts` makes it."""

    def __call__(
        self, call: Call, candidate: Candidate, *, total_s: float, may_wait: bool
    ) -> Awaitable[T_co]:
        """The answer, or the GatewayError that became of it."""


def hedge_of(call: Call, entry: ModelEntry) -> HedgePolicy | None:
    """How a call of a model may be hedged; None for what is never asked twice.

    That is what can't be sent again, what has effects, and all that a run of an agent asks.
    """
    hedge = entry.policy.hedge
    if hedge is None or call.parcel is not None or call.context.parent_id is not None:
        return None
    return hedge if len(entry.targets) > 1 and is_safe_path(call.path) else None


def is_safe_path(path: str) -> bool:
    """Whether what is asked there has no effect but its price."""
    return path in _SAFE_PATHS


def why_not_twice(hedge: HedgePolicy, question: Question) -> str:
    """What of a request itself speaks against asking twice; "" if nothing does."""
    if bytes(question.read_fields().get("store", b"")) == b"true":
        return "the vendor is to keep the answer"
    condition = hedge.condition
    if condition is None or condition.is_true(question.values(condition.variables)):
        return ""
    return f"its condition does not hold: {condition.text}"


class Arm(Generic[T]):
    """One of the two calls. `answer` is there once it has one."""

    __slots__ = ("answer", "call", "candidate", "ended", "error", "started", "task", "total_s", "was_running")

    def __init__(self, candidate: Candidate, until: float) -> None:
        self.candidate = candidate
        self.started = self.ended = monotonic()
        self.total_s = min(candidate.target.upstream.total_timeout_s, until - self.started)
        self.error: GatewayError | None = None
        self.answer: list[T] = []
        self.was_running = False
        self.call: Call
        self.task: asyncio.Task[None]

    @property
    def elapsed_ms(self) -> float:
        """How long it took, or takes by now."""
        return ((self.ended if self.task.done() else monotonic()) - self.started) * 1000

    def bear(self, parent: Call, task: asyncio.Task[None]) -> None:
        """Give it a task, and a copy of the call with a scope and an account of its own."""
        self.task = task
        of = parent.context
        scope = CallScope(task, parent=of.scope)
        context = RequestContext(of.snapshot, scope, principal=of.principal)
        context.parent_id = of.request_id
        context.correlation_id, context.client_api_key = of.correlation_id, of.client_api_key
        context.client_ip, context.end_user, context.tags = of.client_ip, of.end_user, of.tags
        context.is_answered = True
        known = parent.settlement
        own = Settlement(context, known.ticket, known.operation, is_stream=known.is_stream)
        own.model_id, own.route, own.end_user = known.model_id, known.route, known.end_user
        self.call = replace(parent, context=context, settlement=own, target=None)


class Race(Generic[T]):
    """One attempt of a request that a second one may be made beside. `outcome` says what became of that."""

    def __init__(
        self,
        call: Call,
        entry: ModelEntry,
        clients: ClientPool,
        course: Course,
        ask: Asks[T],
        *,
        discard: Callable[[T], None] | None,
    ) -> None:
        self._call = call
        self._entry = entry
        self._clients = clients
        self._course = course
        self._ask = ask
        self._discard = discard
        self._state = clients.hedges.of(entry.id)
        self._ticket: Ticket | None = None
        self._winner: Arm[T] | None = None
        self._why_ended = (0, "")
        self.first = Arm[T](course.candidate, course.until)
        self.second: Arm[T] | None = None
        self.outcome = ""
        self.after_ms = 0

    async def run(self, hedge: HedgePolicy) -> T:
        """The answer of whoever is first; else the error of the target whose turn it was."""
        scope = self._call.context.scope
        before = scope.on_tick

        def tick(now: float) -> None:
            if before is not None:
                before(now)
            for arm in (self.first, self.second):
                if arm is not None and not arm.task.done():
                    arm.call.context.scope.tick(now)

        first = self.first
        first.bear(self._call, spawn(self._run(first, may_wait=self._course.may_wait)))
        scope.on_tick = tick
        try:
            delay_s = self._state.delay_s(hedge, is_stream=self._call.is_stream)
            await asyncio.wait({first.task}, timeout=delay_s)
            if not first.task.done():
                self._begin_second(hedge)
            self._winner = await self._first_answer()
        finally:
            scope.on_tick = before
            self._close()
        if self._winner is not None:
            return self._winner.answer[0]
        # What nobody foresaw of the first call is raised here; of the second one asyncio's log tells it.
        first.task.result()
        raise first.error or RuntimeError("the first call ended with neither an answer nor an error")

    def _begin_second(self, hedge: HedgePolicy) -> None:
        """Ask a second target, if there is one, the request may be asked twice, and the share allows it."""
        candidate = self._course.beside(monotonic(), self._clients.busy)
        if candidate is None or why_not_twice(hedge, self._call.question()):
            return
        self.after_ms = round(self.first.elapsed_ms)
        if not self._state.take():
            self._end(CAPPED)
            return
        second = self.second = Arm[T](candidate, self._course.until)
        second.bear(self._call, spawn(self._run(second, may_wait=False)))

    async def _run(self, arm: Arm[T], *, may_wait: bool) -> None:
        try:
            if arm is not self.first:
                await self._take_leave()
                self._course.take_beside(arm.candidate)
            answer = await self._ask(arm.call, arm.candidate, total_s=arm.total_s, may_wait=may_wait)
            arm.answer.append(answer)
        except GatewayError as error:
            arm.error = error
        finally:
            arm.ended = monotonic()

    async def _take_leave(self) -> None:
        """What the second call may cost is held beside what the first may; raises where there is no room."""
        call = self._call
        body = join_object(call.fields)
        estimate = partial(
            estimate_call, call.context, self._entry, call.settlement.operation, body, call.fields
        )
        try:
            self._ticket = await reserve_child(call.settlement.ticket, self._entry.id, estimate)
        except GatewayError:
            self.outcome = REFUSED
            self._state.give_back()
            raise

    async def _first_answer(self) -> Arm[T] | None:
        """Who answers first; None if nobody does, or the first target refuses the request itself."""
        arms = [arm for arm in (self.first, self.second) if arm is not None]
        running = {arm.task for arm in arms}
        while running:
            _, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            for arm in arms:
                if arm.answer:
                    return arm
            if self.first.error is not None and failures.fault_of(self.first.error) is None:
                break
        return None

    # The end, without anything to wait for: nobody's cancellation comes between.

    def _close(self) -> None:
        winner = self._winner
        # Why a call is cancelled is known now, and not when it is over.
        self._why_ended = self._ending()
        main = winner or self.first
        other = self.second if main is self.first else self.first
        if winner is None:
            self._stop(main, "")
            self._throw_away(main)
        self._take_over(main)
        if winner is not None:
            self._observe(winner)
        if other is None:
            return
        other.was_running = bool(other.answer) or not other.task.done()
        if other.was_running:
            self._call.settlement.beside += other.call.settlement.attempts
        if other.task.done():
            self._settle(other)
        else:
            self._stop(other, OUTRUN if winner is not None else "")
            other.task.add_done_callback(lambda _: self._settle(other))
        if self.second is not None:
            self._end(self.outcome or self._what_became(self.second))

    def _what_became(self, second: Arm[T]) -> str:
        if self._winner is second:
            return WON
        if second.error is not None:
            return FAILED
        if not second.call.settlement.attempts:
            # It was still to be sent.
            self._state.give_back()
            return UNSENT
        return LEFT if self._winner is None else LOST

    def _observe(self, winner: Arm[T]) -> None:
        """How long the first target took, or at least takes."""
        if self.first.error is None:
            self._state.observe(self.first.elapsed_ms, is_stream=self._call.is_stream)
        if winner.call.settlement.first_token_ms is not None:
            waited_ms = (winner.call.context.started - self._call.context.started) * 1000
            first_ms = winner.call.settlement.first_token_ms + waited_ms
            self._call.settlement.first_token_ms = round(first_ms, 3)
        self._call.context.scope.limit_total(winner.total_s - (monotonic() - winner.started))

    def _take_over(self, arm: Arm[T]) -> None:
        """What its account says is the request's."""
        ours, theirs = self._call.settlement, arm.call.settlement
        ours.attempts += theirs.attempts
        if arm.call.target is None:
            return
        self._call.target = arm.call.target
        for name in _TAKEN_OVER:
            setattr(ours, name, getattr(theirs, name))

    def _throw_away(self, arm: Arm[T]) -> None:
        """Its answer, if it came in the moment in which nobody wanted it any more."""
        if arm.answer and self._discard is not None:
            self._discard(arm.answer[0])

    @staticmethod
    def _stop(arm: Arm[T], reason: str) -> None:
        if arm.task.done():
            return
        if reason:
            arm.call.context.scope.cancel(reason)
        else:
            arm.task.cancel()

    def _settle(self, other: Arm[T]) -> None:
        """The account of the call that is not the request's; for what has failed nothing is paid, as ever."""
        settlement, ticket = other.call.settlement, self._ticket
        other.call.context.scope.close()
        self._throw_away(other)
        if not other.was_running or ticket is None or not settlement.attempts:
            if other.task.done() and other.error is not None:
                self._call.settlement.attempts += settlement.attempts
            if ticket is not None:
                ticket.release()
            return
        settlement.ticket = ticket
        self._estimate(other)
        settlement.abort(*self._why_ended)

    def _ending(self) -> tuple[int, str]:
        if self._winner is not None:
            return CLIENT_LEFT, LOST_CODE
        if self._call.context.scope.cause == DISCONNECTED:
            return CLIENT_LEFT, DISCONNECTED
        # The first target refused the request, or the server stops.
        return (CLIENT_LEFT, LOST_CODE) if self.first.error is not None else (503, "cancelled")

    def _estimate(self, arm: Arm[T]) -> None:
        """What a vendor has done by then: read the request, and for a whole answer as much as the winner."""
        theirs, ours = arm.call.settlement, self._call.settlement
        is_unsent = arm.call.context.scope.phase in _BEFORE_SENDING
        if arm.error is not None or is_unsent or theirs.tokens is not None or theirs.told is not None:
            return
        self._call.target, asked = arm.call.target, self._call.target
        sent = estimate_tokens(ours.measure_sent())
        self._call.target = asked
        output = 0
        if self._winner is not None and not self._call.is_stream:
            output = ours.tokens.output if ours.tokens is not None else estimate_tokens(ours.received_bytes)
        theirs.told = TokenUsage(input=sent, output=output)

    def _end(self, outcome: str) -> None:
        self.outcome = outcome
        metrics.observe_hedge(self._entry.id, outcome)
        if self.second is None:
            # In an overload that is most requests; their records tell it.
            return
        log_event(
            "upstream.hedged",
            {
                "request_id": "req_" + self._call.context.request_id.hex,
                "model": self._entry.id,
                "first": self.first.candidate.target.model_id,
                "second": self.second.candidate.target.model_id,
                "after_ms": self.after_ms,
                "outcome": outcome,
            },
        )

    def record(self) -> dict[str, object]:
        """What the decision record says of it; {} where no second call was thought of."""
        if not self.outcome:
            return {}
        known: dict[str, object] = {"outcome": self.outcome, "after_ms": self.after_ms}
        if self.second is not None:
            known["target"] = self.second.candidate.target.model_id
        return known
