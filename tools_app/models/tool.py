"""Tools: what agents may call, how, and with which arguments."""

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
from tools_app.argument_guards import GUARDS

MAX_TIMEOUT_S = 3600
MIN_RESULT_BYTES = 64
MAX_RESULT_BYTES = 4 * 1024 * 1024
_HEADERS = "tool.headers"


def validate_guards(value: Any) -> None:
    """A list of guards that there are, each once."""
    if not isinstance(value, list) or any(guard not in GUARDS for guard in value):
        raise ValidationError(f"There are {' and '.join(GUARDS)}.")
    if len(set(value)) != len(value):
        raise ValidationError("Name each once.")


class Tool(ConfigModel):
    """One tool. `config` is as its kind wants it; headers, which may be secrets, are sealed beside it."""

    class Kind(models.TextChoices):
        """How a tool is called; who may register more is the matter of tools_app.kinds."""

        PYTHON = "python", "Python function"
        HTTP = "http", "HTTP request"
        AGENT = "agent", "Agent"

    config_section = "tools"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    name = models.CharField(
        max_length=64,
        validators=[
            RegexValidator(r"^[a-zA-Z0-9_-]{1,64}\Z", "Use 1–64 letters, digits, hyphens or underscores.")
        ],
        help_text="What models and agents call it by. Letters, digits, hyphens and underscores.",
    )
    kind = models.CharField(max_length=16, choices=Kind.choices)
    description = models.TextField(
        max_length=4000, blank=True, help_text="What it is for: this is all that a model knows of it."
    )
    config = models.JSONField(default=dict, blank=True)
    headers_sealed = sealed_column()
    parameters = models.JSONField(
        "arguments",
        default=dict,
        blank=True,
        help_text="JSON Schema of the arguments, of type object. Empty: none; of an agent, one text (input).",
    )
    argument_guards = models.JSONField(
        default=list,
        blank=True,
        validators=[validate_guards],
        help_text="What no text in the arguments may hold, whatever the schema allows.",
    )
    timeout_s = models.FloatField(
        "timeout (s)",
        default=30,
        validators=[MinValueValidator(0.05), MaxValueValidator(MAX_TIMEOUT_S)],
        help_text="A call that takes longer is an error of the tool.",
    )
    max_result_bytes = models.PositiveIntegerField(
        "result limit (bytes)",
        default=65_536,
        validators=[MinValueValidator(MIN_RESULT_BYTES), MaxValueValidator(MAX_RESULT_BYTES)],
        help_text="What goes beyond is cut off, and the model is told so.",
    )
    is_enabled = models.BooleanField(
        "enabled", default=True, help_text="Models are not told of a tool that is off."
    )

    class Meta:
        ordering = ("name",)
        constraints = [
            models.UniqueConstraint(fields=["name"], name="tool_name_once"),
            models.CheckConstraint(condition=~Q(name=""), name="tool_has_name"),
            models.CheckConstraint(condition=Q(kind__in=["python", "http", "agent"]), name="tool_kind_known"),
            models.CheckConstraint(
                condition=Q(timeout_s__gt=0, timeout_s__lte=MAX_TIMEOUT_S), name="tool_timeout_in_bounds"
            ),
            models.CheckConstraint(
                condition=Q(max_result_bytes__gte=MIN_RESULT_BYTES, max_result_bytes__lte=MAX_RESULT_BYTES),
                name="tool_result_in_bounds",
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def public_id(self) -> str:
        """`tool_` and the row's UUID in hex."""
        return public_id("tool", self.id)

    def check_restored(self, before: Tool) -> None:
        """Nobody may have headers, which may be secrets, sent elsewhere."""
        if before.headers_sealed and (self.kind, self.config) != (before.kind, before.config):
            message = "It was called otherwise then; change it in the form, with its headers."
            raise ValidationError({"config": message})

    def set_headers(self, headers: dict[str, str]) -> None:
        """Store headers, encrypted for this row; none removes them."""
        text = dumps(headers).decode() if headers else ""
        self.headers_sealed = seal(text, label=_HEADERS, row_id=self.id)

    def get_headers(self) -> dict[str, str]:
        """The stored headers; raises `core.crypto.DecryptionError` under a wrong key ring."""
        text = unseal(self.headers_sealed, label=_HEADERS, row_id=self.id)
        headers: dict[str, str] = loads(text) if text else {}
        return headers

    def whole_config(self) -> dict[str, Any]:
        """The configuration with the headers in it, which may be secrets."""
        headers = self.get_headers()
        config = self.config if isinstance(self.config, dict) else {}
        return {**config, "headers": headers} if headers else dict(config)
