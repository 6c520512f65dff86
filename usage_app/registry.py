"""The usage section of the snapshot: what each model costs, as integers ready to be multiplied."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import KW_ONLY, dataclass, field, replace
from datetime import datetime
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any
from uuid import UUID

from gateway_project.core.money import to_nano
from gateway_project.core.snapshot import Diagnostic, Section
from usage_app.models import Price
from usage_app.models.rates import SERVICE_TIERS, TIER_RATES, UNIT_RATES

SECTION = "usage"
# What a rate that is not given is as; before a rate those that it may be as.
_PART_OF = {
    "cached_input": "input",
    "cache_write": "input",
    "cache_write_1h": "cache_write",
    "input_audio": "input",
    "input_image": "input",
    "reasoning": "output",
    "output_audio": "output",
    "output_image": "output",
}
_COLUMNS = (
    *("id", "model", "valid_from", "source", "per_request", "tiers", "service_tiers", "is_withdrawn"),
    "picture_prices",
    *TIER_RATES,
    *UNIT_RATES,
)


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
    cache_write_1h: int
    input_image: int
    output_image: int


@dataclass(frozen=True, slots=True)
class UnitRates:
    """Nano-dollars for what is not counted in tokens: an image, 1 000 000 characters, an hour, a search."""

    per_image: int = 0
    characters: int = 0
    audio_hour: int = 0
    per_search: int = 0


@dataclass(frozen=True, slots=True)
class RateTier(Rates):
    """The rates of a whole request with more than `above_input_tokens` input tokens."""

    _: KW_ONLY
    above_input_tokens: int = 0


@dataclass(frozen=True, slots=True)
class RateCard(Rates):
    """One price of one model: base rates, the price of a request as such, tiers from the highest down.

    `units` is None where all is counted in tokens. `service_tiers` has whole cards, for those that differ.
    `pictures` has nano-dollars by `quality/size`, `size` or `quality`, for vendors that bill so.
    """

    _: KW_ONLY
    price_id: UUID | None = None
    per_request: int = 0
    tiers: tuple[RateTier, ...] = ()
    units: UnitRates | None = None
    service_tiers: Mapping[str, RateCard] = field(default_factory=dict)
    pictures: Mapping[str, int] = field(default_factory=dict)

    def for_picture(self, picture: str) -> RateCard:
        """The card for images of one kind, `quality/size`; this one where all cost the same.

        A kind without a price of its own costs what any image does, or else what the dearest one does.
        """
        if not self.pictures or not picture:
            return self
        quality, _, size = picture.partition("/")
        units = self.units or UnitRates()
        known = (self.pictures[name] for name in (picture, size, quality) if name in self.pictures)
        rate = next(known, units.per_image or max(self.pictures.values()))
        return replace(self, units=replace(units, per_image=rate))

    def rates_for(self, input_tokens: int) -> Rates:
        """The rates of the tier that so many input tokens reach; the base rates below the lowest."""
        for tier in self.tiers:
            if input_tokens > tier.above_input_tokens:
                return tier
        return self


# Where a price ends there is no card.
_Dated = tuple[tuple[float, RateCard | None], ...]


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
                    if card is None:
                        break
                    return card
        return None


def build(
    previous: Section[UsageConfig] | None, version: int, sections: Mapping[str, Section[Any]]
) -> Section[UsageConfig]:
    """Read all prices. A row that makes no sense is left out with a diagnostic."""
    overrides: dict[str, list[tuple[float, RateCard | None]]] = {}
    catalogue: dict[str, list[tuple[float, RateCard | None]]] = {}
    diagnostics = []
    for row in Price.objects.order_by("-valid_from").values(*_COLUMNS).iterator(2000):
        try:
            dated = (row["valid_from"].timestamp(), None if row["is_withdrawn"] else rate_card(row))
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
    units = {name: _nano(row[name], name) for name in UNIT_RATES if row.get(name) is not None}
    per_request = 0 if row["per_request"] is None else _nano(row["per_request"], "per_request")
    tiers = [_tier_rates(tier) for tier in row["tiers"]]
    service = row.get("service_tiers") or {}
    pictures = _given(row.get("picture_prices") or {}, row.get("picture_prices") or ())
    return RateCard(
        **_resolved(given, {}),
        price_id=row["id"],
        per_request=per_request,
        tiers=_rate_tiers(given, {}, [], tiers),
        units=UnitRates(**units) if any(units.values()) else None,
        pictures=pictures,
        service_tiers={
            name: replace(
                _service_card(
                    row["id"], service[name], given=given, units=units, per_request=per_request, tiers=tiers
                ),
                pictures=_times(pictures, Decimal(service[name].get("factor", 1))),
            )
            for name in SERVICE_TIERS
            if name in service
        },
    )


_TierRates = tuple[int, Mapping[str, int]]


def _service_card(
    price_id: UUID,
    service: Mapping[str, Any],
    *,
    given: Mapping[str, int],
    units: Mapping[str, int],
    per_request: int,
    tiers: list[_TierRates],
) -> RateCard:
    """The base rates times a factor, or with those replaced that the service has of its own."""
    if "factor" in service:
        factor = Decimal(service["factor"])
        if not 0 <= factor <= 100:
            raise ValueError("factor must be from 0 to 100")
        scaled = _times(given, factor)
        own_units = _times(units, factor)
        return RateCard(
            **_resolved(scaled, {}),
            price_id=price_id,
            per_request=_times({"": per_request}, factor)[""],
            tiers=_rate_tiers(scaled, {}, [], [(above, _times(own, factor)) for above, own in tiers]),
            units=UnitRates(**own_units) if any(own_units.values()) else None,
            service_tiers={},
            pictures={},
        )
    own = _given(service, TIER_RATES)
    own_units = {**units, **_given(service, UNIT_RATES)}
    own_tiers = [_tier_rates(tier) for tier in service.get("tiers", ())]
    return RateCard(
        **_resolved(given, own),
        price_id=price_id,
        per_request=_given(service, ("per_request",)).get("per_request", per_request),
        tiers=_rate_tiers(given, own, own_tiers, tiers),
        units=UnitRates(**own_units) if any(own_units.values()) else None,
        service_tiers={},
        pictures={},
    )


def _rate_tiers(
    base: Mapping[str, int], own: Mapping[str, int], own_tiers: list[_TierRates], tiers: list[_TierRates]
) -> tuple[RateTier, ...]:
    """Tiers from the highest down; a rate that a service has of its own depends on its own tiers only."""
    made = []
    for threshold in sorted({above for above, _ in (*tiers, *own_tiers)}, reverse=True):
        rates = {name: rate for name, rate in _reached(tiers, threshold).items() if name not in own}
        made.append(
            RateTier(
                **_resolved({**base, **own}, {**rates, **_reached(own_tiers, threshold)}),
                above_input_tokens=threshold,
            )
        )
    return tuple(made)


def _reached(tiers: Iterable[_TierRates], threshold: int) -> Mapping[str, int]:
    """The rates of the highest of these tiers that is no higher; none if all are."""
    reached = [tier for tier in tiers if tier[0] <= threshold]
    return max(reached, key=lambda tier: tier[0])[1] if reached else {}


def _tier_rates(tier: Mapping[str, Any]) -> _TierRates:
    threshold = tier["above_input_tokens"]
    if not isinstance(threshold, int) or isinstance(threshold, bool) or threshold < 0:
        raise ValueError("above_input_tokens must be a whole number")
    return threshold, _given(tier, TIER_RATES)


def _given(rates: Mapping[str, Any], names: Iterable[str]) -> dict[str, int]:
    return {name: _nano(Decimal(rates[name]), name) for name in names if rates.get(name) is not None}


def _times(rates: Mapping[str, int], factor: Decimal) -> dict[str, int]:
    return {name: int((rate * factor).to_integral_value(ROUND_HALF_EVEN)) for name, rate in rates.items()}


def _resolved(base: Mapping[str, int], own: Mapping[str, int]) -> dict[str, int]:
    """Each rate by the first that is given: the tier's own, the base's, that of the whole it is part of."""
    rates = {**base, **own}
    for name, whole in _PART_OF.items():
        rates.setdefault(name, rates[whole])
    return {name: rates[name] for name in TIER_RATES}


def _nano(amount: Decimal, name: str) -> int:
    nano = to_nano(amount)
    if nano < 0:
        raise ValueError(f"{name} is negative")
    return nano


def _frozen(prices: Mapping[str, Iterable[tuple[float, RateCard | None]]]) -> dict[str, _Dated]:
    return {model: tuple(dated) for model, dated in prices.items()}
