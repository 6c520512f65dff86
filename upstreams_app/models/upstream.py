"""Upstreams: where models are served, how to reach them and with which credential."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models
from django.db.models import TextChoices

from gateway_project.core.environment import check_secret_file, check_variable
from gateway_project.core.ids import public_id, uuid7
from security_app.models import ConfigModel
from security_app.models.access import PASSTHROUGH
from security_app.models.key import UNUSABLE
from security_app.models.secret import seal, sealed_column, unseal
from upstreams_app.kinds import AZURE, KINDS, Kind
from upstreams_app.options import WrongOption, check_options
from upstreams_app.providers import provider_of
from upstreams_app.providers.azure.options import check_azure_options
from upstreams_app.secret_hints import MASK

validate_name = RegexValidator(
    r"^[a-z0-9][a-z0-9._-]{0,62}\Z",
    "Use 1–63 lower-case letters, digits, dots, hyphens or underscores, starting with a letter or digit.",
)
validate_api_version = RegexValidator(
    r"^\d{4}-\d{2}-\d{2}(-preview)?\Z", "Give a date, such as 2024-10-21 or 2025-04-01-preview."
)
_FORBIDDEN_HEADERS = {
    "authorization",
    "api-key",
    "x-api-key",
    "cookie",
    "host",
    "content-length",
    "connection",
    "transfer-encoding",
    "expect",
    "upgrade",
}


def validate_headers(value: Any) -> None:
    """Extra headers are a JSON object of texts; credentials have their own encrypted field."""
    if not isinstance(value, dict) or any(not isinstance(item, str) for item in value.values()):
        raise ValidationError("Give a JSON object of header names and texts.", code=UNUSABLE)
    for name, text in value.items():
        if name.lower() in _FORBIDDEN_HEADERS:
            raise ValidationError(f"Header {name} can't be set here; use the credential.", code=UNUSABLE)
        if (
            not name.isascii()
            or not name.replace("-", "").replace("_", "").isalnum()
            or not text.isprintable()
        ):
            raise ValidationError(f"Header {name!r} has characters that HTTP does not allow.", code=UNUSABLE)
        if text.startswith(MASK):
            raise ValidationError(f"Header {name} has a masked value; give the whole value.", code=UNUSABLE)


def validate_endpoints(value: Any) -> None:
    """More base URLs of the same service: a list of at most 16 http(s) URLs."""
    if not isinstance(value, list) or len(value) > 16:
        raise ValidationError("Give a list of at most 16 URLs.", code=UNUSABLE)
    if any(not isinstance(url, str) or not url.startswith(("http://", "https://")) for url in value):
        raise ValidationError("Each endpoint must be an http:// or https:// URL.", code=UNUSABLE)


def fingerprints(credential: str) -> list[str]:
    """HMACs of a credential under each pepper, the current one first: they tell equality without the text."""
    text = b"upstream credential:" + credential.encode()
    return [hmac.new(pepper.secret, text, "sha256").hexdigest() for pepper in settings.GATEWAY_KEY_PEPPERS]


def validate_reference(value: str) -> None:
    """`env:NAME` or `file:/path`, but neither the gateway's own secrets nor those of others."""
    scheme, _, rest = value.partition(":")
    try:
        if scheme == "env":
            check_variable(rest, prefixes=settings.SECRET_ENV_PREFIXES)
        elif scheme == "file":
            check_secret_file(Path(rest))
        else:
            raise ValueError("Give env:NAME or file:/path.")
    except ValueError as error:
        raise ValidationError(str(error), code=UNUSABLE) from error


def check_kind_options(kind: Kind, options: Mapping[str, Any]) -> None:
    """WrongOption unless an upstream of this kind can have these options."""
    provider = provider_of(kind.id)
    if kind.id == AZURE:
        check_azure_options(options)
    elif provider is None:
        check_options(kind.label, kind.options, options)
    else:
        provider.check_options(options)


def _timeout(default: float, verbose_name: str, help_text: str) -> models.FloatField[Any, Any]:
    bounds = [MinValueValidator(0.05), MaxValueValidator(86_400)]
    return models.FloatField(verbose_name, default=default, validators=bounds, help_text=help_text)


# Where calls go, and what they are authorised by.
_BOUND = (
    "kind",
    "base_url",
    "path_prefix",
    "options",
    "extra_endpoints",
    "tls_server_name",
    "ca_bundle",
    "credential_source",
    "credential_reference",
)


