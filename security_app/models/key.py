"""API keys: what a client shows at the door. Only a digest is stored."""

from __future__ import annotations

import re
from datetime import datetime
from ipaddress import ip_network
from typing import Any, ClassVar

from django.core.exceptions import ValidationError
from django.db import models

from gateway_project.core.clock import utc_now
from gateway_project.core.ids import public_id, uuid7
from security_app.models.config import ConfigModel, ConfigQuerySet
from security_app.models.secret import sealed_column

SCOPES = ("inference", "admin", "metrics", "team")
# LiteLLM's names for groups of routes, and the scope that each door of the group asks for.
ROUTE_GROUPS = ("llm_api_routes", "management_routes", "info_routes")
TRUST_CHOICES = [
    ("off", "Only the request's own 'user' field"),
    ("header", "What request headers say"),
    ("jwt", "What a signed token says"),
]
# Not "invalid": a JSONField puts its own message in place of one with that code.
UNUSABLE = "unusable"
# The section of the snapshot that holds the versions of agents that keys are pinned to.
PINS_SECTION = "agents"
MAX_PINS = 50
MAX_ALIASES = 50
_MAX_MODEL_CHARS = 264
_MAX_VERSION = 2**31 - 1
_AGENT_ID = re.compile(r"[a-z0-9_-]{1,99}/[a-z0-9_-]{1,99}")


def default_scopes() -> list[str]:
    """A new key may call models and nothing else."""
    return ["inference"]


def validate_scopes(value: Any) -> None:
    """Scopes are a list of known words, without repetition."""
    if not isinstance(value, list) or not value or any(scope not in SCOPES for scope in value):
        raise ValidationError(f"Give a list with some of: {', '.join(SCOPES)}.", code=UNUSABLE)
    if len(set(value)) != len(value):
        raise ValidationError("A scope is named twice.", code=UNUSABLE)


def validate_model_patterns(value: Any) -> None:
    """Allowed models are a list of at most 200 ids or globs such as `openai/*`."""
    if not isinstance(value, list) or any(not isinstance(item, str) or not item.strip() for item in value):
        raise ValidationError("Give a list of model ids or patterns such as openai/*.", code=UNUSABLE)
    if len(value) > 200 or any(len(item) > 200 for item in value):
        raise ValidationError("At most 200 patterns of 200 characters.", code=UNUSABLE)


def validate_tool_patterns(value: Any) -> None:
    """Allowed tools are a list of at most 200 names or globs such as `crm_*`."""
    if not isinstance(value, list) or any(not isinstance(item, str) or not item.strip() for item in value):
        raise ValidationError("Give a list of names of tools or patterns such as crm_*.", code=UNUSABLE)
    if len(value) > 200 or any(len(item) > 200 for item in value):
        raise ValidationError("At most 200 patterns of 200 characters.", code=UNUSABLE)


def validate_agent_versions(value: Any) -> None:
    """Pins are a JSON object of at most 50 agents' ids with the number of a version each.

    Whether there is such an agent and such a version is for those to say who run it: both may come and go.
    """
    if not isinstance(value, dict) or not all(map(_is_pin, value.items())):
        raise ValidationError('Give a JSON object such as {"desk/billing": 3}.', code=UNUSABLE)
    if len(value) > MAX_PINS:
        raise ValidationError(f"At most {MAX_PINS} agents.", code=UNUSABLE)


def _is_pin(pin: tuple[Any, Any]) -> bool:
    agent_id, number = pin
    # In Python true is a number, too.
    return bool(_AGENT_ID.fullmatch(agent_id)) and type(number) is int and 1 <= number <= _MAX_VERSION


def validate_model_aliases(value: Any) -> None:
    """Names for models are a JSON object of at most 50 names with a model's id each.

    Whether there is such a model, and who may use it, is asked when a request comes.
    """
    if not isinstance(value, dict) or not all(map(_is_alias, value.items())):
        raise ValidationError('Give a JSON object such as {"gpt-4": "openai/gpt-4.1"}.', code=UNUSABLE)
    if len(value) > MAX_ALIASES:
        raise ValidationError(f"At most {MAX_ALIASES} names.", code=UNUSABLE)


