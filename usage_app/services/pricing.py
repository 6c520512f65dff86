"""What a request costs: exact integer arithmetic over what was used and a rate card, rounded once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from usage_app.entry import TokenUsage
from usage_app.registry import RateCard, Rates, RateTier, UnitRates

__all__ = [
    "CostPart",
    "RateCard",
    "RateTier",
    "Rates",
    "UnitRates",
    "cost_nano",
    "cost_parts",
    "dearest_nano",
]

_TOKENS_PER_RATE = 1_000_000
_MS_PER_RATE = 3_600_000
# What both of the above divide: all parts of a cost are whole numbers of this fraction of a nano-dollar.
_GRAIN = 18_000_000
_TOKEN_GRAINS = _GRAIN // _TOKENS_PER_RATE
_MS_GRAINS = _GRAIN // _MS_PER_RATE
# What is used, how much of it, its rate, and how many grains a nano-dollar of the rate is for one of it.
_Charge = tuple[str, int, int, int]


@dataclass(frozen=True, slots=True)
class CostPart:
    """A part of a cost: what was used, as a rate of `Rates` or `UnitRates` is named, and how much of it.

    `rate` is in nano-dollars per `per` of it. The parts of a cost add up to it, so `cost_nano` of one may be
    a nano-dollar beside quantity × rate.
    """

    name: str
    quantity: int
    rate: int
    per: int
    cost_nano: int


def cost_nano(tokens: TokenUsage, card: RateCard) -> int:
    """The cost in nano-dollars, halves to even.

    Cached, cache-written, audio and image input are parts of `input`; reasoning, audio and image output are
    parts of `output`. Parts that exceed their whole are cut, in this order: no token is charged twice.
    """
    # Each request is charged here, so this says at once what `_token_charges` says part by part.
    rest = tokens.input
    rates = card.rates_for(rest) if card.tiers else card
    total = 0
    if rest > 0:
        if (part := tokens.cached_input) > 0:
            part = part if part < rest else rest
            rest -= part
            total = part * rates.cached_input
        if tokens.cache_write > 0:
            part = min(tokens.cache_write, rest)
            rest -= part
            lasting = min(max(tokens.cache_write_1h, 0), part)
            total += (part - lasting) * rates.cache_write + lasting * rates.cache_write_1h
        if (part := tokens.input_audio) > 0:
            part = part if part < rest else rest
            rest -= part
            total += part * rates.input_audio
        if (part := tokens.input_image) > 0:
            part = part if part < rest else rest
            rest -= part
            total += part * rates.input_image
        total += rest * rates.input
    if (rest := tokens.output) > 0:
        if (part := tokens.reasoning) > 0:
            part = part if part < rest else rest
            rest -= part
            total += part * rates.reasoning
        if (part := tokens.output_audio) > 0:
            part = part if part < rest else rest
            rest -= part
            total += part * rates.output_audio
        if (part := tokens.output_image) > 0:
            part = part if part < rest else rest
            rest -= part
            total += part * rates.output_image
        total += rest * rates.output
    return _rounded(total, tokens, card)


def _rounded(total: int, tokens: TokenUsage, card: RateCard) -> int:
    """With what is not counted in tokens; `total` is tokens times rates."""
    if card.units is None:
        return _divide_half_even(total, _TOKENS_PER_RATE) + card.per_request
    total *= _TOKEN_GRAINS
    for _, quantity, rate, grains in _unit_charges(tokens, card.units):
        total += quantity * rate * grains
    return _divide_half_even(total, _GRAIN) + card.per_request


def cost_parts(tokens: TokenUsage, card: RateCard) -> list[CostPart]:
    """What `cost_nano` is made of; the parts' costs add up to it."""
    charges: list[_Charge] = [(*charge, _TOKEN_GRAINS) for charge in _token_charges(tokens, card)]
    if card.units is not None:
        charges.extend(_unit_charges(tokens, card.units))
    if card.per_request:
        charges.append(("per_request", 1, card.per_request, _GRAIN))
    parts, total, known = [], 0, 0
    for name, quantity, rate, grains in charges:
        if not quantity:
            continue
        total += quantity * rate * grains
        # Each gets what the rounded sum grows by: the last one ends at the cost.
        grown = _divide_half_even(total, _GRAIN)
        parts.append(CostPart(name, quantity, rate, _GRAIN // grains, grown - known))
        known = grown
    return parts


def _token_charges(tokens: TokenUsage, card: RateCard) -> Iterable[tuple[str, int, int]]:
    """Each kind of token with its number and its rate."""
    charges: list[tuple[str, int, int]] = []
    rest = tokens.input
    rates = card.rates_for(rest) if card.tiers else card
    if rest > 0:
        if (part := min(tokens.cached_input, rest)) > 0:
            rest -= part
            charges.append(("cached_input", part, rates.cached_input))
        if (part := min(tokens.cache_write, rest)) > 0:
            rest -= part
            if (hourly := min(tokens.cache_write_1h, part)) > 0:
                part -= hourly
                charges.append(("cache_write_1h", hourly, rates.cache_write_1h))
            charges.append(("cache_write", part, rates.cache_write))
        if (part := min(tokens.input_audio, rest)) > 0:
            rest -= part
            charges.append(("input_audio", part, rates.input_audio))
        if (part := min(tokens.input_image, rest)) > 0:
            rest -= part
            charges.append(("input_image", part, rates.input_image))
        charges.append(("input", rest, rates.input))
    rest = tokens.output
    if rest > 0:
        if (part := min(tokens.reasoning, rest)) > 0:
            rest -= part
            charges.append(("reasoning", part, rates.reasoning))
        if (part := min(tokens.output_audio, rest)) > 0:
            rest -= part
            charges.append(("output_audio", part, rates.output_audio))
        if (part := min(tokens.output_image, rest)) > 0:
            rest -= part
            charges.append(("output_image", part, rates.output_image))
        charges.append(("output", rest, rates.output))
    return charges


def _unit_charges(tokens: TokenUsage, units: UnitRates) -> Iterable[_Charge]:
    """What is not counted in tokens."""
    charges = (
        ("per_image", tokens.images, units.per_image, _GRAIN),
        ("characters", tokens.characters, units.characters, _TOKEN_GRAINS),
        ("audio_hour", tokens.audio_ms, units.audio_hour, _MS_GRAINS),
        ("per_search", tokens.search_units, units.per_search, _GRAIN),
    )
    return [charge for charge in charges if charge[1] > 0]


def dearest_nano(
    input_tokens: int, output_tokens: int, units: TokenUsage, card: RateCard, *, has_media: bool = False
) -> int:
    """The most that so many tokens may cost, and what `units` counts besides them.

    That is with all of the input written to a cache, and all of the output reasoning, where that is dearer.
    With `has_media` any of them may also be of sound or pictures.
    """
    rates = card.rates_for(input_tokens) if card.tiers else card
    dearest_input = max(rates.input, rates.cache_write, rates.cache_write_1h)
    dearest_output = max(rates.output, rates.reasoning)
    if has_media:
        dearest_input = max(dearest_input, rates.input_audio, rates.input_image)
        dearest_output = max(dearest_output, rates.output_audio, rates.output_image)
    return _rounded(input_tokens * dearest_input + output_tokens * dearest_output, units, card)


def _divide_half_even(numerator: int, denominator: int) -> int:
    quotient, remainder = divmod(numerator, denominator)
    twice = remainder * 2
    if twice > denominator or (twice == denominator and quotient & 1):
        quotient += 1
    return quotient
