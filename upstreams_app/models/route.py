"""Routes: public model ids of our own, the upstream models behind them, and how one of these is chosen."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models

from gateway_project.core.ids import uuid7
from security_app.models import ConfigModel
from security_app.models.access import PASSTHROUGH
from upstreams_app.hedge_policy import (
    DEFAULT_PERCENT,
    MAX_AFTER_MS,
    MAX_PERCENT,
    MIN_AFTER_MS,
    read_hedging,
)
from upstreams_app.models.upstream import Upstream, UpstreamModel
from upstreams_app.route_conditions import check_condition
from upstreams_app.route_policy import (
    AFFINITIES,
    DEFAULT_ATTEMPTS,
    FALLBACK_KINDS,
    MAX_ATTEMPTS,
    NO_AFFINITY,
    STRATEGIES,
    WEIGHTED,
    RoutePolicy,
    check_aliases,
    check_fallbacks,
    check_retries,
    check_tags,
    find_loop,
)
from upstreams_app.route_treatment import COLUMNS, Maintenance, Treatment, read_treatment


class Route(ConfigModel):
    """A public model id of our own over one or more upstream models."""

    config_section = "upstreams"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    name = models.CharField(max_length=200, unique=True, help_text="What clients put into `model`.")
    description = models.CharField(max_length=500, blank=True)
    aliases = models.JSONField(
        default=list,
        blank=True,
        help_text='Other names for the route, such as ["gpt-4"]; access, limits and records go by its own.',
    )
    is_enabled = models.BooleanField("enabled", default=True)
    strategy = models.CharField(
        max_length=16,
        choices=list(STRATEGIES.items()),
        default=WEIGHTED,
        help_text="How one of the targets of the same priority is chosen.",
    )
    affinity = models.CharField(
        max_length=12,
        choices=list(AFFINITIES.items()),
        default=NO_AFFINITY,
        help_text="What keeps to one target, so that its prompt cache is of use.",
    )
    max_attempts = models.PositiveSmallIntegerField(
        default=DEFAULT_ATTEMPTS,
        validators=[MinValueValidator(1), MaxValueValidator(MAX_ATTEMPTS)],
        help_text="How many calls of upstreams a request may lead to.",
    )
    deadline_s = models.FloatField(
        "deadline",
        null=True,
        blank=True,
        validators=[MinValueValidator(0.05), MaxValueValidator(86_400)],
        help_text="Seconds for all attempts together; empty: the longest total time of its upstreams.",
    )
    retry_policy = models.JSONField(
        default=dict,
        blank=True,
        help_text='How often a fault may lead to another attempt, such as {"timeout": 1, "not_found": 0}.',
    )
    fallbacks = models.JSONField(
        default=dict,
        blank=True,
        help_text='Model ids to ask instead: {"general": ["other"], "context_window": ["long"]}; '
        "also content_policy and budget.",
    )
    hedge_after_ms = models.PositiveIntegerField(
        "ask a second target after",
        null=True,
        blank=True,
        validators=[MinValueValidator(MIN_AFTER_MS), MaxValueValidator(MAX_AFTER_MS)],
        help_text="Milliseconds without a first byte; the first answer wins, both may be paid. Empty: never.",
    )
    hedges_at_p95 = models.BooleanField(
        "not before p95",
        default=False,
        help_text="Wait also until it took longer than 19 of 20 requests of this route did lately.",
    )
    hedge_percent = models.PositiveSmallIntegerField(
        "share of requests",
        default=DEFAULT_PERCENT,
        validators=[MinValueValidator(1), MaxValueValidator(MAX_PERCENT)],
        help_text="Percent of the requests that may be asked twice: an overload must not be doubled.",
    )
    hedge_condition = models.CharField(
        "only if",
        max_length=500,
        blank=True,
        help_text="For which requests: a CEL expression such as !has_tools; empty: all.",
    )

    body_defaults = models.JSONField(
        default=dict,
        blank=True,
        help_text='What requests get that do not say it themselves, such as {"temperature": 0.2}.',
    )
    body_overrides = models.JSONField(
        default=dict,
        blank=True,
        help_text='What all requests get, whatever they say; null takes a member away: {"logprobs": null}.',
    )
    body_templates = models.JSONField(
        default=dict,
        blank=True,
        help_text="What all requests get as CEL expressions give it, such as "
        '{"temperature": "has_tools ? 0.0 : 0.7"}.',
    )
    prompt_prepend = models.JSONField(
        default=list,
        blank=True,
        help_text='Messages before those of a chat, such as [{"role": "system", "content": "Be brief."}].',
    )
    prompt_append = models.JSONField(
        default=list, blank=True, help_text="Messages after those of a chat, in the same form."
    )
    upstream_header_defaults = models.JSONField(
        default=dict,
        blank=True,
        help_text='Headers of upstreams that have none of this name: {"x-title": "Support"}. No secrets.',
    )
    upstream_header_overrides = models.JSONField(
        default=dict,
        blank=True,
        help_text="Headers that upstreams get in place of their own of this name. No secrets.",
    )
    upstream_header_templates = models.JSONField(
        default=dict,
        blank=True,
        help_text='The same as CEL expressions give it, such as {"x-tenant": "principal.team_id"}.',
    )
    response_headers = models.JSONField(
        default=dict, blank=True, help_text='Headers of each answer, such as {"x-data-region": "eu"}.'
    )
    is_in_maintenance = models.BooleanField(
        "in maintenance", default=False, help_text="Requests get no upstream, but the following."
    )
    maintenance_message = models.CharField(
        max_length=500, blank=True, help_text="What the error (503) says; empty: that it is in maintenance."
    )
    maintenance_answer = models.TextField(
        max_length=4000, blank=True, help_text="Chats get this as a usual answer (200) instead of the error."
    )

    class Meta:
        ordering = ("name",)

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        """The name shares one name space with the upstreams and must be usable in a URL."""
        if self.name != self.name.strip() or not self.name.isprintable() or "//" in self.name:
            raise ValidationError({"name": "No spaces around it, no control characters, no empty segments."})
        if self.name.startswith(PASSTHROUGH):
            raise ValidationError({"name": f"Names that begin with {PASSTHROUGH} are the pass-through's."})
        if Upstream.objects.filter(name=self.name).exists():
            raise ValidationError(
                {"name": "An upstream has this name; upstreams and routes share one name space."}
            )
        checks = (
            ("retry_policy", check_retries),
            ("fallbacks", check_fallbacks),
            ("hedge_condition", check_condition),
            ("aliases", check_aliases),
            *COLUMNS.items(),
        )
        for field, check in checks:
            _check(field, check, getattr(self, field))
        self._check_names()
        if self.fallbacks:
            others = Route.objects.exclude(pk=self.pk).exclude(fallbacks={})
            known = dict(others.values_list("name", "fallbacks"))
            if loop := find_loop(self.name, {**known, self.name: self.fallbacks}):
                raise ValidationError({"fallbacks": f"These lead back to the route: {' → '.join(loop)}."})

    def _check_names(self) -> None:
        """A name stands for one route: neither another route's name nor alias, nor a model's id."""
        others = Route.objects.exclude(pk=self.pk)
        taken = {alias: name for name, aliases in others.values_list("name", "aliases") for alias in aliases}
        if self.name in taken:
            raise ValidationError({"name": f"The route '{taken[self.name]}' has this name as an alias."})
        if not self.aliases:
            return
        taken |= {name: name for name in others.filter(name__in=self.aliases).values_list("name", flat=True)}
        for alias in self.aliases:
            upstream, _, model = alias.partition("/")
            if alias == self.name or alias in taken:
                raise ValidationError(
                    {"aliases": f"'{alias}' is a name of the route '{taken.get(alias, alias)}'."}
                )
            if UpstreamModel.objects.filter(upstream__name=upstream, name=model).exists():
                raise ValidationError({"aliases": f"'{alias}' is the id of a model."})

    def policy(self) -> RoutePolicy:
        """What the request path needs of the row; ValueError if the row holds nonsense."""
        check_retries(self.retry_policy)
        check_fallbacks(self.fallbacks)
        if self.strategy not in STRATEGIES or self.affinity not in AFFINITIES:
            raise ValueError("unknown strategy or affinity")
        return RoutePolicy(
            strategy=self.strategy,
            affinity=self.affinity,
            max_attempts=self.max_attempts,
            deadline_s=self.deadline_s,
            retries=self.retry_policy,
            # In one order: PostgreSQL keeps none of its own.
            fallbacks={
                kind: tuple(self.fallbacks[kind]) for kind in FALLBACK_KINDS if self.fallbacks.get(kind)
            },
            hedge=read_hedging(
                self.hedge_after_ms,
                at_p95=self.hedges_at_p95,
                percent=self.hedge_percent,
                condition=self.hedge_condition,
            ),
        )

    def treatment(self) -> Treatment | None:
        """What it does to requests and answers; ValueError if the row holds nonsense."""
        return read_treatment({name: getattr(self, name) for name in COLUMNS})

    def maintenance(self) -> Maintenance | None:
        """What it says while it is in maintenance; None while it is not."""
        if not self.is_in_maintenance:
            return None
        return Maintenance(self.maintenance_message.strip(), self.maintenance_answer.strip())


class RouteTarget(ConfigModel):
    """One upstream model behind a route; the lowest priority number is tried first, by weight within it."""

    config_section = "upstreams"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    route = models.ForeignKey(Route, on_delete=models.CASCADE, related_name="targets")
    model = models.ForeignKey(UpstreamModel, on_delete=models.CASCADE, related_name="route_targets")
    weight = models.PositiveIntegerField(
        default=1, help_text="Share of the traffic; 0 only if nothing else is left."
    )
    priority = models.PositiveIntegerField(default=1, help_text="Lower numbers are tried first.")
    is_enabled = models.BooleanField("enabled", default=True)
    condition = models.CharField(
        max_length=500,
        blank=True,
        help_text="For which requests: a CEL expression such as tokens > 8000 || has_images; empty: all.",
    )
    tags = models.JSONField(
        default=list,
        blank=True,
        help_text='Requests with one of these tags come here, such as ["eu"]; "default" takes the others.',
    )

    class Meta:
        ordering = ("route__name", "priority", "id")
        constraints = [models.UniqueConstraint(fields=["route", "model"], name="route_target_once")]

    def __str__(self) -> str:
        return f"{self.route.name} → {self.model}"

    def clean(self) -> None:
        """The condition must be one that a request can be asked."""
        _check("condition", check_condition, self.condition)
        _check("tags", check_tags, self.tags)


def _check(field: str, check: Callable[[Any], None], value: Any) -> None:
    try:
        check(value)
    except ValueError as error:
        raise ValidationError({field: str(error)}) from error
