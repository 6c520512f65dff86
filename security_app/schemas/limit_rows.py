"""Bodies, query and answers of `/limits`."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, Field, StringConstraints

from gateway_project.core.expressions import MAX_CHARS
from security_app.models.limits import LONGEST_WINDOW_S, MAX_UNITS, SHORTEST_WINDOW_S
from security_app.schemas.base import QueryModel, StrictModel

SubjectKind = Literal[
    "key", "team", "organization", "user", "member", "end_user", "model", "agent", "tool", "tag"
]
Metric = Literal["requests", "input_tokens", "output_tokens", "tokens", "concurrency"]
WhenUnavailable = Literal["open", "closed"]
# As long as the columns.
Reference = Annotated[str, StringConstraints(max_length=264)]
Window = Annotated[int, Field(ge=SHORTEST_WINDOW_S, le=LONGEST_WINDOW_S)]
Value = Annotated[int, Field(ge=0, le=MAX_UNITS)]


class LimitSubject(StrictModel):
    """Whose calls count."""

    kind: SubjectKind
    id: Reference = Field(default="", description="Empty: each one of this kind has a counter of its own.")


class LimitRowFields(StrictModel):
    """What may be said of a limit."""

    model: Reference | None = Field(
        default=None, description="A model's id or a pattern such as openai/*; empty: calls of all models."
    )
    metric: Metric | None = Field(default=None, description="requests, unless it is given.")
    window_seconds: Window | None = Field(
        default=None, description="In any so many seconds; 60, unless it is given."
    )
    when_unavailable: WhenUnavailable | None = Field(
        default=None, description="Without counters: open lets calls through, closed refuses them."
    )
    condition: Annotated[str, StringConstraints(max_length=MAX_CHARS)] | None = Field(
        default=None,
        description="CEL over model, route, ip, agent, tags, now and principal: only calls for which it is "
        "true, or fails, count; empty: all.",
    )
    enabled: bool | None = None


class NewLimit(LimitRowFields):
    """`POST /limits`."""

    subject: LimitSubject
    value: Value = Field(description="At most so much; 0 refuses all.")


class LimitPatch(LimitRowFields):
    """`PATCH /limits/{limit_id}`; what is left out, or null, stays."""

    subject: LimitSubject | None = None
    value: Value | None = None


class ShownLimit(BaseModel):
    """One limit."""

    id: str
    object: Literal["limit"] = "limit"
    subject: LimitSubject
    model: str
    metric: Metric
    window_seconds: int | None = Field(description="null for concurrency, which holds at any moment.")
    value: int
    condition: str
    when_unavailable: WhenUnavailable
    enabled: bool
    managed_by: str
    created_at: datetime
    updated_at: datetime


class LimitQuery(QueryModel):
    """`GET /limits`."""

    page: int = Field(default=1, ge=1, le=100_000)
    size: int = Field(default=50, ge=1, le=100)
    subject_kind: SubjectKind | None = None
    subject_id: Reference | None = Field(default=None, description="Empty: those of each one.")


class LimitList(BaseModel):
    """One page of limits, the newest first."""

    data: list[ShownLimit]
    total_count: int
    current_page: int
    total_pages: int


class DeletedLimit(BaseModel):
    """What is gone."""

    id: str
    deleted: Literal[True] = True
