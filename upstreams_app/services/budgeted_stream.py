"""Streams under budgets that end them: what one has cost so far is estimated from the text that went by.

All other streams are relayed by StreamRelay itself and pay nothing for this.
"""

from __future__ import annotations

from math import inf

from security_app.services.stream_budgets import StreamBudgets
from upstreams_app.services.calls import Call
from upstreams_app.services.client import ClientPool
from upstreams_app.services.relay import StreamRelay
from upstreams_app.services.stream_filter import StreamFilter
from usage_app.entry import TokenUsage
from usage_app.services.extraction import BYTES_PER_TOKEN, estimate_tokens
from usage_app.services.pricing import cost_nano

# How far a stream goes at most before its budgets are asked again.
_TOKENS_BETWEEN = 256
_TOKENS_PER_RATE = 1_000_000


def stream_relay(call: Call, clients: ClientPool) -> StreamRelay:
    """The relay for a call: one that watches its budgets if it has any that end streams."""
    budgets = call.settlement.ticket.stream_budgets()
    # A model that serves in the place of this one may have a budget of its own.
    may_fall_back = call.admit is not None and (call.stand_in or call.entry).policy.fallbacks
    if budgets is None and not may_fall_back:
        return StreamRelay(call, clients)
    return BudgetedRelay(call, clients, budgets)


class BudgetedRelay(StreamRelay):
    """A relay that ends with QuotaExceeded where a budget has no more; what was paid for is sent before."""

    def __init__(self, call: Call, clients: ClientPool, budgets: StreamBudgets | None) -> None:
        super().__init__(call, clients)
        self._ticket = call.settlement.ticket
        self._spending = None if budgets is None else _Spending(call, budgets)

    async def _next_block(self) -> bytes:
        # Only once data has come it is known whose price it is; until then another target may be tried.
        if self._filter.has_data:
            if (ticket := self._call.settlement.ticket) is not self._ticket:
                # Another model serves: its leave is another one, and what the first held is free again.
                self._ticket, budgets = ticket, ticket.stream_budgets()
                self._spending = None if budgets is None else _Spending(self._call, budgets)
            if self._spending is not None and self._filter.text_bytes > self._spending.until_bytes:
                await self._spending.check(self._filter)
        return await super()._next_block()


class _Spending:
    """What a stream has cost; it need not be looked at while no more than `until_bytes` of text went by."""

    __slots__ = ("_budgets", "_call", "_input_tokens", "_is_finished", "until_bytes")

    def __init__(self, call: Call, budgets: StreamBudgets) -> None:
        self._call = call
        self._budgets = budgets
        # Measured when it is known who serves.
        self._input_tokens: int | None = None
        self._is_finished = False
        self.until_bytes: float = -1

    async def check(self, stream: StreamFilter) -> None:
        """QuotaExceeded if it may not go on."""
        card = self._call.settlement.rate_card()
        if card is None:
            # Of a model without a price, which a budget may allow, nobody knows what it costs.
            self.until_bytes = inf
            return
        if stream.is_finished and not self._is_finished:
            # Only usage is still to come, unless there are several answers of which others go on.
            self._is_finished = True
            self.until_bytes = stream.text_bytes + _TOKENS_BETWEEN * BYTES_PER_TOKEN
            return
        tokens = stream.usage or self._estimate(stream)
        cost = cost_nano(tokens, card)
        rate = card.rates_for(tokens.input).output
        await self._budgets.require(cost, rate * _TOKENS_BETWEEN // _TOKENS_PER_RATE)
        spare = max(self._budgets.held_nano - cost, 0)
        more = spare * _TOKENS_PER_RATE // rate if rate else _TOKENS_BETWEEN
        self.until_bytes = stream.text_bytes + BYTES_PER_TOKEN * min(more, _TOKENS_BETWEEN)

    def _estimate(self, stream: StreamFilter) -> TokenUsage:
        if self._input_tokens is None:
            self._input_tokens = estimate_tokens(self._call.settlement.measure_sent())
        return TokenUsage(input=self._input_tokens, output=estimate_tokens(stream.text_bytes))
