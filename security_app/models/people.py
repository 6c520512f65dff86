"""Organisations, their teams, the people in them, and end users: whose key it is, and for whom it asks."""

from __future__ import annotations

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import models

from gateway_project.core.ids import public_id, uuid7
from security_app.models.config import ConfigModel
from security_app.models.key import (
    validate_metadata,
    validate_model_aliases,
    validate_model_patterns,
    validate_tool_patterns,
)

MAX_SUBJECT_ID = 200


def _models_field(whose: str) -> models.JSONField:
    return models.JSONField(
        "allowed models",
        default=list,
        blank=True,
        validators=[validate_model_patterns],
        help_text=f"What {whose} may use at most: model ids or patterns such as openai/*; empty narrows "
        "nothing.",
    )


def _metadata_field() -> models.JSONField:
    return models.JSONField(default=dict, blank=True, validators=[validate_metadata])


class Organization(ConfigModel):
    """A group of teams. Blocking it blocks every key of every team in it."""

    config_section = "people"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    name = models.CharField(max_length=200, unique=True)
    is_blocked = models.BooleanField(
        "blocked", default=False, help_text="Keys of all its teams are refused everywhere within two seconds."
    )
    allowed_models = _models_field("its teams")
    metadata = _metadata_field()

    class Meta:
        ordering = ("name",)

    def __str__(self) -> str:
        return self.name

    @property
    def public_id(self) -> str:
        """The id that the API shows: `org_<hex>`."""
        return public_id("org", self.id)


class Team(ConfigModel):
    """Who shares keys and what they may use. Blocking it blocks its keys.

    It is deleted by `security_app.services.teams`, which ends its keys first: a key must never outlive the
    team that narrows it.
    """

    config_section = "people"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    organization = models.ForeignKey(
        Organization, null=True, blank=True, on_delete=models.PROTECT, related_name="teams"
    )
    name = models.CharField(max_length=200, unique=True)
    is_blocked = models.BooleanField(
        "blocked", default=False, help_text="Its keys are refused everywhere within two seconds."
    )
    allowed_models = _models_field("its keys")
    allowed_tools = models.JSONField(
        "allowed tools",
        default=list,
        blank=True,
        validators=[validate_tool_patterns],
        help_text="Tools that agents may use for its keys at most: names or patterns such as crm_*; empty "
        "narrows nothing.",
    )
    model_aliases = models.JSONField(
        "names for models",
        default=dict,
        blank=True,
        validators=[validate_model_aliases],
        help_text="Models by the names that requests of its keys give them; a key's own names come first.",
    )
    metadata = _metadata_field()

    class Meta:
        ordering = ("name",)

    def __str__(self) -> str:
        return self.name

    @property
    def public_id(self) -> str:
        """The id that the API shows: `team_<hex>`."""
        return public_id("team", self.id)


class GatewayUser(ConfigModel):
    """A person or system that owns keys, by the text id that keys and reports name it by.

    It need not be able to sign in: `account` is its sign-in to this admin, if there is one.
    """

    config_section = "people"

    class Role(models.TextChoices):
        """LiteLLM's words; rules may read them, by themselves they allow nothing."""

        PROXY_ADMIN = "proxy_admin", "Administrator"
        PROXY_ADMIN_VIEWER = "proxy_admin_viewer", "Administrator, reads only"
        INTERNAL_USER = "internal_user", "User"
        INTERNAL_USER_VIEWER = "internal_user_viewer", "User, reads only"

    user_id = models.CharField(
        "user id", max_length=MAX_SUBJECT_ID, unique=True, help_text="As keys name their owner."
    )
    email = models.EmailField("email", max_length=254, blank=True, db_index=True)
    name = models.CharField(max_length=200, blank=True)
    is_blocked = models.BooleanField(
        "blocked", default=False, help_text="The user's keys are refused everywhere within two seconds."
    )
    allowed_models = _models_field("the user's keys")
    role = models.CharField(max_length=30, choices=Role.choices, default=Role.INTERNAL_USER)
    account = models.OneToOneField(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="gateway_user",
        help_text="Who this is among those who sign in here.",
    )
    metadata = _metadata_field()

    class Meta:
        verbose_name = "user"
        ordering = ("user_id",)

    def __str__(self) -> str:
        return self.name or self.user_id


class Membership(ConfigModel):
    """A user in a team."""

    config_section = "people"

    class Role(models.TextChoices):
        """What a member may do in the team."""

        MEMBER = "member", "Member"
        ADMIN = "admin", "Team admin"

    user = models.ForeignKey(GatewayUser, on_delete=models.CASCADE, related_name="memberships")
    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=10, choices=Role.choices, default=Role.MEMBER)

    class Meta:
        ordering = ("id",)
        constraints = [models.UniqueConstraint(fields=["user", "team"], name="membership_once")]

    def __str__(self) -> str:
        return f"{self.user} in {self.team}"


class EndUser(ConfigModel):
    """Whom a client serves with one key: the `user` of a request, or what a trusted header says.

    Requests of unknown end users are served, and counted by their id; a row is what blocks or narrows one.
    """

    config_section = "people"

    end_user_id = models.CharField("end user id", max_length=MAX_SUBJECT_ID, unique=True)
    name = models.CharField(max_length=200, blank=True)
    is_blocked = models.BooleanField(
        "blocked", default=False, help_text="Requests for this end user are refused within two seconds."
    )
    allowed_models = _models_field("requests for this end user")
    metadata = _metadata_field()

    class Meta:
        verbose_name = "end user"
        ordering = ("end_user_id",)

    def __str__(self) -> str:
        return self.name or self.end_user_id


class TokenIssuer(ConfigModel):
    """Who signs the tokens that tell a key's end user: by a shared secret, or by keys at an address.

    The keys are fetched in the background and kept here; nothing is fetched while a request waits.
    """

    config_section = "people"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    name = models.CharField(max_length=200, unique=True)
    issuer = models.CharField(
        max_length=500, blank=True, help_text="What the claim 'iss' must be; empty: it is not looked at."
    )
    audience = models.CharField(
        max_length=500, blank=True, help_text="What the claim 'aud' must hold; empty: a token must have none."
    )
    header = models.CharField(
        max_length=100,
        default="x-openwebui-user-jwt",
        help_text="The request header that carries the token.",
    )
    claim = models.CharField(
        max_length=100, default="sub", help_text="The claim that is the end user's id: sub, email, …"
    )
    secret_sealed = models.TextField(blank=True, default="", editable=False, max_length=8192)
    jwks_url = models.URLField(
        "JWKS address", max_length=500, blank=True, help_text="Where the issuer's public keys are."
    )
    jwks = models.JSONField(default=dict, blank=True, editable=False)
    jwks_fetched_at = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta:
        verbose_name = "token issuer"
        ordering = ("name",)

    def __str__(self) -> str:
        return self.name

    def check_restored(self, before: TokenIssuer) -> None:
        """What signatures are verified with does not come back: neither a secret nor public keys."""
        if self.jwks_url != before.jwks_url:
            message = "It had another proof then; change it in the form, with its secret or address."
            raise ValidationError({"jwks_url": message})

    @property
    def public_id(self) -> str:
        """The id that the API shows: `issuer_<hex>`."""
        return public_id("issuer", self.id)
