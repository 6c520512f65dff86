"""Limits and budgets in the admin, with what budgets have used and when they begin anew."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from django.db import DatabaseError
from django.http import HttpRequest

from gateway_project.admin_base import display, moment, register
from security_app.admin.team_bounds import TeamBounds
from security_app.admin.team_forms import TeamBudgetForm, TeamLimitForm
from security_app.models import Budget, Limit
from security_app.models.limits import budget_title
from security_app.services.budgets import reset_of, used_of
from security_app.services.limit_answers import span_text

_STATES = {"on": "success", "off": "warning"}


def _state(row: Limit | Budget) -> tuple[str, str]:
    return ("on", "in force") if row.is_enabled else ("off", "switched off")


@register(Limit)
class LimitAdmin(TeamBounds[Limit]):
    """How often and how much at once."""

    team_form = TeamLimitForm
    team_fieldsets = (
        ("At most", {"fields": ("value", "metric", "window_seconds")}),
        ("More", {"fields": ("is_enabled",)}),
    )
    list_display = ("subject", "at_most", "span", "state")
    list_filter = ("subject_kind", "metric", "is_enabled")
    search_fields = ("subject_id", "model")
    ordering = ("-id",)
    fieldsets = (
        (None, {"fields": ("subject_kind", "subject_id", "model")}),
        ("At most", {"fields": ("value", "metric", "window_seconds")}),
        ("Only if", {"fields": ("condition",)}),
        ("More", {"fields": ("when_unavailable", "is_enabled")}),
    )

    @display(description="Of", ordering="subject_id")
    def subject(self, row: Limit) -> str:
        """Whose calls count."""
        return row.subject_text(getattr(row, "subject_name", ""))

    @display(description="At most", ordering="value")
    def at_most(self, row: Limit) -> str:
        """How much of what."""
        return f"{row.value:,} {row.get_metric_display().lower()}"

    @display(description="In any", empty_value="at any moment")
    def span(self, row: Limit) -> str | None:
        """The length of the window."""
        return None if row.metric == Limit.Metric.CONCURRENCY else span_text(row.window_seconds)

    @display(description="State", label=_STATES)
    def state(self, row: Limit) -> tuple[str, str]:
        """Whether it is in force."""
        return _state(row)


@register(Budget)
class BudgetAdmin(TeamBounds[Budget]):
    """How much money."""

    team_form = TeamBudgetForm
    team_fieldsets = (
        ("Amount", {"fields": ("amount",)}),
        ("Window", {"fields": ("window", "rolling_days", "time_zone")}),
        ("More", {"fields": ("allows_unpriced", "is_enabled")}),
    )
    list_display = ("title", "subject", "shown_amount", "shown_window", "resets", "state")
    list_filter = ("subject_kind", "window", "is_enabled")
    search_fields = ("budget_id", "subject_id", "model")
    ordering = ("-id",)
    readonly_fields = ("used", "resets")
    fieldsets = (
        (None, {"fields": ("budget_id", "subject_kind", "subject_id", "model")}),
        ("Amount", {"fields": ("amount", "soft_amount", "used", "resets")}),
        ("Window", {"fields": ("window", "rolling_days", "time_zone")}),
        ("Temporary increase", {"fields": ("temporary_increase", "temporary_until")}),
        ("More", {"fields": ("stops_streams", "allows_unpriced", "when_unavailable", "is_enabled")}),
    )

    def get_readonly_fields(self, request: HttpRequest, obj: Budget | None = None) -> Any:
        """A new budget has used nothing yet."""
        return super().get_readonly_fields(request, obj) if obj else ()

    def get_fieldsets(self, request: HttpRequest, obj: Budget | None = None) -> Any:
        """As above, without facts of a row that there is not yet."""
        fieldsets = super().get_fieldsets(request, obj)
        if obj is not None:
            return fieldsets
        return tuple(
            (title, {"fields": tuple(name for name in options["fields"] if name not in self.readonly_fields)})
            for title, options in fieldsets
        )

    @display(description="Of", ordering="subject_id")
    def subject(self, row: Budget) -> str:
        """Whose calls count."""
        return row.subject_text(getattr(row, "subject_name", ""))

    @display(description="Name", ordering="budget_id")
    def title(self, row: Budget) -> str:
        """What the row's link is called."""
        return budget_title(row.budget_id, row.subject_kind, row.subject_id)

    @display(description="Amount", ordering="amount")
    def shown_amount(self, row: Budget) -> str:
        """The amount in force."""
        return _dollars(row.amount_at())

    @display(description="Window", ordering="window")
    def shown_window(self, row: Budget) -> str:
        """The window in words."""
        if row.window == Budget.Window.ROLLING:
            return f"The last {row.rolling_days} days"
        return row.get_window_display()

    @display(description="Resets", empty_value="not by itself")
    def resets(self, row: Budget) -> str | None:
        """The end of the present window."""
        return moment(reset_of(row))

    @display(description="Used", empty_value="each one has its own")
    def used(self, row: Budget) -> str | None:
        """What the present window has used, by the ledger."""
        try:
            (amount,) = used_of([row])
        except (DatabaseError, OSError):
            return "not known now"
        return None if amount is None else f"{_dollars(amount)} of {_dollars(row.amount_at())}"

    @display(description="State", label=_STATES)
    def state(self, row: Budget) -> tuple[str, str]:
        """Whether it is in force."""
        return _state(row)


def _dollars(amount: Decimal) -> str:
    text = f"{amount:,f}".rstrip("0").rstrip(".") if "." in f"{amount:f}" else f"{amount:,f}"
    return f"${text}"
