"""Agents: drop-ins, whose definition a folder's code owns, and declared ones, whose definition has versions.

Of both this row holds what an operator decides.
"""

from __future__ import annotations

from collections.abc import Collection
from decimal import Decimal
from typing import Any, Self

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models, transaction
from django.db.models import Q

from agents_app.entry import IN_PROCESS, PROCESS
from gateway_project.core.ids import public_id, uuid7
from gateway_project.core.money import MoneyField
from security_app.models import ConfigModel, ConfigVersion
from security_app.models.key import UNUSABLE

# The section of the snapshot that holds drop-ins as they were loaded.
FOLDERS_SECTION = "agent_folders"


def validate_members(value: Any) -> None:
    """A JSON object of at most 100 names with a model id each."""
    is_valid = isinstance(value, dict) and all(isinstance(model, str) and model for model in value.values())
    if not is_valid or len(value) > 100 or any(len(f"{name}{model}") > 400 for name, model in value.items()):
        raise ValidationError("Give a JSON object of member names with a model id each.", code=UNUSABLE)


class Agent(ConfigModel):
    """One agent. The row of a drop-in is written when it is found first, and stays when its folder goes.

    A declared agent has the number of its current version, in AgentVersion.
    """

    class Visibility(models.TextChoices):
        """How much of what a run does is shown to the client."""

        HIDDEN = "hidden", "Hidden: the answer only"
        REASONING = "reasoning", "As reasoning (reasoning_content)"
        FIELD = "gateway", "In a field of its own (gateway)"

    class Isolation(models.TextChoices):
        """Where the agent's code runs."""

        IN_PROCESS = IN_PROCESS, "In the server's process"
        PROCESS = PROCESS, "In a process of its own, without secrets and network"

    config_section = "agents"
    # Its definition goes with it; a drop-in is found anew.
    can_be_recreated = False
    # As the database has it; None for a row that is not in there yet.
    _isolation_before: str | None = None

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    slug = models.CharField(
        "model id", max_length=200, unique=True, editable=False, help_text="What clients put into model."
    )
    folder = models.CharField(
        max_length=300,
        blank=True,
        editable=False,
        help_text="Where its code was found last, below a discovery root.",
    )
    is_enabled = models.BooleanField("enabled", default=True, help_text="Whether clients can call it.")
    model = models.CharField(
        max_length=264,
        blank=True,
        help_text="The model or route for calls for which the agent's code names none. Empty: what the code "
        "suggests, else the default model.",
    )
    visibility = models.CharField(
        max_length=10,
        choices=Visibility.choices,
        default=Visibility.HIDDEN,
        help_text="How clients see the tools and hand-offs of a run.",
    )
    max_turns = models.PositiveIntegerField(
        "turns",
        default=10,
        validators=[MinValueValidator(1), MaxValueValidator(1000)],
        help_text="A run ends with an error after so many turns of one agent.",
    )
    max_llm_calls = models.PositiveIntegerField(
        "LLM calls",
        default=50,
        validators=[MinValueValidator(1), MaxValueValidator(10_000)],
        help_text="A run ends with an error when it wants more, those of nested agents included.",
    )
    wall_clock_s = models.PositiveIntegerField(
        "seconds",
        default=600,
        validators=[MinValueValidator(1), MaxValueValidator(86_400)],
        help_text="A run ends with an error after so many seconds.",
    )
    max_tokens = models.PositiveIntegerField(
        "tokens",
        null=True,
        blank=True,
        validators=[MinValueValidator(1)],
        help_text="A run ends with an error once its calls used so many, input and output; empty: any.",
    )
    max_cost = MoneyField(
        "cost",
        null=True,
        blank=True,
        validators=[MinValueValidator(Decimal("0.000000001"))],
        help_text="US dollars: a run ends with an error once its calls cost so much; empty: any.",
    )
    members = models.JSONField(
        default=dict,
        blank=True,
        validators=[validate_members],
        help_text="The models of the agent's members by their names; others get the agent's model.",
    )
    isolation = models.CharField(
        max_length=10,
        choices=Isolation.choices,
        default=Isolation.IN_PROCESS,
        help_text="Where its code runs.",
    )
    records_content = models.BooleanField(
        "record texts",
        default=False,
        help_text="Whether what models and tools are told and answer is kept with runs, shortened. Otherwise "
        "runs have names and numbers only.",
    )
    version = models.PositiveIntegerField(
        null=True, editable=False, help_text="Of a declared agent: the number of its definition in force."
    )

    class Meta:
        ordering = ["slug"]
        constraints = [
            models.CheckConstraint(
                condition=Q(version__isnull=True) | Q(managed_by="admin", folder="", isolation=IN_PROCESS),
                name="agent_with_version_is_declared",
            )
        ]

    def __str__(self) -> str:
        return self.slug

    @classmethod
    def from_db(
        cls, db: str | None, field_names: Collection[str], values: Collection[Any], **options: Any
    ) -> Self:
        """As Django's; where its code ran is remembered."""
        row = super().from_db(db, field_names, values, **options)
        row._isolation_before = row.__dict__.get("isolation")
        return row

    def save(self, *args: Any, **kwargs: Any) -> None:
        """As for all configuration; code that is to run elsewhere has to be loaded, or let go."""
        with transaction.atomic():
            if self._isolation_before not in (None, self.isolation):
                ConfigVersion.bump(FOLDERS_SECTION)
            super().save(*args, **kwargs)
        self._isolation_before = self.isolation

    @property
    def is_declared(self) -> bool:
        """Whether its definition is kept here, and no folder's."""
        return self.version is not None

    @property
    def public_id(self) -> str:
        """`agt_` and the row's UUID in hex."""
        return public_id("agt", self.id)
