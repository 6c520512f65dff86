"""Prices from the installed catalogue, and prices that somebody sets."""

from __future__ import annotations

import socket
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from gateway_project.core.clock import utc_now
from security_app.models import ConfigVersion
from usage_app.models import Price
from usage_app.services.catalogue import PricedModel, add_missing
from usage_app.services.overrides import TokenPrices, set_override

pytestmark = pytest.mark.django_db
GPT_4O = PricedModel("openai/gpt-4o", "openai", "gpt-4o")


def version() -> int:
    return ConfigVersion.objects.get_or_create(section="usage")[0].version


def imported(model_id: str, provider: str, vendor_model: str) -> Price | None:
    """The newest price of the catalogue for a model, after an import."""
    add_missing([PricedModel(model_id, provider, vendor_model)])
    rows = Price.objects.filter(model=model_id, source=Price.Source.CATALOGUE, valid_from__lte=utc_now())
    return rows.order_by("valid_from").last()


def test_a_known_model_gets_its_rates() -> None:
    price = imported("openai/gpt-4o", "openai", "gpt-4o")

    assert price is not None
    assert price.source == Price.Source.CATALOGUE
    assert Decimal(0) < price.input < price.output
    assert price.cached_input is not None
    assert price.cached_input < price.input


def test_an_unknown_model_or_provider_has_no_price() -> None:
    assert imported("openai/none", "openai", "no-such-model-at-all") is None
    assert imported("x/y", "no-such-provider", "gpt-4o") is None
    assert not Price.objects.exists()


def test_a_provider_may_be_named_by_its_url() -> None:
    price = imported("groq/llama", "https://api.groq.com/openai", "llama-3.3-70b-versatile")

    assert price is not None
    assert price.input > 0


def test_context_tiers_are_imported() -> None:
    price = imported("google/pro", "google", "gemini-2.5-pro")

    assert price is not None
    assert price.tiers[0]["above_input_tokens"] == 200_000
    assert Decimal(price.tiers[0]["input"]) > price.input
    price.full_clean()


def test_importing_again_writes_nothing() -> None:
    imported("openai/gpt-4o", "openai", "gpt-4o")
    before = version()

    assert add_missing([GPT_4O]) == 0

    assert version() == before


def test_a_model_with_a_price_of_the_catalogue_keeps_it() -> None:
    imported("openai/gpt-4o", "openai", "gpt-4o")
    Price.objects.update(input=Decimal(999))

    assert add_missing([GPT_4O]) == 0


def test_what_is_not_counted_in_tokens_is_imported() -> None:
    heard = imported("openai/whisper-1", "openai", "whisper-1")
    spoken = imported("openai/tts-1", "openai", "tts-1")
    drawn = imported("openai/gpt-image-1", "openai", "gpt-image-1")

    assert heard is not None
    assert spoken is not None
    assert drawn is not None
    assert (heard.audio_hour, heard.input, spoken.characters) == (Decimal("0.36"), 0, Decimal(15))
    assert drawn.input_image is not None
    assert drawn.input_image > drawn.input


def test_ways_of_service_are_imported_with_their_first_day() -> None:
    price = imported("openai/gpt-5", "openai", "gpt-5")

    assert price is not None
    assert set(price.service_tiers) >= {"batch", "flex", "priority"}
    assert Decimal(price.service_tiers["batch"]["input"]) * 2 == price.input
    # What held before that holds for no call of ours.
    assert price.valid_from >= datetime(2026, 10, 12, tzinfo=UTC)
    assert Price.objects.filter(valid_from__lte=utc_now()).count() == 1


def test_everything_in_the_catalogue_is_a_valid_price() -> None:
    from genai_prices.data_snapshot import get_snapshot

    models = [
        PricedModel(f"{provider.id}/{model.id}", provider.id, model.id)
        for provider in get_snapshot().providers
        for model in provider.models[:12]
    ]

    add_missing(models)

    rows = list(Price.objects.all())
    assert len(rows) > 300
    for row in rows:
        row.clean_fields()


def test_the_catalogue_needs_no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)

    assert imported("openai/gpt-4o", "openai", "gpt-4o") is not None


def test_an_override_is_per_token_and_holds_from_now_on() -> None:
    price = set_override("acme/small", TokenPrices(Decimal("0.0000025"), Decimal("0.00001")))

    price.refresh_from_db()
    assert (price.input, price.output) == (Decimal("2.5"), Decimal(10))
    assert price.source == Price.Source.OVERRIDE


def test_the_same_override_again_adds_nothing() -> None:
    free = TokenPrices(Decimal(0), Decimal(0))

    first = set_override("demo/echo", free, managed_by="demo")
    second = set_override("demo/echo", free, managed_by="demo")

    assert first == second
    assert Price.objects.count() == 1


@pytest.mark.parametrize("amount", [Decimal(-1), Decimal("NaN"), Decimal("1e20")])
def test_an_impossible_override_is_refused_by_name(amount: Decimal) -> None:
    with pytest.raises(ValueError, match="output"):
        set_override("acme/small", TokenPrices(Decimal(0), amount))

    assert not Price.objects.exists()
