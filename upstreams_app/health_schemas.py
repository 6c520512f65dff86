"""Bodies about the health of one upstream."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, Field


class HistoryQuery(BaseModel):
    """`GET /upstreams/{reference}/history`."""

    limit: Annotated[int, Field(ge=1, le=500)] = 50


class ShownStateChange(BaseModel):
    """From one state to another, and why."""

    at: datetime
    previous: str
    state: str
    reason: str


class ShownHistory(BaseModel):
    """The newest change comes first."""

    id: str
    name: str
    data: list[ShownStateChange]


class ShownTriedModel(BaseModel):
    """A model that is set up: listed by its upstream, missing there, or "untold" where a list can't tell."""

    model: str
    mode: str
    state: Literal["listed", "missing", "untold"]


class ShownTrial(BaseModel):
    """What came of trying an upstream; `error` is empty for one that answered."""

    id: str
    upstream: str
    state: Literal["ok", "failed", "not asked"]
    latency_ms: float | None
    status_code: int | None
    error: str
    models: list[ShownTriedModel]
