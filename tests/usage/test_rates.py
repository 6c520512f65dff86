"""Prices beside the plain ones: units, ways of service, ends, and what is refused."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.core.exceptions import ValidationError

from gateway_project.core.clock import utc_now
from tests.usage.entries import make_price
from usage_app import registry
from usage_app.entry import TokenUsage
from usage_app.models import Price
from usage_app.models.rates import validate_service_tiers, validate_tiers
from usage_app.registry import RateCard
from usage_app.services.extraction import service_tier
from usage_app.services.pricing import cost_nano

pytestmark = pytest.mark.django_db
MILLION = 1_000_000


def card_now() -> RateCard:
    card = registry.build(None, 1, {}).value.price("acme/small", utc_now())
    assert card is not None
    return card


def dollars(card: RateCard, **used: int) -> Decimal:
    return Decimal(cost_nano(TokenUsage(**used), card)).scaleb(-9)


def test_what_is_not_counted_in_tokens_has_rates_of_its_own() -> None:
    zero = Decimal(0)
    rates = {"per_image": "0.04", "characters": "15", "audio_hour": "0.36", "per_search": "0.002"}
    make_price(input=zero, output=zero, **{name: Decimal(rate) for name, rate in rates.items()})

    card = card_now()

    assert dollars(card, images=2) == Decimal("0.08")
    assert dollars(card, characters=1000) == Decimal("0.015")
    assert dollars(card, audio_ms=60_000) == Decimal("0.006")
    # A third of a nano-dollar has no place: it is rounded once, with the rest.
    assert cost_nano(TokenUsage(audio_ms=1), card) == 100
    assert dollars(card, search_units=3) == Decimal("0.006")
    assert dollars(card, images=1, search_units=1, characters=1, audio_ms=1000) == Decimal("0.042115")


def test_a_way_of_service_costs_a_factor_or_rates_of_its_own() -> None:
    make_price(
        cached_input=Decimal("0.3"),
        per_request=Decimal("0.01"),
        per_image=Decimal("0.04"),
        tiers=[{"above_input_tokens": 1000, "input": "6", "output": "30"}],
        service_tiers={
            "batch": {"factor": "0.5"},
            "flex": {"input": "1", "per_image": "0.01"},
            "priority": {"output": "40", "tiers": [{"above_input_tokens": 2000, "output": "80"}]},
        },
    )

    card = card_now()

    batch, flex, priority = (card.service_tiers[name] for name in ("batch", "flex", "priority"))
    used = {"input": 1000, "cached_input": 400, "output": 100, "images": 1}
    assert dollars(batch, **used) * 2 == dollars(card, **used)
    assert dollars(batch, input=1001) * 2 == dollars(card, input=1001)
    # What flex has of its own does not depend on tiers, and what it lacks is as ever.
    assert (flex.rates_for(1001).input, flex.rates_for(1001).output) == (10**9, 30 * 10**9)
    assert (flex.cached_input, flex.output) == (300_000_000, 15 * 10**9)
    assert dollars(flex, images=1) == Decimal("0.02")
    assert [priority.rates_for(above).output // 10**9 for above in (1000, 1001, 2000, 2001)] == [
        *(40, 40, 40, 80)
    ]
    assert [priority.rates_for(above).input // 10**9 for above in (1000, 1001, 2001)] == [3, 6, 6]
    assert batch.price_id == flex.price_id == card.price_id


def test_an_override_that_ends_gives_way_to_the_catalogue_and_a_catalogue_price_to_none() -> None:
    now = utc_now()
    hours = [now - timedelta(hours=hour) for hour in (4, 3, 2, 1)]
    make_price(source=Price.Source.CATALOGUE, valid_from=hours[0], input=Decimal(1))
    make_price(valid_from=hours[1], input=Decimal(2))
    make_price(valid_from=hours[2], is_withdrawn=True)
    make_price(source=Price.Source.CATALOGUE, valid_from=hours[3], is_withdrawn=True)

    prices = registry.build(None, 1, {}).value

    found = [prices.price("acme/small", hour) for hour in hours]
    assert [card and card.input // 10**9 for card in found] == [1, 2, 1, None]
    assert prices.price("acme/small", now) is None


@pytest.mark.parametrize(
    "tiers",
    [
        [],
        {"best": {"factor": "1"}},
        {"batch": {}},
        {"batch": {"factor": "-1"}},
        {"batch": {"factor": "NaN"}},
        {"batch": {"factor": "101"}},
        {"batch": {"factor": 0.5}},
        {"batch": {"factor": "0.5", "input": "1"}},
        {"batch": {"speed": "1"}},
        {"batch": {"input": "-1"}},
        {"batch": {"input": "Infinity"}},
        {"batch": {"tiers": [{"input": "1"}]}},
    ],
)
def test_ways_of_service_that_make_no_sense_are_refused(tiers: Any) -> None:
    with pytest.raises(ValidationError):
        validate_service_tiers(tiers)


@pytest.mark.parametrize("above", [-1, True, 1.5, "1", None])
def test_a_tier_begins_at_a_whole_number(above: object) -> None:
    with pytest.raises(ValidationError):
        validate_tiers([{"above_input_tokens": above, "input": "1"}])


@pytest.mark.parametrize(("rate", "value"), [("input", "-0.1"), ("output", "NaN"), ("per_image", "1")])
def test_a_rate_of_a_tier_is_a_sum_of_money_for_tokens(rate: str, value: str) -> None:
    with pytest.raises(ValidationError):
        validate_tiers([{"above_input_tokens": 1, rate: value}])


@pytest.mark.parametrize(
    ("raw", "expected"),
    [(b'"flex"', "flex"), (b'"priority"', "priority"), (b'"default"', ""), (b"null", ""), (b'{"a":1}', "")],
)
def test_only_ways_of_service_with_prices_are_noted(raw: bytes, expected: str) -> None:
    assert service_tier(raw) == expected
