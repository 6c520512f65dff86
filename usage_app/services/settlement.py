"""Step 8 of a request's path: from what is known of a finished call to one line in the ledger.

A `Settlement` collects facts while a call runs and is closed exactly once, by a plain function call that
no cancellation can interrupt.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from msgspec.structs import replace

from gateway_project.core.context import RequestContext
from gateway_project.core.money import usd_text
from gateway_project.observability import metrics
from gateway_project.observability.logging import log_event
from security_app.services.reservation import Ticket
from usage_app.entry import TokenUsage, UsageEntry
from usage_app.errors import JournalFull
from usage_app.models.record import State
from usage_app.registry import RateCard, UsageConfig
from usage_app.services.extraction import estimate_tokens
from usage_app.services.ledger import ledger
from usage_app.services.pricing import cost_nano

logger = logging.getLogger(__name__)
CLIENT_LEFT = 499
# A member's `value` is computed by Python code each time.
_REPORTED, _ESTIMATED, _ABORTED = State.REPORTED.value, State.ESTIMATED.value, State.ABORTED.value


class Settlement:
    """The account of one call. `measure_sent` and `received_bytes`, of text, serve estimates only."""

    __slots__ = (
        "agent",
        "assumed",
        "attempts",
        "beside",
        "context",
        "cost_nano",
        "decision",
        "end_user",
        "first_token_ms",
        "is_cached",
        "is_free",
        "is_settled",
        "is_stream",
        "measure_sent",
        "model_id",
        "on_settled",
        "operation",
        "picture",
        "price_model",
        "queue_ms",
        "received_bytes",
        "route",
        "service_tier",
        "ticket",
        "tokens",
        "told",
        "upstream",
        "upstream_model",
    )

    def __init__(self, context: RequestContext, ticket: Ticket, operation: str, *, is_stream: bool) -> None:
        self.context = context
        self.ticket = ticket
        # What the client asked for; a fallback's ticket is for another one.
        self.model_id = ticket.model_id
        self.operation = operation
        self.is_stream = is_stream
        self.end_user = ""
        # The agent whose run makes the call.
        self.agent = ""
        self.route = ""
        self.upstream = ""
        self.upstream_model = ""
        self.price_model = ""
        self.attempts = 0
        # Attempts that were made at the same time, and have records of their own.
        self.beside = 0
        # Why this upstream, and what was tried; None where nothing was chosen and all went well.
        self.decision: dict[str, Any] | None = None
        self.queue_ms = 0.0
        self.first_token_ms: float | None = None
        self.tokens: TokenUsage | None = None
        # What a stream that ended early had told: its input is certain, its output was still to grow.
        self.told: TokenUsage | None = None
        # What the answer says of how it was served, where that may change the price.
        self.service_tier = ""
        # What kind of images is made, as `quality/size`: some vendors bill by it.
        self.picture = ""
        # What a call that makes no text came to, if the upstream does not tell.
        self.assumed: TokenUsage | None = None
        # How much text was sent, asked only if an estimate is needed.
        self.measure_sent: Callable[[], int] = int
        self.received_bytes = 0
        self.cost_nano: int | None = None
        self.is_cached = False
        # It asks for nothing that is paid for, whatever its answer tells.
        self.is_free = False
        self.is_settled = False
        # Told what the ledger is about to be, with this; it must not raise.
        self.on_settled: Callable[[Settlement, UsageEntry], None] | None = None

    @property
    def cost_text(self) -> str | None:
        """The cost in US dollars as decimal text; None while unknown or without a price."""
        return None if self.cost_nano is None else usd_text(self.cost_nano)

    def rate_card(self) -> RateCard | None:
        """The price of the upstream that was asked last; None if it has none.

        It is fixed when the call starts: by the moment in its id, which its record shows too.
        """
        prices: UsageConfig = self.context.snapshot.sections["usage"].value
        card = prices.price(self.price_model, (self.context.request_id.int >> 80) / 1000)
        if self.service_tier and card is not None:
            card = card.service_tiers.get(self.service_tier, card)
        return card if card is None else card.for_picture(self.picture)

    def forget_answer(self) -> None:
        """What came from one upstream is of no use: another one is asked."""
        self.tokens = self.told = None
        self.service_tier = ""
        self.received_bytes = 0

    def complete(self) -> None:
        """The client is about to get a whole answer. Raises JournalFull if the disk refuses the line."""
        if self.tokens is not None:
            self._settle(200, _REPORTED, self._with_units(self.tokens), "")
        else:
            self._settle(200, _ESTIMATED, self._estimate(), "")

    def complete_from_cache(self, found: dict[str, Any]) -> None:
        """The client is about to get an answer that we kept: it takes no tokens and costs nothing.

        `found` says which answer it is, and what that took. Raises JournalFull if the disk refuses the line.
        """
        self.is_cached = True
        self.decision = {"cache": found}
        self.first_token_ms = round(self.context.elapsed_ms(), 3)
        self._settle(200, _REPORTED, TokenUsage(), "")

    def abort(self, status: int, error_code: str) -> None:
        """The call ended early: what was used is charged, and nothing if nothing had come."""
        if self.tokens is not None:
            tokens = self._with_units(self.tokens)
        elif self.received_bytes or self.told is not None:
            tokens = self._estimate()
        else:
            tokens = TokenUsage()
        try:
            self._settle(status, _ABORTED, tokens, error_code)
        except JournalFull:
            # The client gets the error that ended the call; admission is closed by now.
            logger.exception("ledger.line_lost", extra={"request_id": f"req_{self.context.request_id.hex}"})

    def _with_units(self, tokens: TokenUsage) -> TokenUsage:
        """With what is counted here, since upstreams that count tokens do not tell it."""
        known = self.assumed
        if known is None:
            return tokens
        return replace(
            tokens,
            images=tokens.images or known.images,
            characters=tokens.characters or known.characters,
            search_units=tokens.search_units or known.search_units,
        )

    def _estimate(self) -> TokenUsage:
        if self.assumed is not None:
            return self.assumed
        output = estimate_tokens(self.received_bytes) if self.operation != "embeddings" else 0
        if self.told is not None:
            return replace(self.told, output=max(self.told.output, output))
        return TokenUsage(input=estimate_tokens(self.measure_sent()), output=output)

    def _settle(self, status: int, state: str, tokens: TokenUsage, error_code: str) -> None:
        if self.is_settled:
            return
        self.is_settled = True
        try:
            self._write(status, state, tokens, error_code)
        finally:
            # Also where the line could not be written: the vendor was paid.
            self._settle_ticket(status, tokens)

    def _settle_ticket(self, status: int, tokens: TokenUsage) -> None:
        if status >= 400 and not self.attempts:
            # It reached no upstream.
            self.ticket.release()
        else:
            self.ticket.settle(tokens.input, tokens.output, self.cost_nano)

    def _write(self, status: int, state: str, tokens: TokenUsage, error_code: str) -> None:
        context, principal, card = self.context, self.ticket.principal, self.rate_card()
        if self.is_cached or self.is_free or (not self.attempts and tokens.is_nothing):
            # A kept answer, one that costs nothing, or one of the gateway's own: no upstream was asked.
            self.cost_nano = 0
        elif card is not None and (state != _ABORTED or not tokens.is_nothing):
            self.cost_nano = cost_nano(tokens, card)
        elif state == _ABORTED and tokens.is_nothing:
            self.cost_nano = 0
        elif state == _REPORTED:
            state = State.UNPRICED.value
        if card is not None and card.pictures and tokens.images:
            # Whoever asks why it cost so much finds it beside the choice of the upstream.
            self.decision = {**(self.decision or {}), "picture": self.picture}
        total_ms = round(context.elapsed_ms(), 3)
        entry = UsageEntry(
            id=context.request_id,
            operation=self.operation,
            model=self.model_id,
            status=status,
            state=state,
            parent_id=context.parent_id,
            key_id=principal.key_id,
            key_name=principal.name,
            user_id=principal.user_id,
            team_id=principal.team_id,
            organization_id=principal.organization_id,
            end_user=self.end_user,
            agent=self.agent,
            tags=context.tags,
            route=self.route,
            upstream=self.upstream,
            upstream_model=self.upstream_model,
            error_code=error_code,
            is_stream=self.is_stream,
            tokens=tokens,
            cost_nano=self.cost_nano,
            price_id=card.price_id if card is not None else None,
            queue_ms=self.queue_ms,
            first_token_ms=self.first_token_ms,
            total_ms=total_ms,
            attempts=self.attempts,
            is_cached=self.is_cached,
            correlation_id=context.correlation_id,
            decision=self.decision,
            service_tier=self.service_tier,
        )
        if self.on_settled is not None:
            self.on_settled(self, entry)
        ledger.append(entry)
        if not self.is_cached:
            metrics.observe_call(entry)
        if context.is_answered:
            log_event("llm.call", _late_fields(entry))
        else:
            context.settled_call = entry


def settle_run(
    context: RequestContext,
    ticket: Ticket,
    *,
    status: int,
    error_code: str,
    is_stream: bool,
    end_user: str,
    first_token_ms: float | None,
    total_ms: float,
    llm_calls: int,
    attached: bytes = b"",
) -> None:
    """The line of an agent's run; tokens and costs are in the lines of its calls, whose parent it is.

    `attached` are lines of other kinds that go with it.

    Raises JournalFull if the disk refuses the line.
    """
    entry = UsageEntry(
        id=context.request_id,
        operation="chat",
        kind="agent",
        parent_id=context.parent_id,
        model=ticket.model_id,
        status=status,
        state=_REPORTED if status < 400 else _ABORTED,
        key_id=ticket.principal.key_id,
        key_name=ticket.principal.name,
        user_id=ticket.principal.user_id,
        team_id=ticket.principal.team_id,
        organization_id=ticket.principal.organization_id,
        end_user=end_user,
        agent=ticket.model_id,
        tags=context.tags,
        error_code=error_code,
        is_stream=is_stream,
        cost_nano=0,
        first_token_ms=first_token_ms,
        total_ms=total_ms,
        attempts=llm_calls,
        correlation_id=context.correlation_id,
    )
    try:
        ledger.append(entry, attached)
    finally:
        if status >= 400 and not llm_calls:
            # It asked no model.
            ticket.release()
        else:
            ticket.settle(0, 0, 0)
    if context.is_answered:
        # The request's line is that of the run above; the calls below refer to this one.
        log_event("agent.run", _late_fields(entry))
    else:
        context.settled_call = entry


def call_fields(entry: UsageEntry) -> dict[str, object]:
    """What a log line says about a call, besides what it says about the request.

    A run went to no upstream and used no tokens itself: its calls have lines of their own.
    """
    if entry.kind == "agent":
        return {
            "kind": entry.kind,
            "operation": entry.operation,
            "state": entry.state,
            "llm_calls": entry.attempts,
            "first_token_ms": entry.first_token_ms,
        }
    return {
        "upstream": entry.upstream,
        "upstream_model": entry.upstream_model,
        "operation": entry.operation,
        "state": entry.state,
        "input_tokens": entry.tokens.input,
        "output_tokens": entry.tokens.output,
        "cost_nano_usd": entry.cost_nano,
        "attempts": entry.attempts,
        "cached": entry.is_cached,
        "decision": entry.decision,
        "first_token_ms": entry.first_token_ms,
    }


def _late_fields(entry: UsageEntry) -> dict[str, object]:
    """The request has a line of its own: it is a run's, or the client left and the usage came after that."""
    fields = {
        "request_id": "req_" + entry.id.hex,
        "parent_id": "req_" + entry.parent_id.hex if entry.parent_id else None,
        "key_id": "key_" + entry.key_id.hex if entry.key_id else None,
        "model": entry.model,
        "status": entry.status,
        "error_code": entry.error_code or None,
        "streaming": entry.is_stream,
        "total_ms": entry.total_ms,
    }
    return fields | call_fields(entry)
