"""Declared agents: versions of their definitions, and the links between agents that the current ones make."""

from __future__ import annotations

import json

from django.db import models
from django.db.models import F, Q

from agents_app.definition import AS_TOOL, HANDOFF, LINK_KINDS, MAX_DESCRIPTION, Definition
from agents_app.models.agent import Agent


class AgentVersion(models.Model):
    """One state of an agent's definition; never changed.

    `definition` is its image as JSON text: as a JSON column PostgreSQL would sort the members of an output
    schema, and models answer in the order that a schema has.
    """

    agent = models.ForeignKey(Agent, on_delete=models.CASCADE, related_name="versions")
    number = models.PositiveIntegerField()
    definition = models.TextField()
    created_at = models.DateTimeField(auto_now_add=True)
    actor = models.CharField("by", max_length=200)
    note = models.CharField(max_length=200, blank=True)

    class Meta:
        ordering = ("-number",)
        constraints = [
            models.UniqueConstraint(fields=["agent", "number"], name="agent_version_once"),
            models.CheckConstraint(condition=Q(number__gte=1), name="agent_version_from_one"),
        ]

    def __str__(self) -> str:
        return f"version {self.number}"

    def read(self) -> Definition:
        """The definition; ValueError, TypeError or KeyError if this is none that can be read."""
        image = json.loads(self.definition)
        if not isinstance(image, dict):
            raise TypeError("the image is no object")
        return Definition.of_image(image)


class AgentLink(models.Model):
    """Another agent that a declared one hands over to or calls as a tool.

    Links are part of the definition. The rows mirror what the agent's current version says, so that an agent
    that others need is not deleted, and so that cycles are found without reading every definition.
    """

    class Kind(models.TextChoices):
        """What the agent does with its target."""

        HANDOFF = HANDOFF, "Hand over to"
        AS_TOOL = AS_TOOL, "Call as a tool"

    agent = models.ForeignKey(Agent, on_delete=models.CASCADE, related_name="links")
    target = models.ForeignKey(
        Agent, on_delete=models.PROTECT, related_name="linked_by", verbose_name="agent"
    )
    kind = models.CharField(max_length=10, choices=Kind.choices, default=Kind.HANDOFF)
    tool_name = models.CharField(max_length=64, blank=True, help_text="What the model calls it.")
    description = models.CharField(
        max_length=MAX_DESCRIPTION, blank=True, help_text="Tells the model when to use it."
    )
    position = models.PositiveIntegerField(default=0)

    class Meta:
        ordering = ("position", "id")
        constraints = [
            models.UniqueConstraint(fields=["agent", "target", "kind"], name="agent_link_once"),
            models.CheckConstraint(condition=~Q(agent=F("target")), name="agent_link_not_to_itself"),
            models.CheckConstraint(condition=Q(kind__in=LINK_KINDS), name="agent_link_kind"),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.target_id}"
