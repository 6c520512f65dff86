"""What a request costs, to the nano-dollar."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal, localcontext
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_project.core.clock import utc_now
from tests.usage.entries import make_price
from usage_app import registry
from usage_app.entry import TokenUsage
from usage_app.models import Price
from usage_app.services.pricing import RateCard, Rates, RateTier, cost_nano

RATE_NAMES = ("input", "output", "cached_input", "cache_write", "reasoning", "input_audio", "output_audio")
counts = st.integers(min_value=-5, max_value=2**40)
rates: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {name: st.integers(min_value=0, max_value=10**12) for name in RATE_NAMES}
)


@st.composite
def cards(draw: st.DrawFn) -> RateCard:
    thresholds = sorted(draw(st.sets(st.integers(0, 2**41), max_size=3)), reverse=True)
    tiers = tuple(RateTier(**draw(rates), above_input_tokens=threshold) for threshold in thresholds)
    base = RateCard(**draw(rates))
    return replace(base, per_request=draw(st.integers(0, 10**9)), tiers=tiers)


def reference_cost(tokens: TokenUsage, card: RateCard) -> int:
    """The definition, in exact decimals, part by part."""
    applicable: Rates = card
    for tier in sorted(card.tiers, key=lambda tier: tier.above_input_tokens):
        if tokens.input > tier.above_input_tokens:
            applicable = tier
    total = Decimal(0)
    for whole, base, parts in (
        (tokens.input, "input", ("cached_input", "cache_write", "input_audio")),
        (tokens.output, "output", ("reasoning", "output_audio")),
    ):
        rest = max(whole, 0)
        for name in parts:
            charged = max(0, min(getattr(tokens, name), rest))
            rest -= charged
            total += Decimal(charged) * getattr(applicable, name) / 1_000_000
        total += Decimal(rest) * getattr(applicable, base) / 1_000_000
    return int(total.to_integral_value(ROUND_HALF_EVEN)) + card.per_request


@given(tokens=st.builds(TokenUsage, counts, counts, counts, counts, counts, counts, counts), card=cards())
def test_the_cost_is_exact_and_rounded_once(tokens: TokenUsage, card: RateCard) -> None:
    with localcontext(prec=60):
        expected = reference_cost(tokens, card)

    assert cost_nano(tokens, card) == expected


def test_halves_go_to_the_even_neighbour() -> None:
    card = RateCard(500_000, 0, 0, 0, 0, 0, 0)

    costs = [cost_nano(TokenUsage(input=tokens), card) for tokens in (1, 3, 5)]

    assert costs == [0, 2, 2]


def test_a_tier_begins_above_its_threshold() -> None:
    tier = RateTier(2_000_000, 0, 0, 0, 0, 0, 0, above_input_tokens=1000)
    card = RateCard(1_000_000, 0, 0, 0, 0, 0, 0, tiers=(tier,))

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
    assert card.cache_write == card.input_audio == card.input
    assert card.reasoning == card.output_audio == card.output == 15_000_000_000


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
