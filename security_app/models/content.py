"""Policies for content: whose questions and answers may be stored at all, and for how long."""

from __future__ import annotations

from typing import ClassVar

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q

from gateway_project.core.ids import public_id, uuid7
from security_app.models.config import ConfigModel
from security_app.models.limits import stored_subject_id

LONGEST_CONTENT_DAYS = 400


class ContentPolicy(ConfigModel):
    """Whether the texts of somebody's calls may be stored, what is masked in them, and when they go.

    A key's own policy counts, else that of its team, else that of everyone; without any nothing is stored.
    """

    class SubjectKind(models.TextChoices):
        """Whose calls a policy is for."""

        EVERYONE = "everyone", "Everyone else"
        TEAM = "team", "Team"
        KEY = "key", "API key"

    config_section: ClassVar[str] = "content"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    subject_kind = models.CharField(
        "of", max_length=8, choices=SubjectKind.choices, default=SubjectKind.EVERYONE
    )
    subject_id = models.CharField(
        "which one", max_length=64, blank=True, help_text="The id of the team or key; empty for everyone."
    )
    stores_texts = models.BooleanField(
        default=False,
        help_text="Texts of runs are stored where the agent's “record texts” is on as well.",
    )
    masks_emails = models.BooleanField(
        "masks e-mail addresses", default=True, help_text="Before texts are stored."
    )
    masks_cards = models.BooleanField(
        "masks card numbers",
        default=True,
        help_text="Before texts are stored. Keys and tokens of known forms are masked in any case.",
    )
    retention_days = models.PositiveSmallIntegerField(
        "days",
        default=7,
        validators=[MinValueValidator(1), MaxValueValidator(LONGEST_CONTENT_DAYS)],
        help_text="How long texts that are stored from now on are kept at most.",
    )

    class Meta:
        ordering = ("subject_kind", "subject_id")
        verbose_name = "content policy"
        verbose_name_plural = "content policies"
        constraints = [
            models.UniqueConstraint(
                fields=["subject_kind", "subject_id"],
                name="content_policy_once",
                violation_error_message="There is such a policy already.",
            ),
            models.CheckConstraint(
                condition=Q(subject_kind="everyone", subject_id="")
                | (Q(subject_kind__in=("team", "key")) & ~Q(subject_id="")),
                name="content_policy_has_subject",
            ),
            models.CheckConstraint(
                condition=Q(retention_days__gte=1, retention_days__lte=LONGEST_CONTENT_DAYS),
                name="content_policy_days_in_range",
            ),
        ]

    def __str__(self) -> str:
        return self.subject_text()

    @property
    def public_id(self) -> str:
        """`content_policy_` and the row's UUID in hex."""
        return public_id("content_policy", self.id)

    def clean(self) -> None:
        """Bring the id into its one form: who asks has a key's id as `key_<hex>`."""
        super().clean()
        self.subject_id = self.subject_id.strip()
        if self.subject_kind == self.SubjectKind.EVERYONE:
            if self.subject_id:
                raise ValidationError({"subject_id": "A policy for everyone has no id."})
            return
        subject_id = stored_subject_id(self.subject_kind, self.subject_id)
        if not subject_id:
            raise ValidationError({"subject_id": f"Give the id of a {self.subject_kind}."})
        self.subject_id = subject_id

    def subject_text(self) -> str:
        """Whose calls it is for, in words."""
        kind = self.SubjectKind(self.subject_kind).label
        return f"{kind} {self.subject_id}" if self.subject_id else kind
