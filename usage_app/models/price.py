"""Prices: effective-dated, in US dollars per 1 000 000 tokens, or per image, hour, search and so on."""

from __future__ import annotations

from django.core.validators import MinValueValidator
from django.db import models

from gateway_project.core.ids import uuid7
from gateway_project.core.money import MoneyField
from security_app.models import ConfigModel
from usage_app.models.rates import validate_pictures, validate_service_tiers, validate_tiers


def _rate(verbose_name: str, *, required: bool = False) -> MoneyField:
    return MoneyField(
        verbose_name,
        null=not required,
        blank=not required,
        validators=[MinValueValidator(0)],
        help_text="US dollars per 1 000 000 tokens."
        + ("" if required else " Empty: as the rate it is part of."),
    )


def _unit_rate(help_text: str) -> MoneyField:
    return MoneyField(null=True, blank=True, validators=[MinValueValidator(0)], help_text=help_text)


class Price(ConfigModel):
    """What a model costs from a moment on. Of the rows of a model an override beats a catalogue row.

    `model` is the id of an upstream model, `<upstream>/<name>`. A withdrawn row says that from then on its
    source has no price.
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
    cache_write_1h = _rate("cache write for an hour")
    reasoning = _rate("reasoning output")
    input_audio = _rate("audio input")
    output_audio = _rate("audio output")
    input_image = _rate("image input")
    output_image = _rate("image output")
    per_request = MoneyField(
        null=True,
        blank=True,
        validators=[MinValueValidator(0)],
        help_text="US dollars per request, on top of tokens.",
    )
    per_image = _unit_rate("US dollars per image that is made.")
    picture_prices = models.JSONField(
        default=dict,
        blank=True,
        validators=[validate_pictures],
        help_text="US dollars per image by quality and size, instead of the rate for all, such as "
        '{"hd/1024x1792": "0.12", "1024x1024": "0.04"}.',
    )
    characters = _unit_rate("US dollars per 1 000 000 characters that are spoken.")
    audio_hour = _unit_rate("US dollars per hour of audio that is heard.")
    per_search = _unit_rate("US dollars per search unit, as rerankers count them.")
    tiers = models.JSONField(
        default=list,
        blank=True,
        validators=[validate_tiers],
        help_text="Rates of a whole request above so many input tokens, such as "
        '[{"above_input_tokens": 200000, "input": "2.50"}].',
    )
    service_tiers = models.JSONField(
        default=dict,
        blank=True,
        validators=[validate_service_tiers],
        help_text="For batch, flex, priority and fast: a factor or rates of their own, such as "
        '{"batch": {"factor": "0.5"}, "flex": {"input": "1.25"}}.',
    )
    listed_as = models.CharField(
        max_length=300,
        blank=True,
        editable=False,
        help_text="What the catalogue calls it; empty for overrides.",
    )
    is_withdrawn = models.BooleanField(
        "withdrawn", default=False, help_text="From then on there is no such price: the rates don't count."
    )

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
