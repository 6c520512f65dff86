"""MCP servers as the pool needs them: immutable, with their secrets read, made when the snapshot is built."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any
from uuid import UUID

from django.conf import settings

from gateway_project.core.outbound import check_url
from tools_app.errors import ConfigProblem
from tools_app.kinds.http_config import is_reference, resolved_headers
from tools_app.models import McpServer
from upstreams_app.registry import read_reference

DEFAULT_KEY_HEADER = "X-API-Key"


@dataclass(frozen=True, slots=True)
class McpServerEntry:
    """One enabled server. `version` tells one configuration of it from another: sessions belong to one.

    `prompts`, `resources` and `templates` are as the server listed them, for whoever serves them on.
    """

    id: UUID
    name: str
    version: int
    transport: str
    url: str
    command: str
    args: tuple[str, ...]
    environment: Mapping[str, str] = field(repr=False)
    headers: tuple[tuple[str, str], ...] = field(repr=False)
    auth: str
    auth_name: str
    secret: str = field(repr=False)
    token_url: str
    scopes: str
    allowed_tools: tuple[str, ...]
    connect_timeout_s: float
    call_timeout_s: float
    total_timeout_s: float
    max_sessions: int
    max_result_bytes: int
    refresh_interval_s: int
    argument_guards: tuple[str, ...] = ()
    prompts: tuple[dict[str, Any], ...] = field(default=(), repr=False)
    resources: tuple[dict[str, Any], ...] = field(default=(), repr=False)
    templates: tuple[dict[str, Any], ...] = field(default=(), repr=False)
    instructions: str = field(default="", repr=False)
    capabilities: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def is_stdio(self) -> bool:
        """Whether it is a process on this machine."""
        return self.transport == McpServer.Transport.STDIO

    def allows(self, tool: str) -> bool:
        """Whether a tool of the server, by its own name, is to be in the catalogue."""
        return not self.allowed_tools or any(fnmatchcase(tool, pattern) for pattern in self.allowed_tools)


@dataclass(frozen=True, slots=True)
class McpTarget:
    """What an entry of the kind mcp is prepared with. `tool` is the name at the server."""

    server: McpServerEntry
    tool: str
    definition: Mapping[str, Any] = field(repr=False)
    fingerprint: str


def server_entry(row: McpServer) -> McpServerEntry:
    """A row as the pool needs it; ConfigProblem or DecryptionError says why it can't be used."""
    if row.is_stdio:
        check_command(row.command)
    else:
        check_address("url", row.url)
    if row.auth == McpServer.Auth.CLIENT_CREDENTIALS:
        check_address("token_url", row.token_url)
    return McpServerEntry(
        id=row.id,
        name=row.name,
        version=row.changed_version,
        transport=row.transport,
        url=row.url,
        command=row.command,
        args=tuple(row.args),
        environment={name: _read("environment", text) for name, text in row.get_environment().items()},
        headers=resolved_headers(row.get_headers()),
        auth=row.auth,
        auth_name=row.auth_name,
        secret=_read("secret", row.get_secret()),
        token_url=row.token_url,
        scopes=row.scopes,
        allowed_tools=tuple(row.allowed_tools),
        connect_timeout_s=row.connect_timeout_s,
        call_timeout_s=row.call_timeout_s,
        total_timeout_s=row.total_timeout_s,
        max_sessions=row.max_sessions,
        max_result_bytes=row.max_result_bytes,
        refresh_interval_s=row.refresh_interval_s,
        argument_guards=tuple(row.argument_guards),
    )


def check_command(command: str) -> None:
    """ConfigProblem unless the operator's setting lets this program be started."""
    allowed = settings.MCP_STDIO_COMMANDS
    if not allowed:
        raise ConfigProblem("transport", "stdio is off: GATEWAY_MCP_STDIO_COMMANDS names no program.")
    if command not in allowed:
        raise ConfigProblem("command", f"GATEWAY_MCP_STDIO_COMMANDS does not name '{command[:100]}'.")


def check_address(member: str, url: str) -> None:
    """ConfigProblem unless the gateway may call this URL."""
    if not url.isascii() or not url.isprintable() or " " in url or "#" in url:
        raise ConfigProblem(member, "It is not a URL, or has characters that must be percent-encoded.")
    try:
        check_url(url.partition("?")[0], allow_private=settings.ALLOW_PRIVATE_HOSTS)
    except ValueError as error:
        raise ConfigProblem(member, f"{str(error)[:1].upper()}{str(error)[1:]}.") from error


def _read(member: str, text: str) -> str:
    """A secret, or what its reference stands for."""
    if not is_reference(text):
        return text
    try:
        return read_reference(text)
    except ValueError as error:
        raise ConfigProblem(member, f"{error}.") from error
