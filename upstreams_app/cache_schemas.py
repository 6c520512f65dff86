"""Bodies and answers of the routes of `/cache`: policies, and what is done with kept answers."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field, StringConstraints

from upstreams_app.cache_policy import MAX_TTL_S, MIN_SIMILARITY
from upstreams_app.route_schemas import ModelId
from upstreams_app.schemas import StrictModel

ScopeId = Literal["key", "team", "global"]
CacheKey = Annotated[str, StringConstraints(min_length=1, max_length=128)]
_MAX_KEYS = 1000


class CacheDelete(StrictModel):
    """`POST /cache/delete`: answers by their keys, or all of a model id."""

    keys: Annotated[list[CacheKey], Field(min_length=1, max_length=_MAX_KEYS)] | None = None
    model: ModelId | None = None


class CacheFlush(StrictModel):
    """`POST /cache/flushall` takes nothing."""


class CacheDeleted(BaseModel):
    """How many answers there were."""

    status: Literal["success"] = "success"
    deleted: int


class CacheUse(BaseModel):
    """The last seven days of one model id, in the process that answers."""

    model: str
    hits: int
    misses: int
    hit_rate: float


class CachePing(BaseModel):
    """Where answers are kept, and of what use that is."""

    status: Literal["healthy"] = "healthy"
    cache_type: Literal["local", "redis"]
    ping_response: Literal[True] = True
    entries: int | None = Field(description="Of this process; null where they are in Valkey.")
    size_bytes: int | None
    models: list[CacheUse]


class CachePolicyPatch(StrictModel):
    """`PUT /cache/policies/{model}`; what is left out stays, or has its default."""

    is_enabled: bool | None = None
    scope: ScopeId | None = None
    ttl_s: Annotated[int, Field(ge=1, le=MAX_TTL_S)] | None = None
    is_on_request: bool | None = None
    includes_tools: bool | None = None
    embedding_model: Annotated[str, StringConstraints(max_length=264)] | None = Field(
        default=None, description='A model id for embeddings; "" for none.'
    )
    similarity: Annotated[float, Field(ge=MIN_SIMILARITY, le=1, allow_inf_nan=False)] | None = None


class ShownCachePolicy(BaseModel):
    """A policy as it is stored."""

    model: str
    is_enabled: bool
    scope: ScopeId
    ttl_s: int
    is_on_request: bool
    includes_tools: bool
    embedding_model: str
    similarity: float


class CachePolicyList(BaseModel):
    """All policies, by model id."""

    data: list[ShownCachePolicy]


class DeletedCachePolicy(BaseModel):
    """The policy is gone, and so are the answers that it kept."""

    model: str
    deleted: Literal[True] = True
    answers: int
