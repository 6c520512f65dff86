"""Bodies, queries and answers of the model routes, in LiteLLM's names."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, WithJsonSchema

from gateway_project.core.exact import exact_decimal
from upstreams_app.schemas import ApiVersion, Credential, Seconds, StrictModel, Text

Mode = Literal["chat", "completion", "embedding", "other"]
MAX_TOKENS = 2_147_483_647
Price = Annotated[
    Decimal,
    BeforeValidator(exact_decimal),
    Field(ge=0, le=1_000_000, allow_inf_nan=False),
    WithJsonSchema({"anyOf": [{"type": "number"}, {"type": "string"}], "description": "US dollars, exact."}),
]
Tokens = Annotated[int, Field(ge=1, le=MAX_TOKENS)]
ModelName = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Url = Annotated[str, StringConstraints(min_length=1, max_length=500)]


class LitellmParams(StrictModel):
    """Where a model is and how it is reached, as LiteLLM names it."""

    model: ModelName | None = Field(
        default=None, description="prefix/name, such as openai/gpt-4o or ollama/llama3."
    )
    custom_llm_provider: ModelName | None = Field(
        default=None, description="The prefix, if it is not part of the model."
    )
    api_base: Url | None = Field(
        default=None, description="Base URL with or without /v1; os.environ/NAME is read at once."
    )
    api_key: Credential | None = Field(
        default=None, description="Stored encrypted; os.environ/NAME is kept as a reference."
    )
    api_version: ApiVersion | None = Field(
        default=None, description="Of azure/ only: for deployment paths; v1 or empty for Azure's v1 API."
    )
    azure_ad_token: Credential | None = Field(default=None, description="Of azure/: a token; not renewed.")
    tenant_id: Text | None = Field(default=None, description="Of azure/: an application's at Entra.")
    client_id: Text | None = None
    client_secret: Credential | None = Field(default=None, description="Or its certificate with key (PEM).")
    organization: Text | None = Field(default=None, description="Sent as OpenAI-Organization.")
    extra_headers: dict[str, str] | None = None
    timeout: Seconds | None = Field(default=None, description="Of the whole call.")
    stream_timeout: Seconds | None = Field(default=None, description="From the request to the first byte.")
    aws_access_key_id: Credential | None = Field(
        default=None,
        description="Of bedrock/: keys are stored encrypted; without any the server's own serve.",
    )
    aws_secret_access_key: Credential | None = None
    aws_session_token: Credential | None = None
    aws_region_name: Text | None = None
    aws_role_name: Text | None = Field(default=None, description="ARN of a role to assume.")
    aws_session_name: Text | None = None
    aws_external_id: Text | None = None
    aws_profile_name: Text | None = Field(default=None, description="Of the server's AWS configuration.")
    aws_bedrock_runtime_endpoint: Url | None = Field(default=None, description="The same as api_base.")
    vertex_project: Text | None = Field(default=None, description="Of vertex_ai/.")
    vertex_location: Text | None = Field(default=None, description="Without one, global.")
    vertex_credentials: Credential | dict[str, Any] | None = Field(
        default=None,
        description="A service account's JSON key, the path of its file, or os.environ/NAME.",
    )
    max_parallel_requests: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    weight: Annotated[int, Field(ge=0, le=1_000_000)] | None = Field(
        default=None, description="Share of the traffic."
    )
    order: Annotated[int, Field(ge=1, le=1_000_000)] | None = Field(
        default=None, description="Lower ones are tried first."
    )


class ModelInfoInput(StrictModel):
    """What is known of a model. Prices are US dollars a token."""

    id: Annotated[str, StringConstraints(max_length=64)] | None = Field(
        default=None, description="A UUID of your own."
    )
    mode: Mode | None = None
    base_model: ModelName | None = Field(default=None, description="The name to look prices up by.")
    description: Text | None = None
    max_tokens: Tokens | None = Field(default=None, description="The same as max_output_tokens.")
    max_input_tokens: Tokens | None = Field(default=None, description="The context window.")
    max_output_tokens: Tokens | None = None
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


class NewModel(StrictModel):
    """`POST /model/new`."""

    model_name: ModelName = Field(
        description="What clients put into `model`; the same name again adds a target."
    )
    litellm_params: LitellmParams
    model_info: ModelInfoInput = ModelInfoInput()


class ModelPatch(StrictModel):
    """`PATCH /model/{id}/update`; what is left out stays."""

    model_name: ModelName | None = None
    litellm_params: LitellmParams | None = None
    model_info: ModelInfoInput | None = None


class ModelUpdate(ModelPatch):
    """`POST /model/update`; the id is `model_info.id`, or `id`."""

    id: ModelName | None = None


class ModelReference(StrictModel):
    """`POST /model/delete`."""

    id: ModelName


class ModelInfoQuery(BaseModel):
    """`GET /model/info`."""

    model_config = ConfigDict(extra="forbid")

    litellm_model_id: str | None = Field(default=None, max_length=64)


class ShownParams(BaseModel):
    """Where a model is; never its credential."""

    model: str
    api_base: str | None
    weight: int
    order: int
    timeout: float
    stream_timeout: float
    max_parallel_requests: int | None
    custom_llm_provider: str
    api_version: str | None = Field(default=None, description="Of azure/, as the next two.")
    tenant_id: str | None = None
    client_id: str | None = None
    aws_region_name: str | None = Field(default=None, description="Of bedrock/, as the next four.")
    aws_role_name: str | None = None
    aws_session_name: str | None = None
    aws_external_id: str | None = None
    aws_profile_name: str | None = None
    vertex_project: str | None = Field(default=None, description="Of vertex_ai/, as the next one.")
    vertex_location: str | None = None


class ShownInfo(BaseModel):
    """What is known of a model; prices are absent if there is none."""

    id: str
    db_model: bool = True
    mode: Mode
    description: str
    upstream: str
    upstream_model: str = Field(description="The id under which the model can be called without its route.")
    max_tokens: int | None
    max_input_tokens: int | None
    max_output_tokens: int | None
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
    is_enabled: bool
    created_at: datetime
    updated_at: datetime


class ShownModel(BaseModel):
    """One deployment: a model of an upstream behind a public id."""

    model_id: str
    model_name: str
    litellm_params: ShownParams
    model_info: ShownInfo


class ModelList(BaseModel):
    """All deployments."""

    data: list[ShownModel]


class DeletedModel(BaseModel):
    """The deployment that is gone."""

    message: str
    id: str
