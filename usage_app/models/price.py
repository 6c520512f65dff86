"""Prices: effective-dated, in US dollars per 1 000 000 tokens."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import MinValueValidator
from django.db import models

from gateway_project.core.ids import uuid7
from gateway_project.core.money import MoneyField
from security_app.models import ConfigModel
from security_app.models.key import UNUSABLE

TIER_RATES = ("input", "output", "cached_input", "cache_write", "reasoning", "input_audio", "output_audio")


def validate_tiers(value: Any) -> None:
    """Tiers are `[{"above_input_tokens": 200000, "input": "2.50", …}]`, rates as decimal text."""
    if not isinstance(value, list) or len(value) > 10:
        raise ValidationError("Give a list of at most 10 tiers.", code=UNUSABLE)
    for tier in value:
        if not isinstance(tier, dict) or not isinstance(tier.get("above_input_tokens"), int):
            raise ValidationError("Each tier needs above_input_tokens, a whole number.", code=UNUSABLE)
        for name, rate in tier.items():
            if name == "above_input_tokens":
                continue
            if name not in TIER_RATES or not isinstance(rate, str):
                raise ValidationError(f"'{name}' is not a rate given as decimal text.", code=UNUSABLE)
            try:
                MoneyField().to_python(rate)
            except ValidationError as error:
                raise ValidationError(f"{name}: {error.messages[0]}", code=UNUSABLE) from error


def _rate(verbose_name: str, *, required: bool = False) -> MoneyField:
    return MoneyField(
        verbose_name,
        null=not required,
        blank=not required,
        validators=[MinValueValidator(0)],
        help_text="US dollars per 1 000 000 tokens."
        + ("" if required else " Empty: as the rate it is part of."),
    )


class Price(ConfigModel):
    """What a model costs from a moment on. Of the rows of a model an override beats a catalogue row.

    `model` is the id of an upstream model, `<upstream>/<name>`.
    """

    config_section = "usage"

    class Source(models.TextChoices):
        """Who set the price."""

        CATALOGUE = "catalogue", "Catalogue (genai-prices)"
        OVERRIDE = "override", "Set by an administrator"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    model = models.CharField(max_length=264, help_text="Model id, as upstream/model.")
    valid_from = models.DateTimeField(help_text="UTC; the price holds until a later one begins.")
    source = models.CharField(max_length=10, choices=Source.choices, default=Source.OVERRIDE, editable=False)
    input = _rate("input", required=True)
    output = _rate("output", required=True)
    cached_input = _rate("cached input")
    cache_write = _rate("cache write")
    reasoning = _rate("reasoning output")
    input_audio = _rate("audio input")
    output_audio = _rate("audio output")
    per_request = MoneyField(null=True, blank=True, help_text="US dollars per request, on top of tokens.")
    tiers = models.JSONField(default=list, blank=True, validators=[validate_tiers])

    class Meta:
        ordering = ("model", "-valid_from")
        constraints = [
            models.UniqueConstraint(fields=["model", "valid_from", "source"], name="price_once"),
            models.CheckConstraint(
                condition=models.Q(input__gte=0, output__gte=0), name="price_not_negative"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.model} from {self.valid_from:%Y-%m-%d}"
