"""Bodies and answers of the routes of `/routes`: how a public model id chooses among its targets."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field, StringConstraints

from upstreams_app.route_policy import MAX_ATTEMPTS, MAX_MODEL_ID_CHARS, STRATEGY_ALIASES
from upstreams_app.schemas import Seconds, StrictModel, Text

StrategyId = Literal["weighted", "least-busy", "latency", "cost", "usage"]
StrategyName = Annotated[str, StringConstraints(max_length=32)]
Affinity = Literal["none", "session", "user", "end-user"]
FallbackKind = Literal["general", "context_window", "content_policy", "budget"]
ModelId = Annotated[str, StringConstraints(min_length=1, max_length=MAX_MODEL_ID_CHARS)]


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


class ShownTarget(BaseModel):
    """One model behind a route."""

    model: str
    priority: int
    weight: int
    is_enabled: bool


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
    targets: list[ShownTarget]


class RouteList(BaseModel):
    """All routes, by name."""

    data: list[ShownRoute]
