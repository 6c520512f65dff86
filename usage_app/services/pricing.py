"""What a request costs: exact integer arithmetic over tokens and a rate card, rounded once."""

from __future__ import annotations

from usage_app.entry import TokenUsage
from usage_app.registry import RateCard, Rates, RateTier

__all__ = ["RateCard", "RateTier", "Rates", "cost_nano"]

_TOKENS_PER_RATE = 1_000_000


def cost_nano(tokens: TokenUsage, card: RateCard) -> int:
    """The cost in nano-dollars, halves to even.

    Cached, cache-written and audio input are parts of `input`; reasoning and audio output are parts of
    `output`. Parts that exceed their whole are cut, in this order, so that no token is charged twice.
    """
    rest = max(tokens.input, 0)
    rates = card.rates_for(rest) if card.tiers else card
    total = 0
    for part, rate in (
        (tokens.cached_input, rates.cached_input),
        (tokens.cache_write, rates.cache_write),
        (tokens.input_audio, rates.input_audio),
    ):
        if part > 0:
            part = min(part, rest)
            rest -= part
            total += part * rate
    total += rest * rates.input
    rest = max(tokens.output, 0)
    for part, rate in ((tokens.reasoning, rates.reasoning), (tokens.output_audio, rates.output_audio)):
        if part > 0:
            part = min(part, rest)
            rest -= part
            total += part * rate
    total += rest * rates.output
    return _divide_half_even(total, _TOKENS_PER_RATE) + card.per_request


def dearest_nano(input_tokens: int, output_tokens: int, card: RateCard) -> int:
    """The most that so many tokens of text may cost: all of the input written to a cache, all of the output
    reasoning, where that is dearer."""
    rates = card.rates_for(input_tokens) if card.tiers else card
    total = input_tokens * max(rates.input, rates.cache_write) + output_tokens * max(
        rates.output, rates.reasoning
    )
    return _divide_half_even(total, _TOKENS_PER_RATE) + card.per_request


def _divide_half_even(numerator: int, denominator: int) -> int:
    quotient, remainder = divmod(numerator, denominator)
    twice = remainder * 2
    if twice > denominator or (twice == denominator and quotient & 1):
        quotient += 1
    return quotient
