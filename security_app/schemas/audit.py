"""The query of `GET /audit`."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from security_app.services.audit_list import MAX_PAGE


class AuditQuery(BaseModel):
    """What to look for; every text is compared whole."""

    model_config = ConfigDict(extra="forbid")

    changed_by: str | None = Field(
        default=None, max_length=200, description="Who: a key's id, a person's name, command:…, system:…"
    )
    action: str | None = Field(
        default=None, max_length=40, description="created, updated, deleted, denied, …"
    )
    table_name: str | None = Field(default=None, max_length=80, description="Such as security_app.apikey.")
    object_id: str | None = Field(default=None, max_length=200, description="As in the rows: 32 hex digits.")
    request_id: str | None = Field(default=None, max_length=64, description="The x-request-id of an answer.")
    start_date: str | None = Field(
        default=None, max_length=40, description="ISO 8601 date or time, UTC, inclusive."
    )
    end_date: str | None = Field(
        default=None,
        max_length=40,
        description="ISO 8601: a date includes that day, a time is exclusive.",
    )
    page_size: int = Field(default=50, ge=1, le=MAX_PAGE)
    cursor: int | None = Field(default=None, ge=1, lt=2**63, description="`next_cursor` of the page before.")
