"""Limits and budgets in bodies and answers, in LiteLLM's words, of keys, teams, users and customers alike."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import (
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    Field,
    Strict,
    StringConstraints,
    WithJsonSchema,
)

from gateway_project.core.exact import exact_decimal
from security_app.models.limits import MAX_UNITS, MAX_USD
from security_app.schemas.base import QueryModel, StrictModel

Amount = Annotated[
    Decimal,
    BeforeValidator(exact_decimal),
    Field(gt=0, le=MAX_USD, allow_inf_nan=False),
    WithJsonSchema({"anyOf": [{"type": "number"}, {"type": "string"}], "description": "US dollars, exact."}),
]
# Strict bodies know no text for a moment, and JSON has nothing else.
Moment = Annotated[AwareDatetime, Strict(False)]
BudgetId = Annotated[str, StringConstraints(min_length=1, max_length=200, strip_whitespace=True)]
BudgetSubject = Literal["key", "team", "organization", "user", "member", "end_user", "model", "agent", "tag"]
Count = Annotated[int, Field(ge=0, le=MAX_UNITS)]
MAX_MODELS = 100


class BudgetWindow(StrictModel):
    """One of several budgets."""

    budget_duration: str
    max_budget: Amount


class ModelBudget(StrictModel):
    """The budget for one model."""

    budget_limit: Amount
    time_period: str = "30d"


class LimitFields(StrictModel):
    """What may be said of limits and budgets; null takes one away, what is left out stays."""

    max_budget: Amount | None = Field(default=None, description="US dollars; calls beyond it are refused.")
    budget_duration: str | None = Field(
        default=None,
        description="1d, 7d, 30d (a month), 365d (a year): by calendar; other days: rolling; null: ever.",
    )
    soft_budget: Amount | None = Field(
        default=None, description="US dollars at which an alert is sent; needs max_budget."
    )
    budget_limits: list[BudgetWindow] | None = Field(
        default=None, max_length=10, description="Further budgets, each with a duration of its own."
    )
    model_max_budget: dict[str, ModelBudget] | None = Field(
        default=None, max_length=MAX_MODELS, description="Budgets by model id or pattern."
    )
    temp_budget_increase: Amount | None = Field(default=None, description="US dollars more, for a time.")
    temp_budget_expiry: Moment | None = Field(default=None, description="When the increase ends.")
    tpm_limit: Count | None = Field(default=None, description="Tokens in any minute.")
    rpm_limit: Count | None = Field(default=None, description="Requests in any minute.")
    max_parallel_requests: Count | None = Field(default=None, description="Requests at a time.")
    model_tpm_limit: dict[str, Count] | None = Field(
        default=None, max_length=MAX_MODELS, description="Tokens in any minute, by model id or pattern."
    )
    model_rpm_limit: dict[str, Count] | None = Field(
        default=None, max_length=MAX_MODELS, description="Requests in any minute, by model id or pattern."
    )


class LimitRow(BaseModel):
    """Limits and budgets as answers show them; money as exact JSON numbers."""

    max_budget: Decimal | None = None
    budget_duration: str | None = None
    soft_budget: Decimal | None = None
    budget_limits: list[dict[str, Any]] = []
    model_max_budget: dict[str, dict[str, Any]] = {}
    temp_budget_increase: Decimal | None = None
    temp_budget_expiry: datetime | None = None
    tpm_limit: int | None = None
    rpm_limit: int | None = None
    max_parallel_requests: int | None = None
    model_tpm_limit: dict[str, int] = {}
    model_rpm_limit: dict[str, int] = {}


class BudgetFields(StrictModel):
    """What may be said of a budget; null takes the end, the soft amount or the increase away."""

    max_budget: Amount | None = Field(default=None, description="US dollars; calls beyond it are refused.")
    budget_duration: str | None = Field(
        default=None,
        description="1d, 7d, 30d (a month), 365d (a year): by calendar; other days: rolling; null: ever.",
    )
    soft_budget: Amount | None = Field(default=None, description="US dollars at which an alert is sent.")
    temp_budget_increase: Amount | None = Field(default=None, description="US dollars more, for a time.")
    temp_budget_expiry: Moment | None = Field(default=None, description="When the increase ends.")
    time_zone: str | None = Field(default=None, description="Where days begin, such as Europe/Berlin.")
    allows_unpriced: bool | None = Field(default=None, description="Let models without a price through.")
    stops_streams: bool | None = Field(
        default=None, description="End streams that have cost more than what is left."
    )
    when_unavailable: Literal["open", "closed"] | None = Field(
        default=None, description="What happens to calls while nobody can count."
    )
    is_enabled: bool | None = None


class BudgetNew(BudgetFields):
    """`POST /budget/new`. LiteLLM's budgets are attached to keys; these say themselves what they are of."""

    budget_id: BudgetId | None = Field(default=None, description="Its name; else one is made.")
    max_budget: Amount = Field(description="US dollars; calls beyond it are refused.")
    subject_kind: BudgetSubject
    subject_id: Annotated[str, StringConstraints(max_length=264)] = Field(
        default="", description="The id; empty: each one without a budget of its own has this one for itself."
    )
    model: Annotated[str, StringConstraints(max_length=264)] = Field(
        default="", description="Only calls of this model count, or of a pattern such as openai/*."
    )


class BudgetUpdate(BudgetFields):
    """`POST /budget/update`; what is left out stays."""

    budget_id: BudgetId


class BudgetReferences(StrictModel):
    """`POST /budget/info`."""

    budgets: Annotated[list[BudgetId], Field(min_length=1, max_length=100)]


class BudgetDelete(StrictModel):
    """`POST /budget/delete`."""

    id: BudgetId


class BudgetQuery(QueryModel):
    """`GET /budget/settings`."""

    budget_id: BudgetId


class BudgetRow(BaseModel):
    """A budget as lists show it."""

    budget_id: str
    subject_kind: str
    subject_id: str
    model: str
    max_budget: Decimal
    soft_budget: Decimal | None
    budget_duration: str | None
    time_zone: str
    budget_reset_at: datetime | None = Field(
        description="Null for rolling ones, and for those that never reset."
    )
    temp_budget_increase: Decimal | None
    temp_budget_expiry: datetime | None
    allows_unpriced: bool
    stops_streams: bool
    when_unavailable: str
    is_enabled: bool
    created_at: datetime
    updated_at: datetime


class UsedBudgetRow(BudgetRow):
    """A budget and what its window has used so far; null if each subject has one for itself."""

    spend: Decimal | None


class BudgetSetting(BaseModel):
    """One field of a budget, for forms."""

    field_name: str
    field_type: str
    field_value: Any
    field_description: str
    stored_in_db: bool
