"""Limits (how often, how much at once) and budgets (how much money) of whoever and whatever is called."""

from __future__ import annotations

import re
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any, ClassVar
from uuid import UUID
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q

from gateway_project.core.clock import utc_now
from gateway_project.core.expressions import MAX_CHARS
from gateway_project.core.ids import public_id, uuid7
from gateway_project.core.money import NANO_PER_DOLLAR, MoneyField
from security_app.models.conditions import validate_limit_condition
from security_app.models.config import ConfigModel, ConfigQuerySet

# Counters are doubles on Valkey: whole numbers are exact up to 2^53, and sums must stay below that.
MAX_UNITS = 9_000_000_000_000_000
MAX_USD = Decimal(MAX_UNITS) / NANO_PER_DOLLAR
# A nano-dollar: less would be stored as nothing.
MIN_USD = 1 / Decimal(NANO_PER_DOLLAR)
SHORTEST_WINDOW_S = 1
LONGEST_WINDOW_S = 31 * 86_400
LONGEST_ROLLING_DAYS = 400
# Before a team's id, in `managed_by` of rows that a team admin made.
TEAM_MADE = "team:"
UUID_KINDS = ("key", "team", "organization")
_UUID_SUBJECT = re.compile(r"(?:[a-z]+_)?([0-9a-fA-F]{8}-?(?:[0-9a-fA-F]{4}-?){3}[0-9a-fA-F]{12})")

_MADE_NAME = re.compile(r"budget_[0-9a-f]{32}")


class SubjectKind(models.TextChoices):
    """What a limit or a budget is of."""

    KEY = "key", "API key"
    TEAM = "team", "Team"
    ORGANIZATION = "organization", "Organization"
    USER = "user", "User"
    MEMBER = "member", "Member of a team"
    END_USER = "end_user", "End user"
    MODEL = "model", "Model"
    AGENT = "agent", "Agent"
    TOOL = "tool", "Tool"
    TAG = "tag", "Tag"


class WhenUnavailable(models.TextChoices):
    """What happens to calls while the counters can't be reached."""

    OPEN = "open", "Let calls through, uncounted"
    CLOSED = "closed", "Refuse calls"


@lru_cache(maxsize=1)
def _zones() -> frozenset[str]:
    return frozenset(available_timezones())


def validate_time_zone(name: str) -> None:
    """A name of the IANA database, such as Europe/Berlin."""
    try:
        if name in _zones():
            ZoneInfo(name)
            return
    except (ZoneInfoNotFoundError, ValueError):
        pass
    raise ValidationError("Give a time zone such as Europe/Berlin or UTC.", code="time_zone")


def stored_subject_id(kind: str, text: str) -> str | None:
    """The one form in which rows have a subject's id, "" for each one; None for what can't be one."""
    if text and kind == SubjectKind.MEMBER:
        team, _, user_id = text.partition(":")
        team_id = stored_subject_id(SubjectKind.TEAM, team)
        return f"{team_id}:{user_id}" if team_id and user_id else None
    if not text or kind not in UUID_KINDS:
        return text
    match = _UUID_SUBJECT.fullmatch(text)
    return None if match is None else match[1].replace("-", "").lower()


def member_id(team_id: UUID, user_id: str) -> str:
    """The id of a user as a member of a team: who has keys of several teams is another one in each."""
    return f"{team_id.hex}:{user_id}"


def budget_title(name: str, kind: str, subject_id: str) -> str:
    """A budget's name for people: one that was made of ids tells them nothing, and fits no screen."""
    made = f"{kind}:{subject_id}"
    if subject_id and name.startswith(made):
        rest = name.removeprefix(made).strip(":").replace(":", " ")
        return f"Budget, {rest}" if rest else "Budget"
    return "Budget" if _MADE_NAME.fullmatch(name) else name