def _is_alias(item: tuple[Any, Any]) -> bool:
    return all(
        isinstance(text, str)
        and 0 < len(text) <= _MAX_MODEL_CHARS
        and text == text.strip()
        and text.isprintable()
        for text in item
    )


def validate_networks(value: Any) -> None:
    """Addresses are a list of at most 100 IP addresses or networks in CIDR notation."""
    try:
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise ValueError("no list")
        for item in value:
            ip_network(item)
    except ValueError as error:
        raise ValidationError("Give a list of addresses or networks such as 10.0.0.0/8.", UNUSABLE) from error
    if len(value) > 100:
        raise ValidationError("At most 100 networks.", code=UNUSABLE)


def validate_routes(value: Any) -> None:
    """Routes are a list of at most 100 paths, paths that end in `*`, or names of groups of routes."""
    if not isinstance(value, list) or not all(isinstance(item, str) and _is_route(item) for item in value):
        raise ValidationError(
            f"Give a list of paths such as /v1/chat/completions or /v1/*, or of: {', '.join(ROUTE_GROUPS)}.",
            code=UNUSABLE,
        )
    if len(value) > 100:
        raise ValidationError("At most 100 routes.", code=UNUSABLE)


def _is_route(item: str) -> bool:
    return item in ROUTE_GROUPS or (item.startswith("/") and len(item) <= 200 and "*" not in item[:-1])


def validate_metadata(value: Any) -> None:
    """Metadata is one small JSON object."""
    if not isinstance(value, dict):
        raise ValidationError("Give a JSON object.", code=UNUSABLE)


class ApiKeyQuerySet(ConfigQuerySet["ApiKey"]):
    """Keys, which a deletion turns into tombstones: a row that is gone could tell no process of its end."""

    def delete(self) -> tuple[int, dict[str, int]]:
        """End the living keys among these for good."""
        now = utc_now()
        count = self.filter(deleted_at=None).update(deleted_at=now, updated_at=now)
        return count, {self.model._meta.label: count} if count else {}

    # As Django's own: `objects` itself has no `delete`.
    delete.queryset_only = True  # type: ignore[attr-defined]


ApiKeyManager = models.Manager.from_queryset(ApiKeyQuerySet)


