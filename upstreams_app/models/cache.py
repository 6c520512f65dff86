"""Cache policies: for which model ids answers are kept, for whom, and how long."""

from __future__ import annotations

from math import isnan

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q

from gateway_project.core.ids import uuid7
from security_app.models import ConfigModel
from upstreams_app.cache_policy import (
    BY_KEY,
    DEFAULT_SIMILARITY,
    DEFAULT_TTL_S,
    EVERY_MODEL,
    MAX_TTL_S,
    MIN_SIMILARITY,
    SCOPES,
)
from upstreams_app.models.route import Route, RouteTarget
from upstreams_app.models.upstream import UpstreamModel


class CachePolicy(ConfigModel):
    """What is kept of one model id's answers; without a policy nothing is."""

    config_section = "upstreams"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    model = models.CharField(
        max_length=264,
        unique=True,
        help_text="A route or a model id as clients ask for it; * for all that have no policy of their own.",
    )
    is_enabled = models.BooleanField("enabled", default=True)
    scope = models.CharField(
        max_length=8, choices=list(SCOPES.items()), default=BY_KEY, help_text="Who may get an answer again."
    )
    ttl_s = models.PositiveIntegerField(
        "seconds",
        default=DEFAULT_TTL_S,
        validators=[MinValueValidator(1), MaxValueValidator(MAX_TTL_S)],
        help_text="How long an answer is kept; requests may ask for less.",
    )
    is_on_request = models.BooleanField(
        "only on request",
        default=False,
        help_text='Only for requests that say so: "cache": {"use-cache": true}.',
    )
    includes_tools = models.BooleanField(
        "with tools",
        default=False,
        help_text="Also requests that offer tools; who gets a tool's call again carries it out again.",
    )
    embedding_model = models.CharField(
        max_length=264,
        blank=True,
        default="",
        help_text="A model id for embeddings: chats that are nearly the same then have an answer too. "
        "Empty: only the very same question has one.",
    )
    similarity = models.FloatField(
        default=DEFAULT_SIMILARITY,
        validators=[MinValueValidator(MIN_SIMILARITY), MaxValueValidator(1)],
        help_text=f"How alike questions must be for that, from {MIN_SIMILARITY} to 1.",
    )

    class Meta:
        ordering = ("model",)
        verbose_name = "cache policy"
        verbose_name_plural = "cache policies"
        constraints = [
            models.CheckConstraint(
                condition=Q(ttl_s__gte=1, ttl_s__lte=MAX_TTL_S), name="cache_policy_ttl_in_range"
            ),
            models.CheckConstraint(condition=Q(scope__in=list(SCOPES)), name="cache_policy_scope_known"),
            models.CheckConstraint(
                condition=Q(similarity__gte=MIN_SIMILARITY, similarity__lte=1),
                name="cache_policy_similarity_in_range",
            ),
        ]

    def __str__(self) -> str:
        return self.model

    def clean(self) -> None:
        """The model ids must stand for something now; the second one for embeddings."""
        self.model, self.embedding_model = self.model.strip(), self.embedding_model.strip()
        wrong = {}
        if self.model != EVERY_MODEL and not _modes(self.model):
            wrong["model"] = "There is no such route or model."
        if self.embedding_model and UpstreamModel.Mode.EMBEDDING not in _modes(self.embedding_model):
            wrong["embedding_model"] = "There is no such route or model for embeddings."
        if isnan(self.similarity):
            # It is neither below nor above a bound.
            wrong["similarity"] = "This is no number."
        if wrong:
            raise ValidationError(wrong)


def _modes(model_id: str) -> set[str]:
    """What the targets of a route, or a model, are for; "" is of a route without any."""
    if Route.objects.filter(name=model_id).exists():
        modes = RouteTarget.objects.filter(route__name=model_id).values_list("model__mode", flat=True)
        return set(modes) or {""}
    upstream, _, name = model_id.partition("/")
    found = UpstreamModel.objects.filter(upstream__name=upstream, name=name)
    return set(found.values_list("mode", flat=True))
