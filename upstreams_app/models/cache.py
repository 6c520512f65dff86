"""Cache policies: for which model ids answers are kept, for whom, and how long."""

from __future__ import annotations

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q

from gateway_project.core.ids import uuid7
from security_app.models import ConfigModel
from upstreams_app.cache_policy import BY_KEY, DEFAULT_TTL_S, EVERY_MODEL, MAX_TTL_S, SCOPES
from upstreams_app.models.route import Route
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

    class Meta:
        ordering = ("model",)
        verbose_name = "cache policy"
        verbose_name_plural = "cache policies"
        constraints = [
            models.CheckConstraint(
                condition=Q(ttl_s__gte=1, ttl_s__lte=MAX_TTL_S), name="cache_policy_ttl_in_range"
            ),
            models.CheckConstraint(condition=Q(scope__in=list(SCOPES)), name="cache_policy_scope_known"),
        ]

    def __str__(self) -> str:
        return self.model

    def clean(self) -> None:
        """The model id must stand for something now."""
        self.model = self.model.strip()
        if self.model == EVERY_MODEL or Route.objects.filter(name=self.model).exists():
            return
        upstream, _, name = self.model.partition("/")
        if not UpstreamModel.objects.filter(upstream__name=upstream, name=name).exists():
            raise ValidationError({"model": "There is no such route or model."})
