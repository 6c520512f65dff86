"""MCP servers, the tools that were found at them, and what is known of a server now."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models
from django.db.models import Q

from gateway_project.core.codec import dumps, loads
from gateway_project.core.ids import public_id, uuid7
from security_app.models import ConfigModel
from security_app.models.secret import seal, sealed_column, unseal
from tools_app.models.tool import MAX_RESULT_BYTES, MAX_TIMEOUT_S, MIN_RESULT_BYTES, validate_guards

MAX_SESSIONS = 32
_HEADERS = "mcp_server.headers"
_ENVIRONMENT = "mcp_server.environment"
_SECRET = "mcp_server.secret"  # noqa: S105  (the label of a column)
# Where calls go: nobody may point what is kept secret elsewhere by bringing an old version back.
_BOUND = ("transport", "url", "command", "args", "auth", "auth_name", "token_url")


def validate_texts(value: Any) -> None:
    """A list of texts that are not empty."""
    if not isinstance(value, list) or len(value) > 200:
        raise ValidationError("Give a list of at most 200 texts.")
    if any(not isinstance(text, str) or not text or len(text) > 1000 or "\0" in text for text in value):
        raise ValidationError("Each must be a text of 1 to 1000 characters.")


def _seconds(default: float, verbose_name: str, help_text: str) -> models.FloatField[Any, Any]:
    bounds = [MinValueValidator(0.05), MaxValueValidator(MAX_TIMEOUT_S)]
    return models.FloatField(verbose_name, default=default, validators=bounds, help_text=help_text)


class McpServer(ConfigModel):
    """One MCP server, whose tools are in the catalogue as `<name>__<tool>`. Its secrets are sealed."""

    class Transport(models.TextChoices):
        """How its messages travel."""

        HTTP = "streamable_http", "Streamable HTTP"
        SSE = "sse", "SSE (before 2025-03-26)"
        STDIO = "stdio", "stdio (a process on this machine)"

    class Auth(models.TextChoices):
        """What the gateway shows at the server's door."""

        NONE = "none", "None"
        API_KEY = "api_key", "API key in a header"
        BEARER = "bearer", "Bearer token"
        BASIC = "basic", "User name and password"
        CLIENT_CREDENTIALS = "oauth_client_credentials", "OAuth 2.1 client credentials"

    config_section = "tools"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    name = models.CharField(
        max_length=32,
        validators=[
            RegexValidator(
                r"^[a-zA-Z0-9](?:[_-]?[a-zA-Z0-9])*\Z",
                "Use 1–32 letters and digits, with single hyphens or underscores between them.",
            )
        ],
        help_text="What stands before the names of its tools: name__tool.",
    )
    description = models.CharField(max_length=500, blank=True)
    transport = models.CharField(max_length=16, choices=Transport.choices, default=Transport.HTTP)
    url = models.CharField("URL", max_length=2000, blank=True, help_text="Of its endpoint, with the path.")
    command = models.CharField(
        max_length=500,
        blank=True,
        help_text="stdio: the program. GATEWAY_MCP_STDIO_COMMANDS names what may run.",
    )
    args = models.JSONField("arguments", default=list, blank=True, validators=[validate_texts])
    headers_sealed = sealed_column()
    environment_sealed = sealed_column()
    auth = models.CharField("authorisation", max_length=32, choices=Auth.choices, default=Auth.NONE)
    auth_name = models.CharField(
        "header, user name or client id",
        max_length=200,
        blank=True,
        help_text="The header of an API key (X-API-Key if empty), the user name, or the client's id.",
    )
    secret_sealed = sealed_column()
    token_url = models.CharField(
        "token URL", max_length=2000, blank=True, help_text="OAuth: where tokens are."
    )
    scopes = models.CharField(
        max_length=1000, blank=True, help_text="OAuth: scopes with spaces between them."
    )
    allowed_tools = models.JSONField(
        default=list,
        blank=True,
        validators=[validate_texts],
        help_text="Names or patterns of the server's own tools, such as read_*. Empty: all.",
    )
    argument_guards = models.JSONField(
        default=list,
        blank=True,
        validators=[validate_guards],
        help_text="What no text in the arguments may hold, whatever the schema allows.",
    )
    needs_approval = models.BooleanField(
        "new tools need approval",
        default=False,
        help_text="Else a tool is pinned as it is when it is first seen.",
    )
    connect_timeout_s = _seconds(10, "connect timeout (s)", "To open a session.")
    call_timeout_s = _seconds(60, "call timeout (s)", "From a request sent to its result.")
    total_timeout_s = _seconds(
        120, "total timeout (s)", "A whole call, with waiting, connecting and repairing sessions."
    )
    max_sessions = models.PositiveSmallIntegerField(
        default=4,
        validators=[MinValueValidator(1), MaxValueValidator(MAX_SESSIONS)],
        help_text="Of one server process. Of stdio each is a process.",
    )
    max_result_bytes = models.PositiveIntegerField(
        "result limit (bytes)",
        default=262_144,
        validators=[MinValueValidator(MIN_RESULT_BYTES), MaxValueValidator(MAX_RESULT_BYTES)],
        help_text="What goes beyond is cut off, and the model is told so.",
    )
    refresh_interval_s = models.PositiveIntegerField(
        "refresh interval (s)",
        default=300,
        validators=[MinValueValidator(10), MaxValueValidator(86_400)],
        help_text="How often its lists are read again, beside when it says that they changed.",
    )
    is_enabled = models.BooleanField("enabled", default=True)

    class Meta:
        verbose_name = "MCP server"
        ordering = ("name",)
        constraints = [
            models.UniqueConstraint(fields=["name"], name="mcp_server_name_once"),
            models.CheckConstraint(
                condition=Q(transport__in=["streamable_http", "sse", "stdio"]),
                name="mcp_server_transport_known",
            ),
            models.CheckConstraint(
                condition=Q(auth__in=["none", "api_key", "bearer", "basic", "oauth_client_credentials"]),
                name="mcp_server_auth_known",
            ),
            models.CheckConstraint(
                condition=Q(max_sessions__gte=1, max_sessions__lte=MAX_SESSIONS),
                name="mcp_server_sessions_in_bounds",
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def public_id(self) -> str:
        """`mcp_` and the row's UUID in hex."""
        return public_id("mcp", self.id)

    @property
    def is_stdio(self) -> bool:
        """Whether it is a process on this machine."""
        return self.transport == self.Transport.STDIO

    def check_restored(self, before: McpServer) -> None:
        """Nobody may have secrets sent elsewhere, or another program run, and the name is in rules."""
        if self.name != before.name:
            raise ValidationError({"name": "It had another name then; rename it first."})
        if any(getattr(self, name) != getattr(before, name) for name in _BOUND):
            message = "It had another address or command then; change these in the form, with the secrets."
            raise ValidationError({"url": message})

    def clean(self) -> None:
        """What each transport and each way of authorisation needs."""
        errors: dict[str, str] = {}
        if self.is_stdio:
            if not self.command:
                errors["command"] = "Give the program to start."
            if self.url:
                errors["url"] = "A process has no URL."
            if self.auth != self.Auth.NONE:
                errors["auth"] = "A process is given secrets in its environment."
        elif not self.url:
            errors["url"] = "Give the URL of its endpoint."
        elif self.command or self.args:
            errors["command"] = "Only stdio servers have a command."
        if self.auth == self.Auth.CLIENT_CREDENTIALS and not self.token_url:
            errors["token_url"] = "Give the URL where tokens are given out."  # noqa: S105  (no secret)
        if self.auth in (self.Auth.BASIC, self.Auth.CLIENT_CREDENTIALS) and not self.auth_name:
            errors["auth_name"] = "Give the user name, or the client's id."
        if errors:
            raise ValidationError(errors)

    def set_headers(self, headers: dict[str, str]) -> None:
        """Store headers, encrypted for this row; none removes them."""
        self.headers_sealed = self._sealed(headers, _HEADERS)

    def get_headers(self) -> dict[str, str]:
        """The stored headers; raises `core.crypto.DecryptionError` under a wrong key ring."""
        return self._unsealed(self.headers_sealed, _HEADERS)

    def set_environment(self, environment: dict[str, str]) -> None:
        """Store the variables that a process is given, encrypted for this row."""
        self.environment_sealed = self._sealed(environment, _ENVIRONMENT)

    def get_environment(self) -> dict[str, str]:
        """The stored variables; raises `core.crypto.DecryptionError` under a wrong key ring."""
        return self._unsealed(self.environment_sealed, _ENVIRONMENT)

    def set_secret(self, plain: str) -> None:
        """Store the key, token, password or client secret; empty text removes it."""
        self.secret_sealed = seal(plain, label=_SECRET, row_id=self.id)

    def get_secret(self) -> str:
        """The stored secret; raises `core.crypto.DecryptionError` under a wrong key ring."""
        return unseal(self.secret_sealed, label=_SECRET, row_id=self.id)

    def _sealed(self, texts: dict[str, str], label: str) -> str:
        return seal(dumps(texts).decode() if texts else "", label=label, row_id=self.id)

    def _unsealed(self, sealed: str, label: str) -> dict[str, str]:
        text = unseal(sealed, label=label, row_id=self.id)
        texts: dict[str, str] = loads(text) if text else {}
        return texts


class McpTool(ConfigModel):
    """One tool of an MCP server, pinned: what clients are told is `definition`, whatever the server says.

    `seen` is what the server says now, where that is something else and waits for a person.
    """

    class State(models.TextChoices):
        """Whether clients are told of it."""

        PINNED = "pinned", "Pinned"
        PENDING = "pending", "Waits for approval"
        QUARANTINED = "quarantined", "Changed: waits for approval"
        GONE = "gone", "No longer listed"

    config_section = "tools"
    # What a server says of its tools is read again, never written back.
    can_be_recreated = False
    # No secret, but a server may change it as often as it likes: a digest of it is enough.
    audit_masked = ("seen",)

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    server = models.ForeignKey(McpServer, on_delete=models.CASCADE, related_name="tools")
    name = models.CharField("name at the server", max_length=200)
    exposed_name = models.CharField("name", max_length=64, help_text="What models and agents call it by.")
    definition = models.JSONField(default=dict, blank=True)
    fingerprint = models.CharField(max_length=64)
    seen = models.JSONField(default=dict, blank=True)
    seen_fingerprint = models.CharField(max_length=64, blank=True)
    state = models.CharField(max_length=16, choices=State.choices)
    findings = models.JSONField(default=list, blank=True)
    is_enabled = models.BooleanField("enabled", default=True)

    class Meta:
        verbose_name = "MCP tool"
        ordering = ("exposed_name",)
        constraints = [
            models.UniqueConstraint(fields=["server", "name"], name="mcp_tool_once"),
            models.UniqueConstraint(fields=["exposed_name"], name="mcp_tool_exposed_once"),
            models.CheckConstraint(
                condition=Q(state__in=["pinned", "pending", "quarantined", "gone"]),
                name="mcp_tool_state_known",
            ),
        ]
        indexes = [models.Index(fields=["state", "exposed_name"], name="mcp_tool_state")]

    def __str__(self) -> str:
        return self.exposed_name

    @property
    def public_id(self) -> str:
        """`mcptool_` and the row's UUID in hex."""
        return public_id("mcptool", self.id)

    @property
    def waits(self) -> bool:
        """Whether a person has to decide on it."""
        return self.state in (self.State.PENDING, self.State.QUARANTINED)

    def check_restored(self, before: McpTool) -> None:
        """What the server says is known better now; a definition is approved on its own page."""
        raise ValidationError({"state": "Approve or refuse what the server says now, on the tool's page."})


class McpServerState(models.Model):
    """What is known of a server now, and the lists that it gave out beside its tools.

    One server process at a time looks (`holder`, until `lease_until`); all processes read it here. `listed`
    is the digest of `prompts`, `resources`, `templates` and `instructions`.
    """

    server = models.OneToOneField(
        McpServer, on_delete=models.CASCADE, primary_key=True, related_name="noted_state"
    )
    state = models.CharField(max_length=16, default="unknown")
    since = models.DateTimeField(null=True)
    checked_at = models.DateTimeField(null=True)
    listed_at = models.DateTimeField(null=True)
    latency_ms = models.FloatField(null=True)
    error = models.CharField(max_length=300, blank=True)
    protocol_version = models.CharField(max_length=20, blank=True)
    software = models.CharField(max_length=200, blank=True)
    capabilities = models.JSONField(default=dict, blank=True)
    instructions = models.TextField(blank=True)
    prompts = models.JSONField(default=list, blank=True)
    resources = models.JSONField(default=list, blank=True)
    templates = models.JSONField(default=list, blank=True)
    listed = models.CharField(max_length=64, blank=True)
    holder = models.CharField(max_length=64, blank=True)
    lease_until = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return f"{self.server_id} {self.state}"