class ScopedModel(ConfigModel):
    """What limits and budgets share: whose calls count, and of which models.

    An empty `subject_id` gives each one of that kind a counter of its own, as long as it has no row of its
    own (`registry.limits` says exactly which). Rows that a team admin made never stand in for such a one:
    whatever they say, they only tighten.
    """

    config_section = "limits"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    subject_kind = models.CharField("of", max_length=12, choices=SubjectKind.choices)
    subject_id = models.CharField(
        "which one",
        max_length=264,
        blank=True,
        help_text="The id of the key, team, user, model, …; of a member the team’s, a colon and the user’s; "
        "empty: each one has a counter of its own, unless "
        "it has a row of its own.",
    )
    model = models.CharField(
        "of models",
        max_length=264,
        blank=True,
        help_text="Only calls of this model or agent count, or of those of a pattern such as openai/*; "
        "empty: all.",
    )
    when_unavailable = models.CharField(
        "without counters", max_length=6, choices=WhenUnavailable.choices, default=WhenUnavailable.OPEN
    )
    is_enabled = models.BooleanField("enabled", default=True)

    objects: ClassVar[Any] = models.Manager.from_queryset(ConfigQuerySet)()

    class Meta:
        abstract = True

    def clean(self) -> None:
        """Bring ids into their one form: who asks has a key's id as `key_<hex>`, counters have the hex."""
        super().clean()
        self.subject_id = self.subject_id.strip()
        self.model = self.model.strip()
        subject_id = stored_subject_id(self.subject_kind, self.subject_id)
        if subject_id is None:
            hint = " Give the team’s id, a colon and the user’s." if self.subject_kind == "member" else ""
            raise ValidationError({"subject_id": f"That is no id of a {self.subject_kind}.{hint}"})
        self.subject_id = subject_id

    @property
    def is_made_by_team(self) -> bool:
        """Whether a team admin made it, who may change it and end it."""
        return self.managed_by.startswith(TEAM_MADE)

    def subject_text(self, name: str = "") -> str:
        """Whose calls count, in words; by the subject's name if it is given, else by its id."""
        kind = SubjectKind(self.subject_kind).label.lower()
        whose = f"{kind} {name or self.subject_id}" if self.subject_id else f"each {kind}"
        return f"{whose} on {self.model}" if self.model else whose


def _subject_constraints(name: str) -> list[models.BaseConstraint]:
    return [
        models.CheckConstraint(
            condition=Q(subject_kind__in=SubjectKind.values), name=f"{name}_subject_kind_known"
        ),
        models.CheckConstraint(
            condition=Q(when_unavailable__in=WhenUnavailable.values), name=f"{name}_when_unavailable_known"
        ),
    ]


class Limit(ScopedModel):
    """So much of a metric in any span of time of this length; of concurrency, at any moment.

    A burst is bound by a second limit with a shorter window.
    """

    class Metric(models.TextChoices):
        """What is counted."""

        REQUESTS = "requests", "Requests"
        INPUT_TOKENS = "input_tokens", "Input tokens"
        OUTPUT_TOKENS = "output_tokens", "Output tokens"
        TOKENS = "tokens", "Tokens"
        CONCURRENCY = "concurrency", "Requests at a time"

    metric = models.CharField(max_length=13, choices=Metric.choices, default=Metric.REQUESTS)
    window_seconds = models.PositiveIntegerField(
        "in any",
        default=60,
        validators=[MinValueValidator(SHORTEST_WINDOW_S), MaxValueValidator(LONGEST_WINDOW_S)],
        help_text="Seconds: 1 to 2678400 (31 days). Means nothing for requests at a time.",
    )
    value = models.BigIntegerField(
        "at most", validators=[MinValueValidator(0), MaxValueValidator(MAX_UNITS)], help_text="0 refuses all."
    )
    condition = models.CharField(
        max_length=MAX_CHARS,
        blank=True,
        default="",
        db_default="",
        validators=[validate_limit_condition],
        help_text="CEL over model, route, ip, agent, tags, now and principal: only calls for which it is "
        "true count, beside all other limits. A call for which it fails counts, too.",
    )

    class Meta:
        ordering = ("subject_kind", "subject_id", "metric", "window_seconds")
        indexes = [models.Index(fields=["subject_kind", "subject_id"], name="limit_subject")]
        constraints = [
            *_subject_constraints("limit"),
            models.UniqueConstraint(
                fields=["subject_kind", "subject_id", "model", "metric", "window_seconds", "condition"],
                name="limit_once",
            ),
            models.CheckConstraint(
                condition=Q(
                    metric__in=("requests", "input_tokens", "output_tokens", "tokens", "concurrency")
                ),
                name="limit_metric_known",
            ),
            models.CheckConstraint(
                condition=Q(value__gte=0, value__lte=MAX_UNITS), name="limit_value_in_range"
            ),
            models.CheckConstraint(
                condition=Q(window_seconds__gte=SHORTEST_WINDOW_S, window_seconds__lte=LONGEST_WINDOW_S),
                name="limit_window_in_range",
            ),
        ]

    def __str__(self) -> str:
        metric = self.Metric(self.metric).label.lower()
        if self.metric == self.Metric.CONCURRENCY:
            return f"{self.value} {metric} of {self.subject_text()}"
        return f"{self.value} {metric} in {self.window_seconds} s of {self.subject_text()}"

    @property
    def public_id(self) -> str:
        """`limit_` and the row's UUID in hex."""
        return public_id("limit", self.id)

    def clean(self) -> None:
        """A tool is called, and uses no tokens that could be counted."""
        super().clean()
        self.condition = self.condition.strip()
        if self.metric == self.Metric.CONCURRENCY:
            self.window_seconds = 60
        if self.subject_kind == SubjectKind.TOOL:
            if self.metric not in (self.Metric.REQUESTS, self.Metric.CONCURRENCY):
                raise ValidationError({"metric": "Tools use no tokens: count requests."})
            if self.model:
                raise ValidationError({"model": "Calls of tools are not for a model."})


