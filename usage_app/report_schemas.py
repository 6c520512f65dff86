"""Bodies, queries and answers of the report routes."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

ShortText = Annotated[str, StringConstraints(max_length=200)]
Day = Annotated[date, Field(strict=False)]


class StrictModel(BaseModel):
    """A body or query whose unknown fields are errors."""

    model_config = ConfigDict(extra="forbid", strict=True)


class ReportBody(StrictModel):
    """What a report asks for."""

    name: ShortText = Field(description="What the report is called; of saved ones unique.")
    period: str = Field(
        default="last_month",
        description="fixed (with first_day and last_day), today, yesterday, last_7_days, last_week, "
        "week_to_date, last_30_days, last_month, month_to_date, last_quarter, last_year, year_to_date.",
    )
    first_day: Day | None = None
    last_day: Day | None = Field(default=None, description="Included.")
    time_zone: ShortText = "UTC"
    group_by: list[str] = Field(
        default=["day"],
        description="One of hour, day, month; organization, team, user, key, model, agent, upstream, state; "
        "tag or end_user.",
    )
    filters: dict[str, list[str]] = Field(
        default={}, description="Values to keep, by dimension; ids as 32 hex digits."
    )
    format: str = Field(default="csv", description="csv, xlsx, pdf, jsonl or focus.")


class SavedReportBody(ReportBody):
    """A report with its schedule."""

    schedule: str = Field(default="", description="daily, weekly (on Mondays), monthly (on the first).")
    hour: int = Field(default=6, description="Of the day in the time zone.")
    recipients: list[str] = Field(default=[], description="Who gets scheduled files by mail.")
    bucket: ShortText | None = Field(
        default=None, description="Gets scheduled files and their manifests; by id or by name."
    )
    is_enabled: bool = True


class ReportListQuery(BaseModel):
    """A page of reports."""

    page: Annotated[int, Field(ge=1, le=100_000)] = 1
    size: Annotated[int, Field(ge=1, le=100)] = 50


class ReportRow(BaseModel):
    """A saved report."""

    id: str
    name: str
    owner: str
    period: str
    first_day: date | None
    last_day: date | None
    time_zone: str
    group_by: list[str]
    filters: dict[str, list[str]]
    format: str
    schedule: str
    hour: int
    recipients: list[str]
    bucket: str | None = Field(description="By name.")
    is_enabled: bool
    created_at: datetime
    updated_at: datetime


class ReportList(BaseModel):
    """A page of saved reports."""

    data: list[ReportRow]
    total_count: int
    current_page: int
    total_pages: int


class ExportRow(BaseModel):
    """A file that was asked for."""

    id: str
    report_id: str | None
    title: str
    period: str
    format: str
    query: dict[str, Any]
    requested_by: str
    state: str
    progress_rows: int
    total_rows: int | None
    file_name: str
    size_bytes: int | None
    sha256: str
    error: str
    mail_state: str
    mail_error: str
    upload_state: str
    upload_error: str
    uploaded_as: str = Field(description="Where the file is in its bucket; the manifest is beside it.")
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    has_worker: bool = Field(description="Whether a worker looked for files to make within the last minute.")


class DeletedReport(BaseModel):
    """A report that is gone."""

    id: str
    deleted: bool
