"""Access rules and groups: what is allowed or denied beyond the lists of keys, teams and users."""

from __future__ import annotations

import re
from collections.abc import Iterable
from ipaddress import ip_network
from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator
from django.db import models
from django.db.models import Q

from gateway_project.core.ids import public_id, uuid7
from security_app.models.conditions import validate_condition
from security_app.models.config import ConfigModel
from security_app.models.key import UNUSABLE

# What stands for all of an upstream's API, among the ids of models.
PASSTHROUGH = "passthrough/"
GROUP_PREFIX = "group:"
OVERRIDE = "override"
SUBJECT_KINDS = ("key", "team", "organization", "user", "end_user")
GROUPED_KINDS = ("model", "agent", "tool")
OBJECT_KINDS = (*GROUPED_KINDS, "route", "ip")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_HEX_ID = re.compile(r"[0-9a-f]{32}")
_SUBJECT_CHOICES = [("", "everybody"), *((kind, kind.replace("_", " ")) for kind in SUBJECT_KINDS)]
_OBJECT_CHOICES = [(kind, "address" if kind == "ip" else kind) for kind in OBJECT_KINDS]


def validate_patterns(value: Any) -> None:
    """Members of a group are at most 500 ids or globs."""
    if not isinstance(value, list) or any(not isinstance(item, str) or not item.strip() for item in value):
        raise ValidationError("Give a list of ids or patterns such as openai/*.", code=UNUSABLE)
    if len(value) > 500 or any(len(item) > 200 for item in value):
        raise ValidationError("At most 500 patterns of 200 characters.", code=UNUSABLE)
    if any(item.startswith(GROUP_PREFIX) for item in value):
        raise ValidationError("A group can't hold another group.", code=UNUSABLE)


class AccessGroup(ConfigModel):
    """Models, agents and tools under one name, for rules and for the lists of keys: `group:<name>`."""

    config_section = "rules"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    name = models.CharField(
        max_length=100,
        unique=True,
        validators=[
            RegexValidator(r"\A" + _NAME.pattern + r"\Z", "Use letters, digits, dots, dashes, underscores.")
        ],
        help_text="Rules and lists of models say group:<name>.",
    )
    description = models.CharField(max_length=500, blank=True)
    model_patterns = models.JSONField(
        "models",
        default=list,
        blank=True,
        validators=[validate_patterns],
        help_text="Model ids or patterns such as openai/*.",
    )
    agent_patterns = models.JSONField(
        "agents",
        default=list,
        blank=True,
        validators=[validate_patterns],
        help_text="Agents' ids or patterns such as desk/*.",
    )
    tool_patterns = models.JSONField(
        "tools",
        default=list,
        blank=True,
        validators=[validate_patterns],
        help_text="Names of tools or patterns such as crm_*.",
    )

    class Meta:
        verbose_name = "access group"
        ordering = ("name",)

    def __str__(self) -> str:
        return self.name

    @property
    def public_id(self) -> str:
        """The id that the API shows."""
        return public_id("group", self.id)