class Budget(ScopedModel):
    """So much money in a span of time. It is reserved before a call and settled after it."""

    class Window(models.TextChoices):
        """What a budget is for; calendar windows begin and end in the budget's time zone."""

        DAY = "day", "Each day"
        WEEK = "week", "Each week, from Monday"
        MONTH = "month", "Each month"
        YEAR = "year", "Each year"
        ROLLING = "rolling", "The last so many days"
        LIFETIME = "lifetime", "For ever"

    budget_id = models.CharField(
        "name", max_length=200, unique=True, help_text="Shown to clients and in reports."
    )
    amount = MoneyField(help_text="US dollars.")
    when_unavailable = models.CharField(
        "without counters", max_length=6, choices=WhenUnavailable.choices, default=WhenUnavailable.CLOSED
    )
    window = models.CharField(max_length=8, choices=Window.choices, default=Window.MONTH)
    rolling_days = models.PositiveSmallIntegerField(
        "days",
        null=True,
        blank=True,
        validators=[MinValueValidator(1), MaxValueValidator(LONGEST_ROLLING_DAYS)],
        help_text="Of the last so many days.",
    )
    time_zone = models.CharField(max_length=64, default="UTC", validators=[validate_time_zone])
    soft_amount = MoneyField(
        null=True, blank=True, help_text="US dollars at which an alert is sent; nothing is refused."
    )
    temporary_increase = MoneyField(
        null=True, blank=True, help_text="US dollars more, until the moment below."
    )
    temporary_until = models.DateTimeField(
        null=True, blank=True, help_text="UTC; the increase ends by itself."
    )
    allows_unpriced = models.BooleanField(
        default=False, help_text="Let calls of models without a price through, uncounted."
    )
    stops_streams = models.BooleanField(
        default=False,
        help_text="End a stream that has cost more than what is left, by an estimate made while it runs.",
    )

    class Meta:
        ordering = ("subject_kind", "subject_id", "budget_id")
        indexes = [models.Index(fields=["subject_kind", "subject_id"], name="budget_subject")]
        constraints = [
            *_subject_constraints("budget"),
            models.CheckConstraint(
                condition=Q(amount__gt=0, amount__lte=MAX_USD), name="budget_amount_in_range"
            ),
            models.CheckConstraint(
                condition=Q(soft_amount=None) | Q(soft_amount__gt=0, soft_amount__lte=MAX_USD),
                name="budget_soft_amount_in_range",
            ),
            models.CheckConstraint(
                condition=Q(temporary_increase=None, temporary_until=None)
                | Q(
                    temporary_increase__isnull=False,
                    temporary_increase__gt=0,
                    temporary_increase__lte=MAX_USD,
                    temporary_until__isnull=False,
                ),
                name="budget_increase_has_end",
            ),
            models.CheckConstraint(
                condition=Q(
                    window="rolling",
                    rolling_days__isnull=False,
                    rolling_days__gte=1,
                    rolling_days__lte=LONGEST_ROLLING_DAYS,
                )
                | Q(window__in=("day", "week", "month", "year", "lifetime"), rolling_days=None),
                name="budget_window_known",
            ),
            models.CheckConstraint(condition=~Q(subject_kind="tool"), name="budget_not_of_tools"),
        ]

    def __str__(self) -> str:
        return self.budget_id

    def clean(self) -> None:
        """Amounts are positive and fit the counters; an increase has an end, a rolling window its days."""
        super().clean()
        problems: dict[str, str] = {}
        for name in ("amount", "soft_amount", "temporary_increase"):
            amount: Decimal | None = getattr(self, name)
            if amount is not None and (not amount.is_finite() or not MIN_USD <= amount <= MAX_USD):
                problems[name] = f"Give an amount above 0 and up to {MAX_USD:f}."
        if (self.temporary_increase is None) != (self.temporary_until is None):
            problems["temporary_until"] = "A temporary increase needs an end, and an end an increase."
        if self.window == self.Window.ROLLING and self.rolling_days is None:
            problems["rolling_days"] = "Of how many days?"
        if self.window != self.Window.ROLLING:
            self.rolling_days = None
        if self.subject_kind == SubjectKind.TOOL:
            problems["subject_kind"] = "Calls of tools cost nothing that could be counted."
        if problems:
            raise ValidationError(problems)

    def amount_at(self, moment: datetime | None = None) -> Decimal:
        """The amount in force, with a temporary increase that has not ended."""
        amount: Decimal = self.amount
        if self.temporary_increase is None or self.temporary_until is None:
            return amount
        return amount + (self.temporary_increase if (moment or utc_now()) < self.temporary_until else 0)
