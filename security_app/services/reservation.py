"""Step 4 of a request's path: authorize it, and take what it needs from limits and budgets, all or nothing.

Who gets a `Ticket` settles or releases it exactly once, however the call ends: an open one counts against
everybody who shares its counters, until its reservation expires.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from gateway_project.core.context import RequestContext
from gateway_project.core.ids import ticket_id
from gateway_project.observability import metrics
from security_app.limits import MAX_AMOUNT, NOTHING, Granted, Limiter, Refused, Take, Takes, Unavailable
from security_app.registry import Principal
from security_app.registry.authorizers import ABOUT_MODELS
from security_app.registry.counters import BudgetRule, Meter
from security_app.registry.limits import (
    CALL,
    CALL_IN_RUN,
    NOBODY,
    REQUEST,
    RUN,
    RUN_IN_RUN,
    SECTION,
    TOOL,
    LimitsConfig,
    Plan,
    Who,
)
from security_app.services import soft_budgets
from security_app.services.authorizing import ask_for_use, is_asked
from security_app.services.denials import note_limited
from security_app.services.limit_answers import out_of_order, refusal, unpriced
from security_app.services.limit_conditions import call_values
from security_app.services.limiting import limiting
from security_app.services.permissions import require_model
from security_app.services.stream_budgets import StreamBudgets


class Demand(NamedTuple):
    """What a call may come to at most. `cost_nano` is None if nobody knows what the model costs.

    Where some of the upstreams that may serve it have a price, it is theirs, and `is_priced` is false.
    """

    requests: int = 1
    input_tokens: int = 0
    output_tokens: int = 0
    cost_nano: int | None = 0
    is_priced: bool = True


ONE_REQUEST = Demand()
# Estimated only if some counter asks for it.
Estimate = Callable[[], Demand]
_NO_LIMITS = LimitsConfig().seal()
_DEGRADED = b"x-gateway-limits: degraded\r\n"


class Ticket:
    """Leave to make one call: for whom, for which model id, and what is held for it until it is over."""

    __slots__ = (
        "_answer",
        "_limiter",
        "_plan",
        "_stream_budgets",
        "_takes",
        "context",
        "id",
        "is_degraded",
        "limits",
        "model_id",
        "principal",
        "who",
    )

    def __init__(
        self,
        principal: Principal,
        model_id: str,
        limits: LimitsConfig = _NO_LIMITS,
        who: Who = NOBODY,
        context: RequestContext | None = None,
    ) -> None:
        self.principal = principal
        self.model_id = model_id
        self.limits = limits
        self.who = who
        # Of the request that it all began with, for conditions.
        self.context = context
        self.id = ""
        self.is_degraded = False
        self._limiter: Limiter | None = None
        self._plan: Plan | None = None
        self._takes: Sequence[Take] = ()
        self._answer: Granted | None = None
        self._stream_budgets: StreamBudgets | None = None

    @property
    def is_open(self) -> bool:
        """Whether something is held for the call still."""
        return self._limiter is not None

    def header_lines(self) -> bytes:
        """What the client learns of its limits with an answer: header lines as they stand on the wire."""
        if self._answer is None or self._plan is None:
            return _DEGRADED if self.is_degraded else b""
        return self._plan.lines.filled(self._answer.remaining, self._answer.reset_ms)

    def stream_budgets(self) -> StreamBudgets | None:
        """The budgets that end this call's stream when they are used up; None if no budget does, as mostly.

        To be asked once: what they hold is given back with the ticket.
        """
        if self._limiter is None or self._plan is None or self._answer is None:
            return None
        if self._plan.stops_streams:
            self._stream_budgets = StreamBudgets.of(
                self._limiter, self._plan.meters, self._takes, self._answer.remaining
            )
        return self._stream_budgets

    def settle(self, input_tokens: int, output_tokens: int, cost_nano: int | None) -> None:
        """The call is over and used this; what was held beyond it is free again. Later calls do nothing."""
        limiter, self._limiter = self._limiter, None
        if limiter is None:
            return
        cost, tokens = cost_nano or 0, input_tokens + output_tokens
        if tokens > MAX_AMOUNT or cost > MAX_AMOUNT:
            input_tokens, output_tokens = min(input_tokens, MAX_AMOUNT), min(output_tokens, MAX_AMOUNT)
            cost, tokens = min(cost, MAX_AMOUNT), min(tokens, MAX_AMOUNT)
        used = {"requests": 1, "input_tokens": input_tokens, "output_tokens": output_tokens}
        limiter.settle(self.id, {**used, "tokens": tokens, "cost": cost})
        if self._stream_budgets is not None:
            self._stream_budgets.give_back()
        if self._plan is not None and self._plan.has_soft_amounts and self._answer is not None:
            soft_budgets.watch(self._plan.meters, self._takes, self._answer.remaining, cost)

    def release(self) -> None:
        """The call came to nothing: all is given back, the request too. Does nothing after `settle`."""
        limiter, self._limiter = self._limiter, None
        if limiter is not None:
            limiter.settle(self.id, NOTHING)
            if self._stream_budgets is not None:
                self._stream_budgets.give_back()

    async def take(self, plan: Plan, demand: Demand | Estimate, replaces: Ticket | None = None) -> Ticket:
        """Take what the plan says, or raise and take nothing; returns this ticket.

        What `replaces` holds is this one's to take: it is given back in the same step. If this raises, it is
        held as before.
        """
        if not plan.meters:
            if replaces is not None:
                replaces.release()
            return self
        if not isinstance(demand, Demand):
            demand = demand() if plan.needs_tokens or plan.needs_cost else ONE_REQUEST
        wanted = demand
        takes = _takes(plan, wanted, int(time.time() * 1000), self.model_id)

        def at(store_ms: int) -> Sequence[Take]:
            """Another window has begun for the store."""
            nonlocal takes
            takes = _takes(plan, wanted, store_ms, self.model_id)
            return takes

        limiter = limiting.limiter
        self.id = ticket_id()
        try:
            answer = await limiter.reserve(
                self.id,
                takes,
                recompute=at,
                replaces=replaces.id if replaces is not None and replaces._limiter is limiter else "",
            )
        except BaseException:
            # Nobody knows whether the store did it.
            limiter.settle(self.id, NOTHING)
            raise
        if isinstance(answer, Granted):
            self._limiter, self._plan, self._takes, self._answer = limiter, plan, takes, answer
        elif isinstance(answer, Refused):
            reason = plan.meters[answer.index].rule.denial
            metrics.observe_denial(reason)
            note_limited(self.principal, reason)
            raise refusal(plan, takes, answer)
        else:
            self._go_on_without(takes, answer)
        if replaces is not None:
            replaces.release()
        return self

    def _go_on_without(self, takes: Sequence[Take], answer: Unavailable) -> None:
        limiting.note_unavailable(answer.reason)
        if not all(take.counter.is_fail_open for take in takes):
            raise out_of_order()
        self.is_degraded = True


async def reserve(
    context: RequestContext,
    principal: Principal,
    model_id: str,
    demand: Demand | Estimate = ONE_REQUEST,
    *,
    is_agent: bool = False,
    replaces: Ticket | None = None,
) -> Ticket:
    """Leave for a client's request. A run of an agent takes no tokens and no money: its calls do.

    Leave that a request has for another model is exchanged by giving it as `replaces`: what it holds stands
    not in the way. It stays held where this raises, and is released where it returns.

    PermissionDenied if the principal may not use the model; RateLimited or QuotaExceeded, with when to try
    again; InvalidRequest for a model without a price under a budget; Overloaded while counters are away.
    """
    require_model(principal, model_id, is_agent=is_agent, ip=context.client_ip)
    if is_asked(ABOUT_MODELS):
        await ask_for_use(context, ABOUT_MODELS, "agent" if is_agent else "model", model_id)
    limits = limits_of(context)
    if not limits.kinds:
        return Ticket(principal, model_id, limits)
    who = _who(context, principal, limits)
    plan = limits.plan(RUN if is_agent else CALL, who, model_id)
    if plan.conditions:
        plan = plan.narrowed(call_values(context, principal, model_id))
    if is_agent:
        who = who._replace(agent=model_id)
    return await Ticket(principal, model_id, limits, who, context).take(plan, demand, replaces)


async def reserve_child(
    ticket: Ticket,
    model_id: str,
    demand: Demand | Estimate = ONE_REQUEST,
    *,
    is_agent: bool = False,
    replaces: Ticket | None = None,
) -> Ticket:
    """Leave for a call of a run that was let in; the key needs none for the models of an agent.

    It takes tokens and money wherever the run's caller is counted, but requests and concurrency only of its
    own model, or of the agent that is called as a tool. Raises as `reserve`, but for permissions.
    """
    limits, who, context = ticket.limits, ticket.who, ticket.context
    if not limits.kinds:
        return Ticket(ticket.principal, model_id, limits, who)
    if is_agent:
        who, plan, demand = (
            who._replace(agent=model_id),
            limits.plan(RUN_IN_RUN, NOBODY, model_id),
            ONE_REQUEST,
        )
        replaces = None
    else:
        plan = limits.plan(CALL_IN_RUN, who, model_id)
    if plan.conditions:
        plan = plan.narrowed(call_values(context, ticket.principal, model_id, agent=ticket.who.agent))
    return await Ticket(ticket.principal, model_id, limits, who, context).take(plan, demand, replaces)


async def reserve_request(context: RequestContext, name: str) -> Ticket:
    """Leave for a client's request that asks no model, as the call of a tool: requests and concurrency alone.

    Raises RateLimited, with when to try again, and Overloaded while counters are away.
    """
    limits, principal = limits_of(context), context.principal
    if not limits.kinds:
        return Ticket(principal, name, limits)
    who = _who(context, principal, limits)
    plan = limits.plan(REQUEST, who, name)
    if plan.conditions:
        plan = plan.narrowed(call_values(context, principal, name))
    return await Ticket(principal, name, limits, who, context).take(plan, ONE_REQUEST)


async def reserve_tool(context: RequestContext, name: str) -> Ticket:
    """Leave for a call of a tool, as far as its own limits go."""
    limits = limits_of(context)
    ticket = Ticket(context.principal, name, limits)
    if "tool" not in limits.kinds:
        return ticket
    plan = limits.plan(TOOL, NOBODY, name)
    if plan.conditions:
        plan = plan.narrowed(call_values(context, context.principal, name))
    return await ticket.take(plan, ONE_REQUEST)


def limits_of(context: RequestContext) -> LimitsConfig:
    """The limits and budgets that hold for a request."""
    section = context.snapshot.sections.get(SECTION)
    return _NO_LIMITS if section is None else section.value


def _who(context: RequestContext, principal: Principal, limits: LimitsConfig) -> Who:
    """Only what is limited at all: what differs from call to call would make a plan for each."""
    who = limits.who(principal)
    kinds = limits.kinds
    if context.end_user and "end_user" in kinds:
        who = who._replace(end_user=context.end_user)
    if context.tags and "tag" in kinds:
        who = who._replace(tags=tuple(dict.fromkeys(context.tags)))
    return who


def _takes(plan: Plan, demand: Demand, now_ms: int, model_id: str) -> Takes:
    requests, input_tokens, output_tokens, cost_nano, is_priced = demand
    if cost_nano is None or not is_priced:
        _require_price(plan.meters, model_id)
    tokens, cost = input_tokens + output_tokens, cost_nano or 0
    if tokens > MAX_AMOUNT or cost > MAX_AMOUNT:
        input_tokens, output_tokens = min(input_tokens, MAX_AMOUNT), min(output_tokens, MAX_AMOUNT)
        tokens, cost = min(tokens, MAX_AMOUNT), min(cost, MAX_AMOUNT)
    # As METRICS.
    amounts = plan.amounts_of((requests, input_tokens, output_tokens, tokens, 1, cost))
    return Takes(plan.counters(now_ms), amounts)


def _require_price(meters: Sequence[Meter], model_id: str) -> None:
    for meter in meters:
        if isinstance(meter.rule, BudgetRule) and not meter.rule.allows_unpriced:
            raise unpriced(meter.rule, model_id)
