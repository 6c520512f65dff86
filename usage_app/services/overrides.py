"""Prices that somebody sets: they hold from then on, whatever the catalogue says.

A price row is never changed, so each record's `price_id` keeps leading to the rates that made its cost.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from django.db import transaction
from django.db.models import OuterRef, Q, Subquery

from gateway_project.core.clock import utc_now
from gateway_project.core.money import from_nano, to_nano
from usage_app.models import Price
from usage_app.models.rates import ALL_RATES, UNITS_PER_RATE


@dataclass(frozen=True, slots=True)
class TokenPrices:
    """What an administrator says a model costs, in dollars per single token; None: not said.

    `characters` is per character and `audio_hour` per second, as other gateways take them.
    """

    input: Decimal
    output: Decimal
    cached_input: Decimal | None = None
    cache_write: Decimal | None = None
    reasoning: Decimal | None = None
    input_audio: Decimal | None = None
    output_audio: Decimal | None = None
    cache_write_1h: Decimal | None = None
    input_image: Decimal | None = None
    output_image: Decimal | None = None
    per_image: Decimal | None = None
    characters: Decimal | None = None
    audio_hour: Decimal | None = None
    per_search: Decimal | None = None
    per_request: Decimal | None = None


def set_override(model_id: str, prices: TokenPrices, *, managed_by: str = "admin") -> Price:
    """Say what a model costs from now on, whatever the catalogue says; zeros make it free.

    ValueError names the rate that is negative, not finite or too large. Saying the same again adds no row.
    """
    wanted = {name: _per_rate(name, getattr(prices, name)) for name in ALL_RATES}
    with transaction.atomic():
        current = price_now(model_id, Price.Source.OVERRIDE)
        if current is not None and _is_plain(current) and rates_of(current) == wanted:
            return current
        return Price.objects.create(
            model=model_id,
            valid_from=utc_now(),
            source=Price.Source.OVERRIDE,
            managed_by=managed_by,
            **wanted,
        )


def copy_override(old_id: str, new_id: str) -> None:
    """What was said of one model holds for another from now on, unless something was said of that."""
    old = price_now(old_id, Price.Source.OVERRIDE)
    if old is None or old.is_withdrawn or price_now(new_id, Price.Source.OVERRIDE) is not None:
        return
    Price.objects.create(
        model=new_id,
        valid_from=utc_now(),
        source=Price.Source.OVERRIDE,
        tiers=old.tiers,
        service_tiers=old.service_tiers,
        picture_prices=old.picture_prices,
        **rates_of(old),
    )


def price_now(model_id: str, source: Price.Source) -> Price | None:
    """The row of this source that holds now; it may say that the price is withdrawn."""
    rows = Price.objects.filter(model=model_id, source=source, valid_from__lte=utc_now())
    return rows.order_by("-valid_from").first()


def overridden() -> Subquery:
    """For rows with a `model`: whether an administrator's price for it holds now; None if there is none."""
    rows = Price.objects.filter(
        model=OuterRef("model"), source=Price.Source.OVERRIDE, valid_from__lte=utc_now()
    ).order_by("-valid_from")
    return Subquery(rows.values(holds=~Q(is_withdrawn=True))[:1])


def rates_of(price: Price) -> dict[str, Decimal | None]:
    """Its plain rates, as the database gives them back."""
    return {name: exact(getattr(price, name)) for name in ALL_RATES}


def exact(amount: Decimal | None) -> Decimal | None:
    """As the database gives it back; ValueError if it can't hold it."""
    return None if amount is None else from_nano(to_nano(amount))


def _is_plain(price: Price) -> bool:
    has_more = price.tiers or price.service_tiers or price.picture_prices
    return not has_more and not price.is_withdrawn


def _per_rate(name: str, each: Decimal | None) -> Decimal | None:
    if each is None:
        return None
    try:
        if each < 0:
            raise ValueError("it is negative")
        return exact(each * UNITS_PER_RATE.get(name, 1))
    except (ValueError, ArithmeticError) as error:
        raise ValueError(f"{name}: {error}") from error