class AccessRule(ConfigModel):
    """Allows or denies objects of one kind to one subject, or to everybody.

    A grant (`origin` is override) allows what lists and rules leave out, until a moment; it lifts no denial.
    """

    config_section = "rules"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    name = models.CharField(max_length=200, help_text="Shown where the rule decides.")
    subject_kind = models.CharField("for", max_length=20, blank=True, choices=_SUBJECT_CHOICES)
    subject_id = models.CharField(
        "whose",
        max_length=200,
        blank=True,
        help_text="A user's or end user's id; for a key, team or organization the 32 hexadecimal digits of "
        "its id. Empty for everybody.",
    )
    object_kind = models.CharField("kind", max_length=10, choices=_OBJECT_CHOICES)
    pattern = models.CharField(
        max_length=200,
        help_text="An id, a pattern such as openai/*, or group:<name>. Routes are paths such as "
        "/v1/embeddings; addresses are like 10.0.0.0/8.",
    )
    effect = models.CharField(max_length=5, choices=[("allow", "allow"), ("deny", "deny")])
    condition = models.CharField(
        max_length=500,
        blank=True,
        validators=[validate_condition],
        help_text="A CEL expression, such as now.getHours() < 18. What fails denies. Empty: always.",
    )
    valid_from = models.DateTimeField(null=True, blank=True, help_text="UTC; empty: from now on.")
    valid_until = models.DateTimeField(null=True, blank=True, help_text="UTC; empty: for good.")
    is_enabled = models.BooleanField("enabled", default=True)
    note = models.CharField(max_length=1000, blank=True, help_text="Why it is there.")
    origin = models.CharField(
        max_length=10,
        blank=True,
        editable=False,
        choices=[("", "rule"), (OVERRIDE, "temporary grant")],
    )
    created_by = models.CharField(max_length=200, blank=True, editable=False)

    class Meta:
        verbose_name = "access rule"
        ordering = ("-id",)
        constraints = [
            models.CheckConstraint(
                condition=Q(subject_kind="", subject_id="") | ~Q(subject_kind="") & ~Q(subject_id=""),
                name="access_rule_subject",
            ),
            models.CheckConstraint(
                condition=~Q(origin=OVERRIDE)
                | Q(effect="allow", valid_until__isnull=False) & ~Q(note="") & ~Q(subject_kind=""),
                name="access_rule_grant_ends",
            ),
        ]
        indexes = [models.Index(fields=["subject_kind", "subject_id"], name="access_rule_subject_idx")]

    def __str__(self) -> str:
        return self.name

    @property
    def public_id(self) -> str:
        """The id that the API shows: `rule_<hex>`."""
        return public_id("rule", self.id)

    def clean(self) -> None:
        """ValidationError, by field, for what does not go together."""
        errors = dict(_wrong_fields(self))
        if errors:
            raise ValidationError(errors)


def _wrong_fields(rule: AccessRule) -> Iterable[tuple[str, str]]:
    if not rule.subject_kind and rule.subject_id:
        yield "subject_id", "A rule for everybody names nobody."
    elif rule.subject_kind and not rule.subject_id:
        yield "subject_id", "Say whom the rule is for."
    elif rule.subject_kind in ("key", "team", "organization") and not _HEX_ID.fullmatch(rule.subject_id):
        yield "subject_id", "Give the 32 hexadecimal digits of its id."
    problem = pattern_problem(rule.object_kind, rule.pattern)
    if problem:
        yield "pattern", problem
    if "arguments" in rule.condition and rule.object_kind != "tool":
        yield "condition", "Only calls of tools have arguments."
    if rule.valid_from and rule.valid_until and rule.valid_from >= rule.valid_until:
        yield "valid_until", "It must end after it begins."
    if rule.origin == OVERRIDE:
        if rule.valid_until is None:
            yield "valid_until", "A temporary grant needs an end."
        if not rule.note.strip():
            yield "note", "A temporary grant needs a reason."
        if not rule.subject_kind:
            yield "subject_kind", "A temporary grant is for somebody, not for everybody."


def pattern_problem(kind: str, pattern: str) -> str:
    """What is wrong with a rule's pattern, "" if nothing is. Asks the database for groups."""
    if kind == "ip":
        try:
            ip_network("0.0.0.0/0" if pattern == "*" else pattern)
        except ValueError:
            return "Give an address or a network such as 10.0.0.0/8, or * for all."
    elif kind == "route" and not pattern.startswith(("/", "*")):
        return "A route is a path such as /v1/embeddings, or a pattern such as /v1/*."
    elif pattern.startswith(GROUP_PREFIX):
        if kind not in GROUPED_KINDS:
            return "Groups hold models, agents and tools."
        name = pattern.removeprefix(GROUP_PREFIX)
        if not AccessGroup.objects.filter(name=name).exists():
            return f"There is no access group '{name[:100]}'."
    return ""
