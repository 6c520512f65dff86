"""The usage section of the snapshot: what each model costs, as integers ready to be multiplied."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from gateway_project.core.money import to_nano
from gateway_project.core.snapshot import Diagnostic, Section
from usage_app.models import Price
from usage_app.models.price import TIER_RATES

SECTION = "usage"
_PART_OF = {
    "cached_input": "input",
    "cache_write": "input",
    "input_audio": "input",
    "reasoning": "output",
    "output_audio": "output",
}
_COLUMNS = ("id", "model", "valid_from", "source", "per_request", "tiers", *TIER_RATES)


@dataclass(frozen=True, slots=True)
class Rates:
    """Nano-dollars per 1 000 000 tokens. A detail without a price of its own has that of its whole."""

    input: int
    output: int
    cached_input: int
    cache_write: int
    reasoning: int
    input_audio: int
    output_audio: int


@dataclass(frozen=True, slots=True)
class RateTier(Rates):
    """The rates of a whole request with more than `above_input_tokens` input tokens."""

    above_input_tokens: int = 0


@dataclass(frozen=True, slots=True)
class RateCard(Rates):
    """One price of one model: base rates, the price of a request as such, tiers from the highest down."""

    price_id: UUID | None = None
    per_request: int = 0
    tiers: tuple[RateTier, ...] = ()

    def rates_for(self, input_tokens: int) -> Rates:
        """The rates of the tier that so many input tokens reach; the base rates below the lowest."""
        for tier in self.tiers:
            if input_tokens > tier.above_input_tokens:
                return tier
        return self


_Dated = tuple[tuple[float, RateCard], ...]


@dataclass(frozen=True, slots=True)
class UsageConfig:
    """All prices: per model its overrides, then its catalogue prices, each from the latest down."""

    overrides: Mapping[str, _Dated] = field(default_factory=dict)
    catalogue: Mapping[str, _Dated] = field(default_factory=dict)

    def price(self, model_id: str, at: datetime | float) -> RateCard | None:
        """What `model_id` (`<upstream>/<name>`) costs at a moment; None if it has no price then."""
        moment = at if isinstance(at, float) else at.timestamp() if isinstance(at, datetime) else float(at)
        for source in (self.overrides, self.catalogue):
            for valid_from, card in source.get(model_id, ()):
                if valid_from <= moment:
                    return card
        return None


def build(
    previous: Section[UsageConfig] | None, version: int, sections: Mapping[str, Section[Any]]
) -> Section[UsageConfig]:
    """Read all prices. A row that makes no sense is left out with a diagnostic."""
    overrides: dict[str, list[tuple[float, RateCard]]] = {}
    catalogue: dict[str, list[tuple[float, RateCard]]] = {}
    diagnostics = []
    for row in Price.objects.order_by("-valid_from").values(*_COLUMNS).iterator(2000):
        try:
            dated = (row["valid_from"].timestamp(), rate_card(row))
        except Exception as error:  # noqa: BLE001  (whatever is wrong with one row, it is shown and never fatal)
            name = f"price of {row['model']} from {row['valid_from']:%Y-%m-%d}"
            diagnostics.append(Diagnostic(SECTION, name, f"{type(error).__name__}: {error}"[:300]))
            continue
        source = overrides if row["source"] == Price.Source.OVERRIDE else catalogue
        source.setdefault(row["model"], []).append(dated)
    value = UsageConfig(_frozen(overrides), _frozen(catalogue))
    return Section(value, version, tuple(diagnostics))


def rate_card(row: Mapping[str, Any]) -> RateCard:
    """The card of one price row, given as its columns; ValueError if a rate is negative or not a number."""
    given = {name: _nano(row[name], name) for name in TIER_RATES if row[name] is not None}
    tiers = [_tier(given, tier) for tier in row["tiers"]]
    return RateCard(
        **_resolved(given, {}),
        price_id=row["id"],
        per_request=0 if row["per_request"] is None else _nano(row["per_request"], "per_request"),
        tiers=tuple(sorted(tiers, key=lambda tier: -tier.above_input_tokens)),
    )


def _tier(given: Mapping[str, int], tier: Mapping[str, Any]) -> RateTier:
    threshold = tier["above_input_tokens"]
    if not isinstance(threshold, int) or isinstance(threshold, bool) or threshold < 0:
        raise ValueError("above_input_tokens must be a whole number")
    own = {name: _nano(Decimal(tier[name]), name) for name in TIER_RATES if tier.get(name) is not None}
    return RateTier(**_resolved(given, own), above_input_tokens=threshold)


def _resolved(base: Mapping[str, int], own: Mapping[str, int]) -> dict[str, int]:
    """Each rate by the first that is given: the tier's own, the base's, that of the whole it is part of."""
    rates = {**base, **own}
    return {name: rates[name] if name in rates else rates[_PART_OF[name]] for name in TIER_RATES}


def _nano(amount: Decimal, name: str) -> int:
    nano = to_nano(amount)
    if nano < 0:
        raise ValueError(f"{name} is negative")
    return nano


def _frozen(prices: Mapping[str, Iterable[tuple[float, RateCard]]]) -> dict[str, _Dated]:
    return {model: tuple(dated) for model, dated in prices.items()}
