"""What a request costs, to the nano-dollar."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal, localcontext
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from gateway_project.core.clock import utc_now
from tests.usage.entries import make_price
from usage_app import registry
from usage_app.entry import TokenUsage
from usage_app.models import Price
from usage_app.models.rates import TIER_RATES
from usage_app.services.pricing import (
    RateCard,
    Rates,
    RateTier,
    UnitRates,
    cost_nano,
    cost_parts,
    dearest_nano,
)

INPUT_KINDS = ("input", "cached_input", "cache_write", "cache_write_1h", "input_audio", "input_image")
WHOLES = ("input", "output", "images", "characters", "audio_ms", "search_units")
WRITTEN_FOR_LONG = ("cache_write", "cache_write_1h")
counts = st.integers(min_value=-5, max_value=2**40)
rates: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {name: st.integers(min_value=0, max_value=10**12) for name in TIER_RATES}
)
usages = st.builds(TokenUsage, **dict.fromkeys(TokenUsage.__struct_fields__, counts))


@st.composite
def cards(draw: st.DrawFn) -> RateCard:
    thresholds = sorted(draw(st.sets(st.integers(0, 2**41), max_size=3)), reverse=True)
    tiers = tuple(RateTier(**draw(rates), above_input_tokens=threshold) for threshold in thresholds)
    base = RateCard(**draw(rates))
    units = draw(st.none() | st.builds(UnitRates, *[st.integers(0, 10**12)] * 4))
    return replace(base, per_request=draw(st.integers(0, 10**9)), tiers=tiers, units=units)


def reference_cost(tokens: TokenUsage, card: RateCard) -> int:
    """The definition, in exact decimals, part by part."""
    applicable: Rates = card
    for tier in sorted(card.tiers, key=lambda tier: tier.above_input_tokens):
        if tokens.input > tier.above_input_tokens:
            applicable = tier
    total = Decimal(0)
    for whole, base, parts in (
        (tokens.input, "input", ("cached_input", "cache_write", "input_audio", "input_image")),
        (tokens.output, "output", ("reasoning", "output_audio", "output_image")),
    ):
        rest = max(whole, 0)
        for name in parts:
            charged = max(0, min(getattr(tokens, name), rest))
            rest -= charged
            if name == "cache_write":
                lasting = max(0, min(tokens.cache_write_1h, charged))
                charged -= lasting
                total += Decimal(lasting) * applicable.cache_write_1h / 1_000_000
            total += Decimal(charged) * getattr(applicable, name) / 1_000_000
        total += Decimal(rest) * getattr(applicable, base) / 1_000_000
    if card.units is not None:
        total += Decimal(max(tokens.images, 0)) * card.units.per_image
        total += Decimal(max(tokens.search_units, 0)) * card.units.per_search
        total += Decimal(max(tokens.characters, 0)) * card.units.characters / 1_000_000
        # A third has no exact decimal: whole hours are taken out before.
        hours, rest = divmod(max(tokens.audio_ms, 0) * card.units.audio_hour, 3_600_000)
        total += hours + Decimal(rest) / 3_600_000
    return int(total.to_integral_value(ROUND_HALF_EVEN)) + card.per_request


@settings(max_examples=60)
@given(tokens=usages, card=cards())
def test_the_cost_is_exact_and_rounded_once(tokens: TokenUsage, card: RateCard) -> None:
    with localcontext(prec=60):
        expected = reference_cost(tokens, card)

    assert cost_nano(tokens, card) == expected


@settings(max_examples=60)
@given(tokens=usages, card=cards())
def test_the_parts_of_a_cost_add_up_to_it(tokens: TokenUsage, card: RateCard) -> None:
    parts = cost_parts(tokens, card)

    assert sum(part.cost_nano for part in parts) == cost_nano(tokens, card)
    assert all(part.cost_nano >= 0 and part.quantity > 0 for part in parts)
    # Each is within a nano-dollar of what its quantity and its rate are.
    assert all(abs(part.cost_nano * part.per - part.quantity * part.rate) <= part.per for part in parts)
    tokens_in = sum(part.quantity for part in parts if part.name in INPUT_KINDS)
    assert tokens_in == max(tokens.input, 0)


@settings(max_examples=60)
@given(card=cards(), fewer=usages, name=st.sampled_from(WHOLES), more=st.integers(1, 2**30))
def test_more_of_anything_never_costs_less(card: RateCard, fewer: TokenUsage, name: str, more: int) -> None:
    # Details and tiers may be cheaper than what they are part of: those of a vendor sometimes are.
    plain = replace(card, tiers=())
    usage = TokenUsage(**{whole: getattr(fewer, whole) for whole in WHOLES})
    grown = structs.replace(usage, **{name: getattr(usage, name) + more})

    assert cost_nano(usage, plain) <= cost_nano(grown, plain)


@settings(max_examples=60)
@given(card=cards(), given=st.integers(0, 2**40), made=st.integers(0, 2**40), images=st.integers(0, 100))
def test_no_use_of_text_costs_more_than_is_reserved(
    card: RateCard, given: int, made: int, images: int
) -> None:
    text = TokenUsage(given, made, images=images)
    uses = [
        structs.replace(text, cache_write=written, cache_write_1h=lasting, reasoning=thought)
        for written, lasting in ((0, 0), (given, 0), (given, given))
        for thought in (0, made)
    ]

    assert dearest_nano(given, made, text, card) == max(cost_nano(use, card) for use in uses)


@settings(max_examples=40)
@given(card=cards(), given=st.integers(0, 2**40), made=st.integers(0, 2**40))
def test_no_use_of_sound_or_pictures_costs_more_than_is_reserved(
    card: RateCard, given: int, made: int
) -> None:
    uses = [
        TokenUsage(**{"input": given, "output": made, of_output: made} | dict.fromkeys(of_input, given))
        for of_input in ((), ("cache_write",), WRITTEN_FOR_LONG, ("input_audio",), ("input_image",))
        for of_output in ("reasoning", "output_audio", "output_image", "output")
    ]

    assert dearest_nano(given, made, TokenUsage(), card, has_media=True) == max(
        cost_nano(use, card) for use in uses
    )


def test_halves_go_to_the_even_neighbour() -> None:
    card = RateCard(500_000, 0, 0, 0, 0, 0, 0, 0, 0, 0)

    costs = [cost_nano(TokenUsage(input=tokens), card) for tokens in (1, 3, 5)]

    assert costs == [0, 2, 2]


def test_a_tier_begins_above_its_threshold() -> None:
    tier = RateTier(2_000_000, 0, 0, 0, 0, 0, 0, 0, 0, 0, above_input_tokens=1000)
    card = RateCard(1_000_000, 0, 0, 0, 0, 0, 0, 0, 0, 0, tiers=(tier,))

    assert cost_nano(TokenUsage(input=1000), card) == 1000
    assert cost_nano(TokenUsage(input=1001), card) == 2002


def config() -> registry.UsageConfig:
    return registry.build(None, 1, {}).value


@pytest.mark.django_db
def test_a_detail_without_a_rate_costs_what_its_whole_costs() -> None:
    make_price(cached_input=Decimal("0.3"))

    card = config().price("acme/small", utc_now())

    assert card is not None
    assert (card.input, card.cached_input) == (3_000_000_000, 300_000_000)
    assert card.cache_write == card.cache_write_1h == card.input_audio == card.input_image == card.input
    assert card.reasoning == card.output_audio == card.output_image == card.output == 15_000_000_000
    assert card.units is None


@pytest.mark.django_db
def test_a_tier_keeps_the_base_rates_that_it_does_not_name() -> None:
    make_price(cached_input=Decimal("0.3"), tiers=[{"above_input_tokens": 1000, "input": "6"}])

    card = config().price("acme/small", utc_now())

    assert card is not None
    above = card.rates_for(1001)
    assert (above.input, above.output, above.cached_input) == (6_000_000_000, 15_000_000_000, 300_000_000)
    assert above.cache_write == above.input


@pytest.mark.django_db
def test_the_latest_price_that_has_begun_counts_and_an_override_beats_the_catalogue() -> None:
    now = utc_now()
    old = make_price(source=Price.Source.CATALOGUE)
    new = make_price(source=Price.Source.CATALOGUE, valid_from=now - timedelta(days=1))
    make_price(source=Price.Source.CATALOGUE, valid_from=now + timedelta(days=1))
    override = make_price(valid_from=now - timedelta(hours=1))

    prices = config()

    def price_id(at: datetime) -> object:
        card = prices.price("acme/small", at)
        return card and card.price_id

    assert price_id(now) == override.id
    assert price_id(now - timedelta(hours=2)) == new.id
    assert price_id(now - timedelta(days=2)) == old.id
    assert price_id(datetime(2025, 1, 1, tzinfo=UTC)) is None
    assert prices.price("acme/small", now.timestamp()) == prices.price("acme/small", now)
    assert prices.price("acme/unknown", now) is None


@pytest.mark.django_db
def test_a_price_that_makes_no_sense_is_left_out_and_named() -> None:
    make_price()
    make_price(model="acme/odd", tiers=[{"above_input_tokens": 10, "input": "cheap"}])
    make_price(model="acme/negative", cached_input=Decimal(-1))

    section = registry.build(None, 7, {})

    assert section.version == 7
    assert section.value.price("acme/small", utc_now()) is not None
    assert section.value.price("acme/odd", utc_now()) is None
    assert section.value.price("acme/negative", utc_now()) is None
    assert sorted(item.object.split()[2] for item in section.diagnostics) == ["acme/negative", "acme/odd"]


@pytest.mark.django_db
@pytest.mark.parametrize("tiers", [3, [[]], [{}], [{"above_input_tokens": 1, "input": "1e999999"}]])
def test_whatever_is_wrong_with_a_price_the_others_hold(tiers: object) -> None:
    make_price()
    row = make_price(model="acme/odd")
    Price.objects.filter(pk=row.pk).update(tiers=tiers)

    section = registry.build(None, 7, {})

    assert section.value.price("acme/small", utc_now()) is not None
    assert [item.object for item in section.diagnostics] == ["price of acme/odd from 2026-01-01"]


@settings(max_examples=60)
@given(card=cards(), offset=st.integers(0, 1))
def test_all_tokens_of_a_request_above_a_border_have_the_rates_beyond_it(card: RateCard, offset: int) -> None:
    borders = [*card.tiers, None]
    for tier, lower in pairwise(borders):
        assert tier is not None
        used = TokenUsage(tier.above_input_tokens + offset, 1000)
        rates: Rates = tier if offset else (lower or card)
        flat = RateCard(
            **{name: getattr(rates, name) for name in TIER_RATES},
            per_request=card.per_request,
            units=card.units,
        )

        assert cost_nano(used, card) == cost_nano(used, flat)


rows = st.lists(st.tuples(st.integers(0, 100), st.booleans()), unique_by=lambda row: row[0], max_size=6)


@settings(max_examples=100)
@given(overrides=rows, catalogue=rows, moment=st.integers(0, 100))
def test_at_each_moment_the_latest_that_has_begun_holds(
    overrides: list[tuple[int, bool]], catalogue: list[tuple[int, bool]], moment: int
) -> None:
    def compiled(source: list[tuple[int, bool]], of: int) -> Any:
        """From the latest down; a price tells its source and its day by its rate for input."""
        return tuple(
            (float(day), None if ends else RateCard(of + day, *[0] * 9))
            for day, ends in sorted(source, reverse=True)
        )

    config = registry.UsageConfig({"m": compiled(overrides, 1000)}, {"m": compiled(catalogue, 2000)})

    expected = None
    for source, of in ((catalogue, 2000), (overrides, 1000)):
        begun = [row for row in source if row[0] <= moment]
        if begun and not max(begun)[1]:
            expected = of + max(begun)[0]
    card = config.price("m", float(moment))
    assert (card and card.input) == expected
