"""The names of rates, and what is allowed in the JSON of a price: tiers by context and by service.

The names are those of columns of `Price`, of members of a tier, and of `TokenUsage` where it counts tokens.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from django.core.exceptions import ValidationError

from gateway_project.core.money import MoneyField
from security_app.models.key import UNUSABLE

# US dollars per 1 000 000 tokens.
TIER_RATES = (
    "input",
    "output",
    "cached_input",
    "cache_write",
    "reasoning",
    "input_audio",
    "output_audio",
    "cache_write_1h",
    "input_image",
    "output_image",
)
# For what is not counted in tokens: each image, 1 000 000 characters, an hour, each search unit.
UNIT_RATES = ("per_image", "characters", "audio_hour", "per_search")
# How many of what others price singly (a token, a character, a second) a rate is for; one if not here.
UNITS_PER_RATE = {**dict.fromkeys(TIER_RATES, 1_000_000), "characters": 1_000_000, "audio_hour": 3600}
ALL_RATES = (*TIER_RATES, *UNIT_RATES, "per_request")
# Columns of `Price` that are JSON with rates in it.
STRUCTURED_RATES = ("tiers", "service_tiers", "picture_prices")
# What vendors call their ways of service that have prices of their own.
SERVICE_TIERS = ("batch", "flex", "priority", "fast")
MAX_TIERS = 10
_MAX_PICTURES = 100
# A quality, a size, or both: hd, 1024x1792, hd/1024x1792.
_PICTURE = re.compile(r"[a-z]{1,16}|(?:[a-z]{1,16}/)?[1-9][0-9]{1,4}x[1-9][0-9]{1,4}")


def validate_tiers(value: Any) -> None:
    """Tiers are `[{"above_input_tokens": 200000, "input": "2.50", …}]`, rates as decimal text."""
    if not isinstance(value, list) or len(value) > MAX_TIERS:
        raise ValidationError(f"Give a list of at most {MAX_TIERS} tiers.", code=UNUSABLE)
    for tier in value:
        if not isinstance(tier, dict) or not _is_count(tier.get("above_input_tokens")):
            raise ValidationError("Each tier needs above_input_tokens, a whole number.", code=UNUSABLE)
        _validate_rates({name: tier[name] for name in tier if name != "above_input_tokens"}, TIER_RATES)


def validate_service_tiers(value: Any) -> None:
    """`{"batch": {"factor": "0.5"}, "flex": {"input": "1.25", "tiers": […]}}`: a factor, or rates."""
    if not isinstance(value, dict):
        raise ValidationError("Give an object with service tiers.", code=UNUSABLE)
    for name, tier in value.items():
        if name not in SERVICE_TIERS:
            known = ", ".join(SERVICE_TIERS)
            raise ValidationError(f"'{str(name)[:40]}' is no service tier: give {known}.", code=UNUSABLE)
        if not isinstance(tier, dict) or not tier:
            raise ValidationError(f"{name}: give a factor or rates.", code=UNUSABLE)
        if "factor" in tier and len(tier) > 1:
            raise ValidationError(f"{name}: give a factor or rates, not both.", code=UNUSABLE)
        rest = {key: rate for key, rate in tier.items() if key != "tiers"}
        _validate_rates(rest, (*ALL_RATES, "factor"))
        validate_tiers(tier.get("tiers", []))


def validate_pictures(value: Any) -> None:
    """`{"hd/1024x1792": "0.12", "1024x1024": "0.04"}`: dollars for one of a quality, a size, or both."""
    if not isinstance(value, dict) or len(value) > _MAX_PICTURES:
        raise ValidationError(f"Give an object with at most {_MAX_PICTURES} kinds of images.", code=UNUSABLE)
    for name in value:
        if not _PICTURE.fullmatch(name):
            raise ValidationError(
                f"'{name[:40]}' is no kind of image: give QUALITY/SIZE, SIZE or QUALITY, as hd/1024x1792.",
                code=UNUSABLE,
            )
    _validate_rates(value, tuple(value))


def _validate_rates(rates: Mapping[str, Any], known: tuple[str, ...]) -> None:
    for name, rate in rates.items():
        if name not in known or not isinstance(rate, str):
            raise ValidationError(f"'{str(name)[:40]}' is not a rate given as decimal text.", code=UNUSABLE)
        try:
            amount = MoneyField().to_python(rate)
        except ValidationError as error:
            raise ValidationError(f"{name}: {error.messages[0]}", code=UNUSABLE) from error
        if amount is None or amount < 0:
            raise ValidationError(f"{name}: give a number that is not negative.", code=UNUSABLE)
        if name == "factor" and amount > 100:
            raise ValidationError("factor: at most 100.", code=UNUSABLE)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
