"""Bodies and answers of `/prices`, `/cost/estimate` and `/spend/calculate`."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    Field,
    Strict,
    StringConstraints,
    WithJsonSchema,
    model_validator,
)

from gateway_project.core.exact import exact_decimal
from security_app.schemas.base import PageQuery, StrictModel
from usage_app.entry import TokenUsage

Count = Annotated[int, Field(ge=0, le=10**12)]
ModelId = Annotated[str, StringConstraints(min_length=1, max_length=264)]
# Strict bodies know no text for a moment, and JSON has nothing else.
Moment = Annotated[AwareDatetime, Strict(False)]
Rate = Annotated[
    Decimal,
    BeforeValidator(exact_decimal),
    Field(ge=0, le=1_000_000_000, allow_inf_nan=False),
    WithJsonSchema({"anyOf": [{"type": "number"}, {"type": "string"}], "description": "US dollars, exact."}),
]
ServiceTier = Literal["default", "batch", "flex", "priority", "fast"]
Seconds = Annotated[Decimal, BeforeValidator(exact_decimal), Field(ge=0, le=10**7, allow_inf_nan=False)]


class Quantities(StrictModel):
    """What is used of a model. The detailed counts are parts of those of input or output."""

    input_tokens: Count = 0
    output_tokens: Count = 0
    cached_tokens: Count = Field(default=0, description="Part of the input.")
    cache_creation_tokens: Count = Field(default=0, description="Part of the input.")
    cache_creation_1h_tokens: Count = Field(default=0, description="Part of cache_creation_tokens.")
    reasoning_tokens: Count = Field(default=0, description="Part of the output.")
    input_audio_tokens: Count = 0
    output_audio_tokens: Count = 0
    input_image_tokens: Count = 0
    output_image_tokens: Count = 0
    images: Count = Field(default=0, description="Made.")
    image_size: Annotated[str, StringConstraints(max_length=20)] | None = Field(
        default=None, description="Of the images, such as 1024x1792."
    )
    image_quality: Annotated[str, StringConstraints(max_length=20)] | None = None
    characters: Count = Field(default=0, description="Spoken.")
    seconds: Seconds = Field(default=Decimal(0), description="Of audio that is heard.")
    search_units: Count = 0

    def usage(self) -> TokenUsage:
        """As the ledger counts it."""
        return TokenUsage(
            input=self.input_tokens,
            output=self.output_tokens,
            cached_input=self.cached_tokens,
            cache_write=self.cache_creation_tokens,
            cache_write_1h=self.cache_creation_1h_tokens,
            reasoning=self.reasoning_tokens,
            input_audio=self.input_audio_tokens,
            output_audio=self.output_audio_tokens,
            input_image=self.input_image_tokens,
            output_image=self.output_image_tokens,
            images=self.images,
            characters=self.characters,
            audio_ms=int(self.seconds * 1000),
            search_units=self.search_units,
        )


class CostQuestion(Quantities):
    """`POST /cost/estimate`."""

    model: ModelId = Field(description="As requests name it: a route, or `<upstream>/<model>`.")
    messages: Annotated[list[Any], Field(max_length=10_000)] | None = Field(
        default=None, description="Instead of input_tokens, which are then estimated."
    )
    max_tokens: Count | None = Field(default=None, description="Instead of output_tokens: all of it.")
    service_tier: ServiceTier = "default"
    at: Moment | None = Field(default=None, description="By the prices of then; now if not given.")
    num_requests_per_day: Count | None = None
    num_requests_per_month: Count | None = None

    @model_validator(mode="after")
    def _says_things_once(self) -> Self:
        if self.messages is not None and self.input_tokens:
            raise ValueError("give messages or input_tokens, not both")
        if self.max_tokens is not None and self.output_tokens:
            raise ValueError("give max_tokens or output_tokens, not both")
        return self


class CostOfPart(BaseModel):
    """One rate of a cost."""

    name: str = Field(description="As the rates of /prices.")
    quantity: int
    rate: Decimal = Field(description="US dollars per `per`.")
    per: int
    cost: str = Field(description="US dollars; the parts add up to the cost.")


class CostAnswer(BaseModel):
    """What a request, and so many of them, cost. US dollars."""

    model: str
    priced_as: str = Field(description="The upstream model that is the dearest to serve it.")
    provider: str
    price_id: str | None
    service_tier: str
    currency: Literal["USD"] = "USD"
    cost: str = Field(description="Of one request, exact.")
    input_tokens: int
    output_tokens: int
    is_estimated: bool = Field(description="The input is estimated from messages.")
    num_requests_per_day: int | None
    num_requests_per_month: int | None
    cost_per_request: Decimal
    input_cost_per_request: Decimal
    output_cost_per_request: Decimal
    margin_cost_per_request: Decimal = Decimal(0)
    daily_cost: Decimal | None
    daily_input_cost: Decimal | None
    daily_output_cost: Decimal | None
    daily_margin_cost: Decimal | None
    monthly_cost: Decimal | None
    monthly_input_cost: Decimal | None
    monthly_output_cost: Decimal | None
    monthly_margin_cost: Decimal | None
    input_cost_per_token: Decimal
    output_cost_per_token: Decimal
    breakdown: list[CostOfPart]
    models: dict[str, str | None] = Field(description="The cost by each that may serve it; null: no price.")


class Calculation(StrictModel):
    """`POST /spend/calculate`: a model and what would be used of it, or what an answer says that it used."""

    model: ModelId | None = Field(default=None, description="A route, or `<upstream>/<model>`.")
    prompt_tokens: Count = 0
    completion_tokens: Count = 0
    cached_tokens: Count = Field(default=0, description="Part of the prompt's.")
    reasoning_tokens: Count = Field(default=0, description="Part of the completion's.")
    messages: Annotated[list[Any], Field(max_length=10_000)] | None = Field(
        default=None, description="Instead of prompt_tokens, which are then estimated."
    )
    completion_response: dict[str, Any] | None = Field(
        default=None, description="A whole answer: its `usage` counts, and its `model` if none is given."
    )


class PriceQuery(PageQuery):
    """`GET /prices`."""

    model: ModelId | None = None
    source: Literal["override", "catalogue"] | None = None


class PriceFields(BaseModel):
    """Rates in US dollars: per 1 000 000 tokens or characters, an hour, or one of what the name says."""

    input: Rate = Decimal(0)
    output: Rate = Decimal(0)
    cached_input: Rate | None = None
    cache_write: Rate | None = None
    cache_write_1h: Rate | None = None
    reasoning: Rate | None = None
    input_audio: Rate | None = None
    output_audio: Rate | None = None
    input_image: Rate | None = None
    output_image: Rate | None = None
    per_request: Rate | None = None
    per_image: Rate | None = None
    characters: Rate | None = None
    audio_hour: Rate | None = None
    per_search: Rate | None = None
    tiers: Annotated[list[dict[str, Any]], Field(max_length=10)] = []
    service_tiers: dict[str, dict[str, Any]] = {}
    picture_prices: dict[str, str] = Field(
        default={}, description="Per image by QUALITY/SIZE, SIZE or QUALITY, instead of per_image."
    )


class NewPrice(PriceFields, StrictModel):
    """`POST /prices`: an override, now or from a later moment on."""

    model: ModelId = Field(description="`<upstream>/<model>`.")
    valid_from: Moment | None = Field(default=None, description="Not in the past; now if not given.")
    is_withdrawn: bool = Field(default=False, description="No override from then on: the catalogue counts.")


class ShownPrice(PriceFields):
    """A price: it is never changed, a later one takes its place."""

    id: str
    object: Literal["price"] = "price"
    model: str
    source: Literal["override", "catalogue"]
    valid_from: datetime
    is_withdrawn: bool
    state: Literal["holds", "overridden", "later", "past"]


class PriceList(BaseModel):
    """A page of prices."""

    data: list[ShownPrice]
    total_count: int
    current_page: int
    total_pages: int


class ChangeQuery(PageQuery):
    """`GET /prices/changes`."""

    state: Literal["open", "approved", "dismissed"] = "open"


class ShownChange(BaseModel):
    """What the catalogue would change."""

    id: str
    object: Literal["price_change"] = "price_change"
    model: str
    kind: Literal["new", "changed", "removed"]
    state: Literal["open", "approved", "dismissed"]
    valid_from: datetime | None = Field(description="Null: from its approval on.")
    before: dict[str, Any]
    rates: dict[str, Any]
    largest_change_percent: Decimal | None
    listed_as: str
    catalogue: str
    found_at: datetime
    decided_at: datetime | None
    decided_by: str


class ChangeList(BaseModel):
    """A page of changes."""

    data: list[ShownChange]
    total_count: int
    current_page: int
    total_pages: int


class RefreshOrder(StrictModel):
    """`POST /prices/refresh`."""

    published: bool = Field(default=False, description="Ask for the published catalogue.")


class RefreshAnswer(BaseModel):
    """How many prices differ."""

    new: int
    changed: int
    removed: int
    unusable: int


class Decision(StrictModel):
    """Which changes; one of the two."""

    ids: Annotated[list[ModelId], Field(min_length=1, max_length=1000)] | None = None
    all: Literal[True] | None = None

    @model_validator(mode="after")
    def _says_which(self) -> Self:
        if (self.ids is None) == (self.all is None):
            raise ValueError("give ids or all")
        return self


class DecisionAnswer(BaseModel):
    """What was decided by this call."""

    data: list[ShownChange]


class UnpricedModel(BaseModel):
    """A model without a price."""

    model: str
    is_configured: bool
    requests: int = Field(description="In the last 30 days.")
    tokens: int


class UnpricedList(BaseModel):
    """All of them, the most used first."""

    data: list[UnpricedModel]
