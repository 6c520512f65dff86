"""The query of `GET /findings`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from security_app.schemas.base import QueryModel
from security_app.services.finding_list import MAX_PAGE


class FindingsQuery(QueryModel):
    """What to look for; every text is compared whole."""

    state: Literal["open", "closed", "all"] = Field(
        default="open", description="Those that last, or are over."
    )
    severity: Literal["info", "warning", "critical"] | None = Field(default=None)
    kind: str | None = Field(default=None, max_length=40, description="Such as key_unused.")
    object_type: str | None = Field(default=None, max_length=80, description="Such as security_app.apikey.")
    object_id: str | None = Field(default=None, max_length=264, description="As in the rows: 32 hex digits.")
    page_size: int = Field(default=50, ge=1, le=MAX_PAGE)
    cursor: str | None = Field(
        default=None, max_length=64, description="`next_cursor` of the page before, which is a finding's id."
    )
