"""External authorizers: services that are asked after the gateway itself has allowed something."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models

from gateway_project.core.ids import public_id, uuid7
from security_app.models.config import ConfigModel
from security_app.models.key import UNUSABLE
from security_app.models.limits import WhenUnavailable
from security_app.models.secret import seal, sealed_column, unseal

SEALED_LABEL = "authorizer"
MIN_SECRET_CHARS = 32
# What is asked about: each request at the doors, each use of a model or agent, each call of a tool.
ASKED_ABOUT = ("inference", "management", "models", "tools")
SENT = (
    "key",
    "user",
    "team",
    "organization",
    "end_user",
    "scopes",
    "claims",
    "ip",
    "method",
    "path",
    "agent",
)
_NOT_AT_FIRST = ("claims",)


def default_asked_about() -> list[str]:
    """What costs most."""
    return ["models", "tools"]


def default_sends() -> list[str]:
    """Whatever helps to decide, but for what a token claims."""
    return [name for name in SENT if name not in _NOT_AT_FIRST]


def validate_asked_about(value: Any) -> None:
    """What is asked about is a list of known words."""
    _validate_words(value, ASKED_ABOUT, may_be_empty=False)


def validate_sends(value: Any) -> None:
    """What is sent is a list of known words."""
    _validate_words(value, SENT, may_be_empty=True)


def _validate_words(value: Any, known: tuple[str, ...], *, may_be_empty: bool) -> None:
    is_list = isinstance(value, list) and all(isinstance(item, str) and item in known for item in value)
    if not is_list or len(set(value)) != len(value) or not (value or may_be_empty):
        raise ValidationError(f"Give a list with some of: {', '.join(known)}.", code=UNUSABLE)


class ExternalAuthorizer(ConfigModel):
    """Where to ask, about what, and what becomes of requests while it can't be asked."""

    config_section = "doors"
    can_be_recreated = False

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    name = models.CharField(max_length=100, unique=True)
    is_enabled = models.BooleanField("enabled", default=True)
    url = models.URLField("address", max_length=500, help_text="Questions go there by POST.")
    secret_sealed = sealed_column()
    asked_about = models.JSONField(default=default_asked_about, validators=[validate_asked_about])
    sends = models.JSONField(default=default_sends, blank=True, validators=[validate_sends])
    timeout_ms = models.PositiveIntegerField(
        "timeout",
        default=1000,
        validators=[MinValueValidator(50), MaxValueValidator(10_000)],
        help_text="Milliseconds for an answer, connecting included.",
    )
    when_unavailable = models.CharField(
        max_length=6,
        choices=WhenUnavailable.choices,
        default=WhenUnavailable.CLOSED,
        help_text="What happens to requests while it can't be asked.",
    )
    cache_s = models.PositiveIntegerField(
        "answers are good for",
        default=10,
        validators=[MaxValueValidator(3600)],
        help_text="Seconds for which an answer serves again for the same question; 0 asks each time.",
    )

    class Meta:
        verbose_name = "external authorizer"
        ordering = ("name",)

    def __str__(self) -> str:
        return self.name

    @property
    def public_id(self) -> str:
        """The id that the API shows: `authorizer_<hex>`."""
        return public_id("authorizer", self.id)

    def set_secret(self, secret: str) -> None:
        """Keep what questions are signed with, encrypted."""
        self.secret_sealed = seal(secret, label=SEALED_LABEL, row_id=self.pk)

    def get_secret(self) -> str:
        """What questions are signed with; raises `crypto.DecryptionError` if it can't be read."""
        return unseal(self.secret_sealed, label=SEALED_LABEL, row_id=self.pk)

    def check_restored(self, before: ExternalAuthorizer) -> None:
        """The secret was given for the address of now."""
        if self.url != before.url:
            raise ValidationError({"url": "It had another address then; change it in the form."})
