"""Identity providers: whose signed tokens (JWT) stand for principals, and the keys that verify them."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator
from django.db import models

from gateway_project.core.ids import public_id, uuid7
from security_app.models.config import ConfigModel
from security_app.models.key import (
    SCOPES,
    UNUSABLE,
    default_scopes,
    validate_model_patterns,
    validate_scopes,
    validate_tool_patterns,
)
from security_app.models.people import Team

ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
MODES = [
    ("off", "Its tokens are not let in"),
    ("optional", "Its tokens are let in, and keys too"),
    ("permissive", "As optional; a bad token beside a good key is passed over"),
    ("strict", "Tokens are let in, and no keys"),
]
_MAX_LISTED = 50
_MAX_LEEWAY_S = 300
_MAX_STALE_HOURS = 24 * 30


def default_algorithms() -> list[str]:
    """What nearly every issuer signs with."""
    return ["RS256", "ES256"]


def validate_audiences(value: Any) -> None:
    """Audiences are a list of 1 to 50 texts: without one, tokens for other services would be let in here."""
    _validate_texts(value, "Give a list with at least one audience, such as agent-gateway.")


def validate_algorithms(value: Any) -> None:
    """Algorithms are a list of known ones; those with a shared secret are not among them."""
    _validate_texts(value, f"Give a list with some of: {', '.join(ALGORITHMS)}.", known=ALGORITHMS)


def validate_scope_map(value: Any) -> None:
    """What a token's scopes allow here: an object from theirs to ours."""
    is_map = isinstance(value, dict) and all(
        isinstance(name, str) and 0 < len(name) <= 200 and scope in SCOPES for name, scope in value.items()
    )
    if not is_map or len(value) > _MAX_LISTED:
        message = f"Give an object from a scope of tokens to one of: {', '.join(SCOPES)}."
        raise ValidationError(message, code=UNUSABLE)


def _validate_texts(value: Any, message: str, *, known: tuple[str, ...] = ()) -> None:
    is_list = isinstance(value, list) and 0 < len(value) <= _MAX_LISTED
    if not is_list or not all(isinstance(item, str) and item.strip() and len(item) <= 500 for item in value):
        raise ValidationError(message, code=UNUSABLE)
    if known and not set(value) <= {*known}:
        raise ValidationError(message, code=UNUSABLE)


def _mode(door: str, default: str) -> models.CharField[str, str]:
    return models.CharField(
        max_length=10, choices=MODES, default=default, help_text=f"At the doors for {door}."
    )


def _claim(help_text: str, default: str = "") -> models.CharField[str, str]:
    return models.CharField(max_length=200, blank=not default, default=default, help_text=help_text)


class IdentityProvider(ConfigModel):
    """An issuer whose tokens are principals: what a token must be, and what its claims say here."""

    config_section = "doors"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    name = models.CharField(max_length=100, unique=True)
    is_enabled = models.BooleanField("enabled", default=True)
    issuer = models.CharField(
        max_length=500, unique=True, help_text="What the claim 'iss' must be, to the letter."
    )
    audiences = models.JSONField(
        validators=[validate_audiences], help_text="One of them must be in 'aud': [\"agent-gateway\"]."
    )
    algorithms = models.JSONField(default=default_algorithms, validators=[validate_algorithms])
    leeway_s = models.PositiveSmallIntegerField(
        "leeway",
        default=30,
        validators=[MaxValueValidator(_MAX_LEEWAY_S)],
        help_text="Seconds that clocks may differ by.",
    )
    jwks_url = models.URLField(
        "JWKS address",
        max_length=500,
        blank=True,
        help_text="Where its public keys are; empty: where its discovery document says.",
    )
    jwks_text = models.TextField(
        "JWKS",
        blank=True,
        max_length=100_000,
        help_text='Public keys, if they are not to be fetched: {"keys": […]}.',
    )
    stale_hours = models.PositiveSmallIntegerField(
        "keys are good for",
        default=24,
        validators=[MaxValueValidator(_MAX_STALE_HOURS)],
        help_text="Hours that its last keys serve on while it can't be reached.",
    )
    inference_mode = _mode("models and agents", "optional")
    management_mode = _mode("the management API", "off")
    user_claim = _claim("The claim that is the user's id.", "sub")
    user_prefix = models.CharField(
        max_length=50, blank=True, help_text="Before each user's id, so that no other user is meant: acme:"
    )
    makes_users = models.BooleanField(
        "makes users", default=False, help_text="Users that are not known here are made; else refused."
    )
    max_users = models.PositiveIntegerField(
        "at most", default=1000, help_text="How many users may be made for its tokens."
    )
    team_claim = _claim("The claim that names the user's team; of a list, the first that is a team here.")
    default_team = models.ForeignKey(
        Team,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="identity_providers",
        help_text="The team of tokens that name none.",
    )
    organization_claim = _claim("The claim that names the organization; it must be that of the team.")
    groups_claim = _claim("The claim with names of access groups, which add to the allowed models and tools.")
    scope_claim = _claim("The claim with the token's scopes: scope, scp, roles.")
    scope_map = models.JSONField(
        default=dict,
        blank=True,
        validators=[validate_scope_map],
        help_text='What its scopes allow here: {"gateway.admin": "admin"}.',
    )
    scopes = models.JSONField(
        default=default_scopes, validators=[validate_scopes], help_text="What every good token may do."
    )
    allowed_models = models.JSONField(
        default=list,
        blank=True,
        validators=[validate_model_patterns],
        help_text="Model ids or patterns such as openai/*; empty allows every model.",
    )
    allowed_tools = models.JSONField(
        default=list,
        blank=True,
        validators=[validate_tool_patterns],
        help_text="Tools that agents may use: names or patterns such as crm_*; empty allows every tool.",
    )

    def check_restored(self, before: IdentityProvider) -> None:
        """Whom it is, and what its signatures are verified with, does not come back."""
        for name in ("issuer", "jwks_url", "jwks_text", "algorithms"):
            if getattr(self, name) != getattr(before, name):
                message = "It had another issuer or other keys then; change it in the form."
                raise ValidationError({name: message})

    class Meta:
        verbose_name = "identity provider"
        ordering = ("name",)

    def __str__(self) -> str:
        return self.name

    @property
    def public_id(self) -> str:
        """The id that the API shows: `idp_<hex>`."""
        return public_id("idp", self.id)


class IdentityKeySet(models.Model):
    """The public keys of a provider as they were fetched last, shared by all processes.

    No configuration: nobody edits it. Only other keys than before make the snapshot anew.
    """

    provider = models.OneToOneField(
        IdentityProvider, primary_key=True, on_delete=models.CASCADE, related_name="key_set"
    )
    # Where they came from: keys of another address are not those of this row.
    source = models.CharField(max_length=500)
    jwks = models.JSONField(default=dict)
    fetched_at = models.DateTimeField(null=True)
    tried_at = models.DateTimeField()
    failure = models.CharField(max_length=300, blank=True)

    class Meta:
        verbose_name = "key set"

    def __str__(self) -> str:
        return str(self.provider_id)
