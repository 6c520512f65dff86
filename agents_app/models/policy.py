"""What drop-ins of a namespace may do: rules for their source, and where new ones run."""

from __future__ import annotations

import re
from typing import ClassVar

from django.core.exceptions import ValidationError
from django.db import models

from agents_app.entry import IN_PROCESS
from agents_app.folders import is_slug
from agents_app.models.agent import FOLDERS_SECTION, Agent
from agents_app.policy import EVERYWHERE, RESTRICTED, TRUSTED, Policy
from gateway_project.core.ids import uuid7
from security_app.models import ConfigModel

_MODULE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", re.ASCII)
_MAX_MODULES = 200


def validate_namespace(value: str) -> None:
    """A namespace as ids have it, or `*` for all that have no rules of their own."""
    if value != EVERYWHERE and not is_slug(value):
        raise ValidationError("Give a namespace such as 'sales', or * for all without rules of their own.")


def validate_modules(value: str) -> None:
    """Names of modules with spaces or line ends between them."""
    names = value.split()
    if len(names) > _MAX_MODULES:
        raise ValidationError(f"Give at most {_MAX_MODULES} modules.")
    for name in names:
        if not _MODULE.fullmatch(name):
            raise ValidationError(f"'{name[:100]}' is no name of a module.")


class DropInPolicy(ConfigModel):
    """The rules of one namespace; the one of the folder counts, not what its code says."""

    class Mode(models.TextChoices):
        """What is checked."""

        TRUSTED = TRUSTED, "Trusted: all but the server's own parts"
        RESTRICTED = RESTRICTED, "Restricted: only listed modules, no inner names of Python"

    config_section: ClassVar[str] = FOLDERS_SECTION

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    namespace = models.CharField(
        max_length=99,
        unique=True,
        validators=[validate_namespace],
        help_text="The folder below a discovery root; default for agents right in it, * for all others.",
    )
    mode = models.CharField(max_length=10, choices=Mode.choices, default=Mode.TRUSTED)
    allowed_modules = models.TextField(
        blank=True,
        max_length=10_000,
        validators=[validate_modules],
        help_text="Modules beyond those of the mode, one a line; agents.ShellTool allows that tool.",
    )
    denied_modules = models.TextField(
        blank=True,
        max_length=10_000,
        validators=[validate_modules],
        help_text="Modules that may not be imported, one a line; they beat those that are allowed.",
    )
    isolation = models.CharField(
        max_length=10,
        choices=Agent.Isolation.choices,
        default=IN_PROCESS,
        help_text="Where the code of its agents runs, and what new agents get. “In a process of its own” is "
        "for all agents of the namespace; else each agent can say so.",
    )

    class Meta:
        ordering = ["namespace"]
        verbose_name = "drop-in policy"
        verbose_name_plural = "drop-in policies"

    def __str__(self) -> str:
        return self.namespace

    def rules(self) -> Policy:
        """The row as the check takes it."""
        allowed, denied = frozenset(self.allowed_modules.split()), frozenset(self.denied_modules.split())
        return Policy(self.mode, allowed, denied, self.isolation)
