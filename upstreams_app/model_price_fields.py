"""Prices in bodies and answers of `/model/*`: LiteLLM's names, US dollars for one token, second and so on."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, Field, WithJsonSchema

from gateway_project.core.exact import exact_decimal
from security_app.schemas.base import StrictModel

Price = Annotated[
    Decimal,
    BeforeValidator(exact_decimal),
    Field(ge=0, le=1_000_000, allow_inf_nan=False),
    WithJsonSchema({"anyOf": [{"type": "number"}, {"type": "string"}], "description": "US dollars, exact."}),
]


class ModelPricesInput(StrictModel):
    """What a model costs; without any of these the catalogue is asked."""

    input_cost_per_token: Price | None = None
    output_cost_per_token: Price | None = None
    cache_read_input_token_cost: Price | None = None
    cache_creation_input_token_cost: Price | None = None
    output_cost_per_reasoning_token: Price | None = None
    input_cost_per_audio_token: Price | None = None
    output_cost_per_audio_token: Price | None = None
    cache_creation_input_token_cost_above_1hr: Price | None = None
    input_cost_per_image_token: Price | None = None
    output_cost_per_image_token: Price | None = None
    input_cost_per_request: Price | None = None
    output_cost_per_image: Price | None = Field(default=None, description="Each that is made.")
    input_cost_per_character: Price | None = Field(default=None, description="Spoken.")
    input_cost_per_second: Price | None = Field(default=None, description="Of audio that is heard.")
    input_cost_per_query: Price | None = Field(default=None, description="Each search unit of a reranker.")


class ShownModelPrices(BaseModel):
    """What a model costs now; absent if it has no price."""

    input_cost_per_token: Decimal | None
    output_cost_per_token: Decimal | None
    cache_read_input_token_cost: Decimal | None
    cache_creation_input_token_cost: Decimal | None
    output_cost_per_reasoning_token: Decimal | None
    input_cost_per_audio_token: Decimal | None
    output_cost_per_audio_token: Decimal | None
    cache_creation_input_token_cost_above_1hr: Decimal | None
    input_cost_per_image_token: Decimal | None
    output_cost_per_image_token: Decimal | None
    input_cost_per_request: Decimal | None
    output_cost_per_image: Decimal | None = Field(description="Absent where all is counted in tokens.")
    input_cost_per_character: Decimal | None
    input_cost_per_second: Decimal | None
    input_cost_per_query: Decimal | None
