"""Bodies, queries and answers of `/alerts`."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, Field, StringConstraints, WithJsonSchema

from gateway_project.core.exact import exact_decimal
from security_app.schemas.base import QueryModel, StrictModel
from usage_app.models.alert import MAX_RECIPIENTS, MAX_WINDOW_MINUTES, MIN_WINDOW_MINUTES
from usage_app.services.alerts.checks import MAX_SECRET, MAX_URL

Name = Annotated[str, StringConstraints(min_length=1, max_length=100)]
Kind = Annotated[str, StringConstraints(max_length=32)]
Per = Literal["all", "team", "key", "user", "model", "upstream", "agent", "budget"]
ChannelKind = Literal["mail", "slack", "webhook"]
Figure = Annotated[
    Decimal,
    BeforeValidator(exact_decimal),
    Field(ge=0, allow_inf_nan=False),
    WithJsonSchema({"anyOf": [{"type": "number"}, {"type": "string"}], "description": "Exact."}),
]
Span = Annotated[int, Field(ge=MIN_WINDOW_MINUTES, le=MAX_WINDOW_MINUTES)]
Address = Annotated[str, StringConstraints(max_length=320)]
Addresses = Annotated[list[Address], Field(max_length=MAX_RECIPIENTS)]
Url = Annotated[str, StringConstraints(max_length=MAX_URL)]
Secret = Annotated[str, StringConstraints(max_length=MAX_SECRET)]
References = Annotated[list[Name], Field(max_length=100)]


class AlertQuery(QueryModel):
    """`GET /alerts`."""

    state: Literal["open", "closed"] | None = None
    kind: Kind | None = None
    limit: int = Field(default=50, ge=1, le=100)
    cursor: str | None = Field(default=None, max_length=100, description="`next_cursor` of the page before.")


class ShownAlert(BaseModel):
    """What was found."""

    id: str
    object: Literal["alert"] = "alert"
    state: Literal["open", "closed"]
    rule_id: str | None
    rule: str
    kind: str
    subject: str = Field(description="Empty: the whole installation, or who has none.")
    subject_name: str
    value: Decimal = Field(description="The highest figure while it lasted.")
    threshold: Decimal
    detail: str
    opened_at: datetime
    closed_at: datetime | None


class AlertList(BaseModel):
    """A page of alerts, the newest first."""

    data: list[ShownAlert]
    next_cursor: str | None
    has_more: bool


class SettingsQuery(QueryModel):
    """`GET /alerts/rules` and `GET /alerts/channels`."""

    page: int = Field(default=1, ge=1, le=100_000)
    size: int = Field(default=50, ge=1, le=100)


class AlertRuleFields(StrictModel):
    """What may be said of a rule."""

    per: Per | None = Field(
        default=None, description="What has a figure of its own; all, unless it is given."
    )
    window_minutes: Span | None = Field(default=None, description="Up to now; 60, unless it is given.")
    min_requests: Annotated[int, Field(ge=0, le=2**31 - 1)] | None = Field(
        default=None, description="Fewer in the span say nothing about a share or a latency."
    )
    time_zone: Annotated[str, StringConstraints(max_length=64)] | None = Field(
        default=None, description="Of the working hours, such as Europe/Berlin."
    )
    work_from_hour: Annotated[int, Field(ge=0, le=23)] | None = None
    work_to_hour: Annotated[int, Field(ge=0, le=24)] | None = None
    repeat_minutes: Annotated[int, Field(ge=0, le=MAX_WINDOW_MINUTES)] | None = Field(
        default=None, description="While the alert lasts; 0 tells only its beginning and its end."
    )
    channels: References | None = Field(default=None, description="Who is told, by id or by name.")
    enabled: bool | None = None


class NewAlertRule(AlertRuleFields):
    """`POST /alerts/rules`."""

    name: Name
    kind: Kind = Field(
        description="cost, tokens, errors, unpriced, latency, off_hours, rate_limited, over_budget, budget, "
        "soft_budget, upstream_down, findings, sink_lag."
    )
    threshold: Figure = Field(description="From this figure on; what it counts depends on the kind.")


class AlertRulePatch(AlertRuleFields):
    """`PATCH /alerts/rules/{rule}`; what is left out, or null, stays."""

    name: Name | None = None
    kind: Kind | None = None
    threshold: Figure | None = None


class ShownAlertRule(BaseModel):
    """One rule."""

    id: str
    object: Literal["alert_rule"] = "alert_rule"
    name: str
    kind: str
    unit: str = Field(description="What the threshold counts.")
    per: Per
    threshold: Decimal
    window_minutes: int
    min_requests: int
    time_zone: str
    work_from_hour: int
    work_to_hour: int
    repeat_minutes: int
    channels: list[str] = Field(description="By name.")
    enabled: bool
    managed_by: str
    created_at: datetime
    updated_at: datetime


class AlertRuleList(BaseModel):
    """A page of rules by name."""

    data: list[ShownAlertRule]
    total_count: int
    current_page: int
    total_pages: int


class AlertChannelFields(StrictModel):
    """What may be said of a channel."""

    recipients: Addresses | None = Field(default=None, description="For mail.")
    url: Url | None = Field(default=None, description="For Slack and webhooks; never shown again.")
    secret: Secret | None = Field(
        default=None,
        description="What messages to a webhook are signed with; never shown again. Empty takes it away.",
    )
    enabled: bool | None = None


class NewAlertChannel(AlertChannelFields):
    """`POST /alerts/channels`."""

    name: Name
    kind: ChannelKind


class AlertChannelPatch(AlertChannelFields):
    """`PATCH /alerts/channels/{channel}`; what is left out, or null, stays."""

    name: Name | None = None
    kind: ChannelKind | None = None


class ShownAlertChannel(BaseModel):
    """One channel, without its URL and its secret."""

    id: str
    object: Literal["alert_channel"] = "alert_channel"
    name: str
    kind: ChannelKind
    recipients: list[str]
    has_url: bool
    has_secret: bool
    enabled: bool
    managed_by: str
    created_at: datetime
    updated_at: datetime


class AlertChannelList(BaseModel):
    """A page of channels by name."""

    data: list[ShownAlertChannel]
    total_count: int
    current_page: int
    total_pages: int


class DeletedAlertSetting(BaseModel):
    """What is gone."""

    id: str
    name: str
    deleted: Literal[True] = True


class ShownAlertTrial(BaseModel):
    """What came of a test message."""

    channel: str
    sent: bool
    error: str | None
