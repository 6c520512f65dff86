"""Bodies, query and answers of `/content/policies`."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, Field, StringConstraints

from security_app.models.content import LONGEST_CONTENT_DAYS
from security_app.schemas.base import QueryModel, StrictModel

SubjectKind = Literal["everyone", "team", "key"]


class ContentSubject(StrictModel):
    """Whose texts it is about."""

    kind: SubjectKind
    id: Annotated[str, StringConstraints(max_length=64)] = Field(
        default="", description="Of the team or the key; empty for everyone else."
    )


class ContentPolicyFields(StrictModel):
    """What may be said of a policy."""

    stores_texts: bool | None = Field(
        default=None, description="Whether texts of runs may be stored; no, unless it is given."
    )
    masks_emails: bool | None = None
    masks_cards: bool | None = None
    retention_days: Annotated[int, Field(ge=1, le=LONGEST_CONTENT_DAYS)] | None = Field(
        default=None, description="How long texts that are stored from now on are kept at most; 7."
    )


class NewContentPolicy(ContentPolicyFields):
    """`POST /content/policies`."""

    subject: ContentSubject


class ContentPolicyPatch(ContentPolicyFields):
    """`PATCH /content/policies/{policy_id}`; what is left out, or null, stays."""

    subject: ContentSubject | None = None


class ShownContentPolicy(BaseModel):
    """One policy."""

    id: str
    object: Literal["content_policy"] = "content_policy"
    subject: ContentSubject
    stores_texts: bool
    masks_emails: bool
    masks_cards: bool
    retention_days: int
    managed_by: str
    created_at: datetime
    updated_at: datetime


class ContentPolicyQuery(QueryModel):
    """`GET /content/policies`."""

    page: int = Field(default=1, ge=1, le=100_000)
    size: int = Field(default=50, ge=1, le=100)
    subject_kind: SubjectKind | None = None


class ContentPolicyList(BaseModel):
    """One page of policies, the newest first."""

    data: list[ShownContentPolicy]
    total_count: int
    current_page: int
    total_pages: int


class DeletedContentPolicy(BaseModel):
    """What is gone."""

    id: str
    deleted: Literal[True] = True
