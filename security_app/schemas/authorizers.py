"""Bodies and answers of external authorizers."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, Field

from security_app.schemas.base import Reference, StrictModel, SubjectId


class AuthorizerFields(StrictModel):
    """What may be said of an authorizer; null changes nothing."""

    enabled: bool | None = None
    secret: str | None = Field(
        default=None, max_length=1000, description="What questions are signed with; 32 characters or more."
    )
    asked_about: list[str] | None = Field(
        default=None, description="Some of: inference, management, models, tools; models and tools at first."
    )
    sends: list[str] | None = Field(default=None, description="What it is told; all but claims if left out.")
    timeout_ms: int | None = Field(default=None, ge=50, le=10_000)
    when_unavailable: Literal["open", "closed"] | None = Field(
        default=None, description="What happens to requests while it can't be asked."
    )
    cache_s: int | None = Field(
        default=None, ge=0, le=3600, description="Seconds for which an answer serves again; 0 asks each time."
    )


class AuthorizerNew(AuthorizerFields):
    """`POST /authorizer/new`."""

    name: SubjectId
    url: str = Field(max_length=500, description="Questions go there by POST.")
    secret: str = Field(max_length=1000, description="What questions are signed with; 32 characters or more.")


class AuthorizerUpdate(AuthorizerFields):
    """`POST /authorizer/update`; what is left out stays as it is."""

    authorizer: Reference = Field(description="Its id or name.")
    name: SubjectId | None = None
    url: str | None = Field(default=None, max_length=500)


class AuthorizerReference(StrictModel):
    """An authorizer by its id or name."""

    authorizer: Reference


class AuthorizerRow(BaseModel):
    """An authorizer as lists show it; never its secret."""

    authorizer: str
    name: str
    enabled: bool
    url: str
    asked_about: list[str]
    sends: list[str]
    timeout_ms: int
    when_unavailable: str
    cache_s: int
    created_at: datetime
    updated_at: datetime


class AuthorizerTrial(BaseModel):
    """What came of a question of no consequence."""

    authorizer: str
    answered: bool
    allowed: bool = Field(description="What it said; nobody, who asks for nothing, may well be refused.")
    message: str = Field(description="Its reason, or why there is no answer.")
    latency_ms: float


class DeletedAuthorizer(BaseModel):
    """The id of the authorizer that is gone."""

    deleted: str
