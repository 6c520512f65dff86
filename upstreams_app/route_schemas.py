"""Bodies and answers of the routes of `/routes`: how a public model id chooses among its targets."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, StringConstraints

from upstreams_app.hedge_policy import MAX_AFTER_MS, MAX_PERCENT, MIN_AFTER_MS
from upstreams_app.route_policy import (
    MAX_ATTEMPTS,
    MAX_MODEL_ID_CHARS,
    MAX_TARGET_TAGS,
    MAX_TARGETS,
    STRATEGY_ALIASES,
)
from upstreams_app.schemas import Seconds, StrictModel, Text

StrategyId = Literal["weighted", "least-busy", "latency", "cost", "usage"]
StrategyName = Annotated[str, StringConstraints(max_length=32)]
Affinity = Literal["none", "session", "user", "end-user"]
FallbackKind = Literal["general", "context_window", "content_policy", "budget"]
ModelId = Annotated[str, StringConstraints(min_length=1, max_length=MAX_MODEL_ID_CHARS)]


TargetCount = Annotated[int, Field(ge=0, le=1_000_000)]


class TargetBody(StrictModel):
    """One model behind a route, and for which requests."""

    model: ModelId
    priority: TargetCount = 1
    weight: TargetCount = 1
    is_enabled: bool = True
    condition: Annotated[str, StringConstraints(max_length=500)] = Field(
        default="", description="A CEL expression that a request must fulfil; empty: none."
    )
    tags: list[str] = Field(default=[], description='Requests with one of these; "default" takes the others.')


class RoutePatch(StrictModel):
    """`PATCH /routes/{name}`; what is left out stays."""

    description: Text | None = None
    is_enabled: bool | None = None
    strategy: StrategyName | None = Field(
        default=None,
        description="weighted, least-busy, latency, cost or usage; also " + ", ".join(STRATEGY_ALIASES) + ".",
    )
    affinity: Affinity | None = None
    max_attempts: Annotated[int, Field(ge=1, le=MAX_ATTEMPTS)] | None = None
    deadline_s: Seconds | None = Field(
        default=None, description="For all attempts together; null: the longest total time of its upstreams."
    )
    retry_policy: dict[str, int] | None = Field(
        default=None, description="How often each fault may lead to another attempt."
    )
    fallbacks: dict[FallbackKind, list[ModelId]] | None = Field(
        default=None, description="Model ids to ask instead, by the kind of trouble."
    )
    hedge_after_ms: Annotated[int, Field(ge=MIN_AFTER_MS, le=MAX_AFTER_MS)] | None = Field(
        default=None, description="Without a first byte by then a second target is asked, too; null: never."
    )
    hedges_at_p95: bool | None = Field(
        default=None, description="Not before it took longer than 19 of 20 requests of the route did lately."
    )
    hedge_percent: Annotated[int, Field(ge=1, le=MAX_PERCENT)] | None = Field(
        default=None, description="The part of the requests that may be asked twice."
    )
    hedge_condition: Annotated[str, StringConstraints(max_length=500)] | None = Field(
        default=None, description="A CEL expression for the requests that may be; empty: all."
    )
    aliases: list[ModelId] | None = Field(default=None, description="Other names for the same route.")
    body_defaults: dict[str, Any] | None = Field(
        default=None, description="Members that requests get which do not have them."
    )
    body_overrides: dict[str, Any] | None = Field(
        default=None, description="Members that all requests get; null takes one away."
    )
    body_templates: dict[str, str] | None = Field(
        default=None, description="Members that all requests get, as CEL expressions give them."
    )
    prompt_prepend: list[dict[str, str]] | None = Field(
        default=None, description="Messages before those of a chat, each with a role and a content."
    )
    prompt_append: list[dict[str, str]] | None = Field(
        default=None, description="Messages after those of a chat."
    )
    upstream_header_defaults: dict[str, str] | None = Field(
        default=None, description="Headers that upstreams get which have none of this name. No secrets."
    )
    upstream_header_overrides: dict[str, str] | None = Field(
        default=None, description="Headers that upstreams get in place of their own. No secrets."
    )
    upstream_header_templates: dict[str, str] | None = Field(
        default=None, description="The same, as CEL expressions give them."
    )
    response_headers: dict[str, str] | None = Field(default=None, description="x-… headers of each answer.")
    is_in_maintenance: bool | None = None
    maintenance_message: Text | None = Field(default=None, description="What the error (503) says meanwhile.")
    maintenance_answer: Annotated[str, StringConstraints(max_length=4000)] | None = Field(
        default=None, description="Chats get this as an answer (200) instead."
    )
    targets: Annotated[list[TargetBody], Field(max_length=MAX_TARGETS)] | None = Field(
        default=None, description="All of them: what is left out is taken away."
    )


class ShownTarget(BaseModel):
    """One model behind a route."""

    model: str
    priority: int
    weight: int
    is_enabled: bool
    condition: str
    tags: list[str]


class ShownRoute(BaseModel):
    """A route as it is stored."""

    name: str
    description: str
    is_enabled: bool
    strategy: StrategyId
    affinity: Affinity
    max_attempts: int
    deadline_s: float | None
    retry_policy: dict[str, int]
    fallbacks: dict[FallbackKind, list[str]]
    hedge_after_ms: int | None
    hedges_at_p95: bool
    hedge_percent: int
    hedge_condition: str
    aliases: list[str]
    body_defaults: dict[str, Any]
    body_overrides: dict[str, Any]
    body_templates: dict[str, str]
    prompt_prepend: list[dict[str, str]]
    prompt_append: list[dict[str, str]]
    upstream_header_defaults: dict[str, str]
    upstream_header_overrides: dict[str, str]
    upstream_header_templates: dict[str, str]
    response_headers: dict[str, str]
    is_in_maintenance: bool
    maintenance_message: str
    maintenance_answer: str
    targets: list[ShownTarget]


class RouteList(BaseModel):
    """All routes, by name."""

    data: list[ShownRoute]


class SimulationBody(StrictModel):
    """A request that nobody sent, or one of the ledger."""

    request_id: Annotated[str, StringConstraints(max_length=40)] = Field(
        default="", description="A request of the ledger (req_…), instead of all else."
    )
    model: ModelId | Literal[""] = ""
    request: dict[str, Any] = Field(default={}, description="The body, for conditions that ask about it.")
    operation: Literal["chat", "completions", "embeddings"] = "chat"
    key: Annotated[str, StringConstraints(max_length=200)] = Field(
        default="", description="The id or name of a key; empty: one that may use every model."
    )
    end_user: Annotated[str, StringConstraints(max_length=256)] = ""
    tags: Annotated[list[str], Field(max_length=MAX_TARGET_TAGS)] = []
    headers: Annotated[dict[str, str], Field(max_length=32)] = {}


class RecordedRequest(BaseModel):
    """What the ledger says of a request, which has no body and no headers."""

    request_id: str
    at: datetime
    model: str
    key_name: str
    operation: str
    is_stream: bool
    status: int
    answered_by: str
    strategy: str
    note: str


class ComparedTarget(BaseModel):
    """What became of a target then, and what would now."""

    model_id: str
    then: str
    now: str


class ComparedDecision(BaseModel):
    """A recorded decision beside the one of now; `unknown` is what is not known of the request."""

    recorded: RecordedRequest
    verdict: str
    targets: list[ComparedTarget]
    unknown: list[str]


class SimulatedTarget(BaseModel):
    """A target, its place in the order (null: it is not asked), and why."""

    model_id: str
    priority: int
    weight: int
    outcome: Literal["first", "next", "last resort", "passed over"]
    reason: str
    place: int | None
    score: float | None = Field(description="By the strategy; lower is better.")


class SimulatedFallback(BaseModel):
    """A model that is asked instead, and what stands in for it in turn."""

    kind: FallbackKind
    model_id: str
    problem: str
    following: list[SimulatedFallback]


class SimulatedRoute(BaseModel):
    """The decision; `refusal` is why there would be no answer, "" if there would be one."""

    model_id: str
    is_route: bool
    selected_model: str | None
    strategy: str
    refusal: str
    targets: list[SimulatedTarget]
    fallbacks: list[SimulatedFallback]
    hedge: str = Field(description='What becomes of a request that takes long; "" where nothing does.')
    comparison: ComparedDecision | None = Field(
        default=None, description="Beside what the ledger has, for a request_id."
    )
