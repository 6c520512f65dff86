"""Images cost by their quality and size where a vendor bills them so."""

from __future__ import annotations

from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from django.core.exceptions import ValidationError

from usage_app.entry import TokenUsage
from usage_app.models.rates import ALL_RATES, validate_pictures
from usage_app.registry import RateCard, UsageConfig, rate_card
from usage_app.services.catalogue import PricedModel, installed_catalogue, offers
from usage_app.services.estimate import demand
from usage_app.services.pictures import picture_of, told_picture
from usage_app.services.pricing import cost_nano

DALL_E_3 = {"standard/1024x1024": "0.04", "hd/1024x1024": "0.08", "hd/1024x1792": "0.12"}


def card(prices: dict[str, str], **more: Any) -> RateCard:
    """A card of a model that costs nothing else."""
    row: dict[str, Any] = dict.fromkeys(ALL_RATES) | {"input": Decimal(0), "output": Decimal(0), "tiers": []}
    return rate_card({**row, "id": UUID(int=1), "picture_prices": prices, **more})


def cents(card: RateCard, picture: str, images: int = 1) -> Decimal:
    return Decimal(cost_nano(TokenUsage(images=images), card.for_picture(picture))).scaleb(-7)


@pytest.mark.parametrize(
    ("size", "quality", "picture"),
    [
        (None, None, "standard/1024x1024"),
        ("auto", "auto", "standard/1024x1024"),
        ("1024x1792", "hd", "hd/1024x1792"),
        ("512x512", None, "standard/512x512"),
        ("large", "HD!", "standard/1024x1024"),
    ],
)
def test_what_is_not_said_is_usual(size: str | None, quality: str | None, picture: str) -> None:
    assert picture_of(size, quality) == picture


def test_what_the_answer_tells_is_what_was_made() -> None:
    assert told_picture("standard/1024x1024", size="1536x1024", quality="high") == "high/1536x1024"
    assert told_picture("hd/1024x1792", size="", quality="") == "hd/1024x1792"


def test_the_price_that_says_most_counts() -> None:
    table = card({"hd/1024x1792": "0.12", "1024x1792": "0.08", "hd": "0.07"}, per_image=Decimal("0.01"))

    assert cents(table, "hd/1024x1792") == 12
    assert cents(table, "standard/1024x1792", images=3) == 24
    assert cents(table, "hd/512x512") == 7
    assert cents(table, "standard/512x512") == 1


def test_an_unknown_kind_costs_what_the_dearest_does() -> None:
    assert cents(card(DALL_E_3), "high/1536x1024") == 12
    assert cents(card({}, per_image=Decimal("0.02")), "high/1536x1024") == 2


def test_a_way_of_service_has_its_factor_for_images_too() -> None:
    batch = card(DALL_E_3, service_tiers={"batch": {"factor": "0.5"}, "flex": {"input": "1"}}).service_tiers

    assert cents(batch["batch"], "hd/1024x1792") == 6
    assert cents(batch["flex"], "hd/1024x1792") == 12


def test_as_much_is_reserved_as_it_will_cost() -> None:
    prices = UsageConfig(overrides={"acme/draws": ((0.0, card(DALL_E_3)),)})

    held = demand(
        prices,
        ["acme/draws"],
        at=1.0,
        input_tokens=9,
        output_tokens=6300,
        units=TokenUsage(images=2),
        picture="hd/1024x1792",
    )

    assert held.cost_nano == 240_000_000


def test_images_of_models_that_are_billed_so_are_priced_from_the_start() -> None:
    catalogue = installed_catalogue()
    (openais,) = offers(PricedModel("openai/dall-e-3", "openai", "dall-e-3"), catalogue)
    (googles,) = offers(
        PricedModel("v/i", "vertex_ai", "imagen-4.0-fast-generate-001", "imagen-4.0-fast-generate"), catalogue
    )

    made = [card(one.picture_prices, per_image=one.per_image) for one in (openais, googles)]
    assert [cents(one, "hd/1024x1792") for one in made] == [12, 2]
    for one in (openais, googles):
        one.clean_fields()
    assert offers(PricedModel("x/dall-e-3", "groq", "dall-e-3"), catalogue) == []


@pytest.mark.parametrize(
    "wrong",
    [[], {"hd/big": "1"}, {"HD": "1"}, {"1024x1024": 0.04}, {"hd": "-1"}, {"hd": "NaN"}, {"x" * 17: "1"}],
)
def test_prices_that_make_no_sense_are_refused(wrong: Any) -> None:
    with pytest.raises(ValidationError):
        validate_pictures(wrong)


def test_other_cards_stay_as_they_are() -> None:
    plain = card({}, per_image=Decimal("0.04"))

    assert plain.for_picture("hd/1024x1792") is plain
