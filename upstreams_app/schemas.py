"""Bodies, queries and answers of the model and upstream routes."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    Strict,
    StringConstraints,
)

from upstreams_app.kinds import OPTIONS_IN_WORDS
from upstreams_app.model_price_fields import ModelPricesInput, ShownModelPrices
from upstreams_app.presets import PRESETS

Mode = Literal["chat", "completion", "embedding", "other"]
KindId = Literal[
    "openai", "azure-openai", "anthropic", "gemini", "vertex", "bedrock", "openai-compatible",
    "ollama", "lmstudio", "vllm", "tensorrt-llm", "demo",
]  # fmt: skip
MAX_TOKENS = 2_147_483_647


Tokens = Annotated[int, Field(ge=1, le=MAX_TOKENS)]
# Strict bodies know no text for a moment, and JSON has nothing else.
Moment = Annotated[AwareDatetime, Strict(False)]
Seconds = Annotated[float, Field(ge=0.05, le=86_400)]
Credential = Annotated[str, StringConstraints(max_length=5000)]
ModelName = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Url = Annotated[str, StringConstraints(min_length=1, max_length=500)]
Text = Annotated[str, StringConstraints(max_length=500)]
ApiVersion = Annotated[str, StringConstraints(max_length=32)]
Path = Annotated[str, StringConstraints(max_length=300)]


class StrictModel(BaseModel):
    """A body whose unknown fields are errors, and whose texts are not taken for numbers."""

    model_config = ConfigDict(extra="forbid", strict=True)


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


class ModelInfoInput(ModelPricesInput):
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


class ShownInfo(ShownModelPrices):
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


class UpstreamFields(StrictModel):
    """What may be said of an upstream; the admin explains each field."""

    base_url: Annotated[str, StringConstraints(max_length=500)] | None = None
    path_prefix: Annotated[str, StringConstraints(max_length=200)] | None = None
    api_version: ApiVersion | None = Field(
        default=None, description="Of Azure OpenAI only: for deployment paths; empty for its v1 API."
    )
    options: dict[str, Any] | None = Field(default=None, description=OPTIONS_IN_WORDS)
    extra_endpoints: list[str] | None = None
    api_key: Credential | None = Field(
        default=None, description="Stored encrypted and never shown; empty removes it."
    )
    credential: Path | None = Field(default=None, description="env:NAME, file:/path, client or none.")
    headers: dict[str, str] | None = Field(
        default=None, description="All of them; a value as it is shown, masked, keeps what is stored."
    )
    ca_bundle: Path | None = None
    client_certificate: Path | None = None
    client_key: Path | None = None
    tls_server_name: Annotated[str, StringConstraints(max_length=253)] | None = None
    connect_timeout_s: Seconds | None = None
    first_token_timeout_s: Seconds | None = None
    idle_timeout_s: Seconds | None = None
    total_timeout_s: Seconds | None = None
    max_concurrency: Annotated[int, Field(ge=1, le=1_000_000, description="null: no limit.")] | None = None
    queue_size: Annotated[int, Field(ge=0, le=100_000)] | None = None
    queue_wait_s: Seconds | None = None
    max_retries: Annotated[int, Field(ge=0, le=9)] | None = None
    breaker_failures: Annotated[int, Field(ge=0, le=1000)] | None = None
    breaker_cooldown_s: Seconds | None = None
    asks_stream_usage: bool | None = None
    allows_passthrough: bool | None = None
    is_probed: bool | None = Field(
        default=None, description="Ask it regularly whether it answers; never with a caller's credential."
    )
    probe_interval_s: (
        Annotated[int, Field(ge=5, le=86_400, description="null: GATEWAY_HEALTH_INTERVAL_S.")] | None
    ) = None
    is_enabled: bool | None = None
    is_in_maintenance: bool | None = Field(
        default=None, description="Calls are kept away; models that nothing else serves answer 503."
    )
    maintenance_until: Moment | None = Field(
        default=None, description="When the maintenance ends by itself, ISO 8601; null: a person ends it."
    )
    description: Text | None = None


class NewUpstream(UpstreamFields):
    """`POST /upstreams`; either `kind` or `preset` is needed."""

    name: Annotated[str, StringConstraints(min_length=1, max_length=63)] | None = Field(
        default=None, description="May be left out with a preset, whose name it then is."
    )
    kind: KindId | None = None
    preset: Annotated[str, StringConstraints(max_length=63)] | None = Field(
        default=None, description="A service to fill the address in for: " + ", ".join(PRESETS) + "."
    )


class UpstreamPatch(UpstreamFields):
    """`PATCH /upstreams/{id or name}`; what is left out stays."""

    name: Annotated[str, StringConstraints(min_length=1, max_length=63)] | None = None


class ShownCredential(BaseModel):
    """Where a credential comes from, and as much of it as a person needs to tell it from another."""

    source: Literal["none", "stored", "reference", "client"]
    hint: str


class ShownHealth(BaseModel):
    """The state of now, and the last probe."""

    state: Literal["healthy", "degraded", "down", "maintenance", "unknown"]
    reason: str = ""
    latency_ms: float | None
    status_code: int | None
    error: str
    checked_at: datetime | None


class ShownUpstream(BaseModel):
    """An upstream; never its credential or the values of its headers."""

    id: str
    name: str
    kind: str
    base_url: str
    path_prefix: str
    api_version: str
    options: dict[str, Any]
    extra_endpoints: list[str]
    credential: ShownCredential
    headers: dict[str, str] = Field(description="Names, and masked values.")
    ca_bundle: str
    client_certificate: str
    client_key: str
    tls_server_name: str
    connect_timeout_s: float
    first_token_timeout_s: float
    idle_timeout_s: float
    total_timeout_s: float
    max_concurrency: int | None
    queue_size: int
    queue_wait_s: float
    max_retries: int
    breaker_failures: int
    breaker_cooldown_s: float
    asks_stream_usage: bool
    allows_passthrough: bool
    is_probed: bool
    probe_interval_s: int | None
    is_enabled: bool
    is_in_maintenance: bool
    maintenance_until: datetime | None
    description: str
    model_count: int
    health: ShownHealth
    created_at: datetime
    updated_at: datetime


class UpstreamList(BaseModel):
    """All upstreams, by name."""

    data: list[ShownUpstream]


class ImportedModels(BaseModel):
    """Models that are new, were completed, and stayed as they were."""

    added: int
    updated: int
    kept: int


class RefreshedUpstream(ShownUpstream):
    """An upstream and what came of asking it for its models; both are null for one that was not asked."""

    imported: ImportedModels | None
    import_error: str | None


class RefreshedList(BaseModel):
    """All upstreams after a refresh."""

    data: list[RefreshedUpstream]


class ProbedUpstream(BaseModel):
    """One upstream's state now."""

    id: str
    name: str
    health: ShownHealth


class DeletedUpstream(BaseModel):
    """The upstream that is gone, and the routes that had nothing else behind them."""

    id: str
    name: str
    deleted: bool = True
    deleted_routes: list[str]