class Upstream(ConfigModel):
    """One service that serves models. Secrets are sealed; references are read when the snapshot is built."""

    config_section = "upstreams"
    audit_masked = ("headers",)

    class CredentialSource(TextChoices):
        """Where the credential comes from."""

        NONE = "none", "None"
        STORED = "stored", "Stored here, encrypted"
        REFERENCE = "reference", "Environment variable or file"
        CLIENT = "client", "The client's own (header x-upstream-api-key)"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    name = models.CharField(
        max_length=63,
        unique=True,
        validators=[validate_name],
        help_text="The first part of its model ids: name/model. Lower case, no slash.",
    )
    kind = models.CharField(max_length=32, choices=[(kind.id, kind.label) for kind in KINDS.values()])
    base_url = models.CharField(
        "base URL",
        max_length=500,
        blank=True,
        help_text="Scheme, host and port, for example https://api.openai.com; empty for the demo.",
    )
    path_prefix = models.CharField(
        max_length=200,
        blank=True,
        default="/v1",
        help_text="What stands before /chat/completions; usually /v1.",
    )
    api_version = models.CharField(
        "API version",
        max_length=32,
        blank=True,
        validators=[validate_api_version],
        help_text="Azure OpenAI only: calls go to deployment paths with this version, such as 2024-10-21; "
        "empty means the v1 API, which needs none.",
    )
    options = models.JSONField(
        default=dict,
        blank=True,
        help_text="What the kind needs besides, as a JSON object, such as a region; no secrets.",
    )
    extra_endpoints = models.JSONField(
        default=list,
        blank=True,
        validators=[validate_endpoints],
        help_text="More base URLs of the same service, used in turn.",
    )
    credential_source = models.CharField(
        max_length=10, choices=CredentialSource.choices, default=CredentialSource.NONE
    )
    api_key_sealed = sealed_column()
    credential_reference = models.CharField(
        max_length=300,
        blank=True,
        validators=[validate_reference],
        help_text="env:NAME or file:/path; read by the server, never stored.",
    )
    credential_fingerprint = models.CharField(max_length=64, blank=True, editable=False)
    headers = models.JSONField("extra headers", default=dict, blank=True, validators=[validate_headers])
    ca_bundle = models.CharField("CA bundle", max_length=300, blank=True, help_text="Path of a PEM file.")
    client_certificate = models.CharField(max_length=300, blank=True, help_text="Path of a PEM file.")
    client_key = models.CharField(max_length=300, blank=True, help_text="Path of the certificate's key.")
    tls_server_name = models.CharField(
        "TLS server name",
        max_length=253,
        blank=True,
        help_text="Name to ask for (SNI) and to verify, if not the host.",
    )
    connect_timeout_s = _timeout(5, "connect timeout (s)", "To open a connection.")
    first_token_timeout_s = _timeout(
        120, "first token timeout (s)", "From the request sent to the first byte."
    )
    idle_timeout_s = _timeout(60, "idle timeout (s)", "Between two pieces of an answer.")
    total_timeout_s = _timeout(600, "total timeout (s)", "The whole call.")
    max_concurrency = models.PositiveIntegerField(
        null=True, blank=True, help_text="Calls in flight per server process; empty means no limit."
    )
    queue_size = models.PositiveIntegerField(
        default=100,
        validators=[MaxValueValidator(100_000)],
        help_text="How many calls may wait for a place among the calls in flight; the next one gets 503.",
    )
    queue_wait_s = _timeout(10, "queue wait (s)", "How long a call waits for its place.")
    max_retries = models.PositiveSmallIntegerField(
        default=2,
        validators=[MaxValueValidator(9)],
        help_text="How often the same model is asked again where nothing else is left to ask.",
    )
    breaker_failures = models.PositiveIntegerField(
        default=5,
        validators=[MaxValueValidator(1000)],
        help_text="So many failures in a row, and a model gets no calls for a while; 0: it always gets them.",
    )
    breaker_cooldown_s = _timeout(
        30, "breaker cooldown (s)", "Until one call tries a model again that failed; doubled while it fails."
    )
    asks_stream_usage = models.BooleanField(
        "asks for usage in streams",
        default=True,
        help_text="Adds stream_options.include_usage; turn off for servers that refuse it "
        "(usage is estimated then).",
    )
    allows_passthrough = models.BooleanField(
        "allows the pass-through",
        default=False,
        help_text="Keys that may use the model passthrough/NAME reach everything that the credential may, "
        "at /passthrough/NAME/….",
    )
    is_probed = models.BooleanField(
        "probed",
        default=True,
        help_text="Ask it regularly whether it answers. One that takes its callers’ credentials never is.",
    )
    probe_interval_s = models.PositiveIntegerField(
        "probe interval (s)",
        null=True,
        blank=True,
        validators=[MinValueValidator(5), MaxValueValidator(86_400)],
        help_text="Seconds between two probes; empty means GATEWAY_HEALTH_INTERVAL_S.",
    )
    is_enabled = models.BooleanField("enabled", default=True)
    is_in_maintenance = models.BooleanField(
        "in maintenance", default=False, help_text="Gets no calls until the maintenance ends; probes go on."
    )
    maintenance_until = models.DateTimeField(
        null=True, blank=True, help_text="When the maintenance ends by itself; empty means a person ends it."
    )
    description = models.CharField(max_length=500, blank=True)

    class Meta:
        ordering = ("name",)

    def __str__(self) -> str:
        return self.name

    @property
    def public_id(self) -> str:
        """The id that the API shows: `ups_<hex>`."""
        return public_id("ups", self.id)

    @property
    def may_be_probed(self) -> bool:
        """Whether it is asked regularly: by its switch, and never with a credential of its callers."""
        return self.is_probed and self.credential_source != self.CredentialSource.CLIENT

    def rests_at(self, moment: datetime) -> bool:
        """Whether a maintenance keeps calls away at this moment."""
        until = self.maintenance_until
        return self.is_in_maintenance and (until is None or until > moment)

    def set_api_key(self, plain: str) -> None:
        """Store a credential, encrypted for this row; empty text removes it."""
        self.api_key_sealed = seal(plain, label="upstream.api_key", row_id=self.id)
        self.credential_fingerprint = fingerprints(plain)[0] if plain else ""
        self.credential_source = self.CredentialSource.STORED if plain else self.CredentialSource.NONE

    def get_api_key(self) -> str:
        """The stored credential; raises `core.crypto.DecryptionError` under a wrong key ring."""
        return unseal(self.api_key_sealed, label="upstream.api_key", row_id=self.id)

    def check_restored(self, before: Upstream) -> None:
        """Nobody may have what is kept secret sent elsewhere, and the name is in prices and model ids."""
        if self.name != before.name:
            raise ValidationError({"name": "It had another name then; rename it first."})
        has_secret = before.credential_source in (
            self.CredentialSource.STORED,
            self.CredentialSource.REFERENCE,
        )
        if (has_secret or before.headers) and any(
            getattr(self, name) != getattr(before, name) for name in _BOUND
        ):
            message = "It had another address or credential then; change these in the form, with the secrets."
            raise ValidationError({"base_url": message})

    def clean(self) -> None:
        """Rules that involve several fields."""
        errors: dict[str, str | ValidationError] = {}
        kind = KINDS.get(self.kind)
        if wrong := self._wrong_options():
            errors["options"] = wrong
        elif kind is not None and kind.needs_url and not self.base_url:
            named = "".join(f", or the option {option.name}," for option in kind.options if option.required)
            errors["base_url"] = f"A base URL{named} is needed for {kind.label}."
        if self.base_url and not self.base_url.startswith(("http://", "https://")):
            errors["base_url"] = "The base URL must start with http:// or https://."
        if self.api_version and self.kind != AZURE:
            errors["api_version"] = "Only Azure OpenAI has API versions."
        if self.path_prefix and (not self.path_prefix.startswith("/") or self.path_prefix.endswith("/")):
            errors["path_prefix"] = "The prefix must start with a slash and not end with one."
        if self.credential_source == self.CredentialSource.REFERENCE and not self.credential_reference:
            errors["credential_reference"] = "Give env:NAME or file:/path."
        if bool(self.client_certificate) != bool(self.client_key):
            errors["client_key"] = "A client certificate and its key go together."
        if self.name == PASSTHROUGH.rstrip("/"):
            errors["name"] = "This name is that of the pass-through."
        elif self.name and apps.get_model("upstreams_app", "Route").objects.filter(name=self.name).exists():
            errors["name"] = "A route has this name; upstreams and routes share one name space."
        if errors:
            raise ValidationError(errors)

    def _wrong_options(self) -> ValidationError | None:
        """What is wrong with `options` for this kind; its code says with which, as `options.<name>`."""
        if not isinstance(self.options, dict):
            return ValidationError("Give a JSON object.")
        kind = KINDS.get(self.kind)
        try:
            if kind is not None:
                check_kind_options(kind, self.options)
        except WrongOption as error:
            return ValidationError(str(error), code=f"options.{error.option}")
        return None


class UpstreamModel(ConfigModel):
    """A model that an upstream serves; its public id is `<upstream>/<name>`."""

    config_section = "upstreams"

    class Mode(TextChoices):
        """What the model does."""

        CHAT = "chat", "Chat"
        COMPLETION = "completion", "Text completion"
        EMBEDDING = "embedding", "Embeddings"
        OTHER = "other", "Other"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    upstream = models.ForeignKey(Upstream, on_delete=models.CASCADE, related_name="models")
    name = models.CharField(max_length=200, help_text="The model's id at the upstream.")
    mode = models.CharField(max_length=12, choices=Mode.choices, default=Mode.CHAT)
    context_window = models.PositiveIntegerField(null=True, blank=True, help_text="Tokens.")
    max_output_tokens = models.PositiveIntegerField(null=True, blank=True, help_text="Tokens.")
    description = models.CharField(max_length=500, blank=True)
    is_enabled = models.BooleanField("enabled", default=True)

    class Meta:
        ordering = ("upstream__name", "name")
        constraints = [models.UniqueConstraint(fields=["upstream", "name"], name="upstream_model_once")]

    def __str__(self) -> str:
        return f"{self.upstream.name}/{self.name}"