class ApiKey(ConfigModel):
    """A client's key. `digest` is HMAC-SHA-256(pepper, SHA-256(key)); the key itself is shown once.

    Deleted keys stay as tombstones, so that every process learns of the deletion and reports keep a name.
    """

    config_section = "security"
    can_be_recreated = False

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    name = models.CharField(
        "name",
        max_length=200,
        blank=True,
        help_text="What or whom this key is for; shown in lists and reports.",
    )
    hint = models.CharField(max_length=32, editable=False, help_text="First and last characters of the key.")
    digest = models.BinaryField(max_length=32, unique=True, editable=False)
    pepper_id = models.CharField(max_length=32, editable=False)
    scopes = models.JSONField(
        default=default_scopes,
        validators=[validate_scopes],
        help_text="inference: call models. admin: manage the gateway over HTTP. metrics: read metrics. "
        "team: manage the teams that its user is an admin of.",
    )
    allowed_models = models.JSONField(
        "allowed models",
        default=list,
        blank=True,
        validators=[validate_model_patterns],
        help_text="Model ids or patterns such as openai/*; empty allows every model.",
    )
    allowed_tools = models.JSONField(
        "allowed tools",
        default=list,
        blank=True,
        validators=[validate_tool_patterns],
        help_text="Tools that agents may use for this key: names or patterns such as crm_*; empty allows "
        "every tool.",
    )
    agent_versions = models.JSONField(
        "versions of agents",
        default=dict,
        blank=True,
        validators=[validate_agent_versions],
        help_text="The version that a declared agent has for this key, by the agent's id; others are as they "
        "are now.",
    )
    model_aliases = models.JSONField(
        "names for models",
        default=dict,
        blank=True,
        validators=[validate_model_aliases],
        help_text='Models by the names that its requests give them, such as {"gpt-4": "openai/gpt-4.1"}; '
        "what the key may use stays as it is.",
    )
    expires_at = models.DateTimeField("expires", null=True, blank=True, help_text="UTC; empty means never.")
    is_blocked = models.BooleanField(
        "blocked", default=False, help_text="A blocked key is refused everywhere within two seconds."
    )
    user_id = models.CharField(
        "user id",
        max_length=200,
        blank=True,
        help_text="Your own id of the person or system that owns the key.",
    )
    team = models.ForeignKey(
        "security_app.Team",
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="keys",
        help_text="What the team may not do, its keys may not either; its limits and budgets count them all.",
    )
    is_service_account = models.BooleanField(
        "service account", default=False, help_text="The key is of the team itself and of no person."
    )
    allowed_ips = models.JSONField(
        "allowed addresses",
        default=list,
        blank=True,
        validators=[validate_networks],
        help_text="Addresses or networks such as 10.0.0.0/8 that the key may be used from; empty: from "
        "anywhere.",
    )
    allowed_routes = models.JSONField(
        "allowed routes",
        default=list,
        blank=True,
        validators=[validate_routes],
        help_text="Paths that the key may be used for, such as /v1/chat/completions, /v1/* or a group: "
        "llm_api_routes, management_routes, info_routes; empty: all that its scopes allow.",
    )
    trusts_end_user = models.CharField(
        "end users",
        max_length=10,
        choices=TRUST_CHOICES,
        default="off",
        help_text="Whether to believe what a request says of whom it is for.",
    )
    token_issuer = models.ForeignKey(
        "security_app.TokenIssuer",
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="keys",
        help_text="Who signs the tokens that tell the end user.",
    )
    previous_digest = models.BinaryField(max_length=32, null=True, editable=False)
    previous_until = models.DateTimeField(null=True, blank=True, editable=False)
    rotated_at = models.DateTimeField(null=True, blank=True, editable=False)
    rotation_interval_s = models.PositiveBigIntegerField(null=True, blank=True, editable=False)
    next_rotation_at = models.DateTimeField(null=True, blank=True, editable=False)
    # What a scheduled rotation made, until somebody fetches it, once.
    new_secret_sealed = sealed_column()
    metadata = models.JSONField(default=dict, blank=True, validators=[validate_metadata])
    created_by = models.CharField(max_length=200, blank=True, editable=False)
    deleted_at = models.DateTimeField(null=True, blank=True, editable=False)

    objects: ClassVar[models.Manager[ApiKey]] = ApiKeyManager()

    class Meta:
        verbose_name = "API key"
        verbose_name_plural = "API keys"
        ordering = ("-id",)
        indexes = [
            models.Index(fields=["name"], name="apikey_name"),
            models.Index(fields=["user_id"], name="apikey_user"),
            models.Index(fields=["previous_digest"], name="apikey_previous"),
            models.Index(fields=["next_rotation_at"], name="apikey_next_rotation"),
        ]

    def __str__(self) -> str:
        return self.name or self.hint

    def check_restored(self, before: ApiKey) -> None:
        """A deleted key has ended for good."""
        if before.deleted_at is not None:
            raise ValidationError("A deleted key stays deleted; make a new one.")

    def delete(self, *_args: Any, **_kwargs: Any) -> tuple[int, dict[str, int]]:
        """End the key for good; the row stays as a tombstone."""
        deleted = ApiKey.objects.filter(pk=self.pk).delete()
        if deleted[0]:
            self.refresh_from_db(fields=["deleted_at", "updated_at", "changed_version"])
        return deleted

    @property
    def public_id(self) -> str:
        """The id that the API shows: `key_<hex>`."""
        return public_id("key", self.id)

    def status(self, now: datetime | None = None) -> str:
        """deleted, blocked, expired or active, in this order of precedence."""
        if self.deleted_at is not None:
            return "deleted"
        if self.is_blocked:
            return "blocked"
        if self.expires_at is not None and self.expires_at <= (now or utc_now()):
            return "expired"
        return "active"
