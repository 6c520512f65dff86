"""Making, changing and ending MCP servers, for the API and the admin alike."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from django.core.exceptions import ValidationError
from django.db import transaction

from gateway_project.core.crypto import DecryptionError
from gateway_project.core.errors import Conflict, InvalidRequest, NotFound
from gateway_project.core.ids import parse_public_id
from security_app.services.configuration import refresh_after_commit
from tools_app.errors import ConfigProblem
from tools_app.kinds.http_config import checked_headers, is_reference, kept_headers, shown_headers
from tools_app.mcp_definitions import SEPARATOR
from tools_app.mcp_entry import server_entry
from tools_app.models import McpServer, Tool
from tools_app.services.mcp_groups import set_groups
from upstreams_app.models.upstream import validate_reference
from upstreams_app.secret_hints import MASK, masked

logger = logging.getLogger(__name__)
_UNREADABLE = "unreadable under the current encryption keys"
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}\Z")
_MAX_VARIABLES = 64
_MAX_SECRET_CHARS = 4000
# Of the loader and of interpreters: they would run other code than the program that was allowed.
_CODE_VARIABLES = re.compile(
    r"(?:LD_|DYLD_|PYTHON|NODE_|BASH_|PERL|RUBY|GATEWAY_|DJANGO_)|(?:PATH|IFS|ENV)\Z"
)
_SECRETS = ("headers", "environment", "secret")


def create_mcp_server(*, actor: str, **values: Any) -> McpServer:
    """Make a server; `values` are fields of it, `headers`, `environment`, `secret` and `access_groups`."""
    secrets = {name: values.pop(name) for name in _SECRETS if name in values}
    groups = values.pop("access_groups", [])
    row = McpServer(**values)
    set_secrets(row, secrets, before=None)
    check_mcp_server(row)
    with transaction.atomic():
        row.save(force_insert=True)
        if groups:
            set_groups(row, groups, actor=actor)
        refresh_after_commit()
    logger.info("mcp_server.created", extra={"server": row.name, "transport": row.transport, "actor": actor})
    return row


def update_mcp_server(row: McpServer, *, actor: str, **values: Any) -> McpServer:
    """Change fields of a server, and no others; a secret that is given as it is shown stays."""
    before = row.clone()
    secrets = {name: values.pop(name) for name in _SECRETS if name in values}
    if values.get("name", row.name) != row.name:
        raise InvalidRequest("The name of a server stays: rules and agents know it.", param="name")
    groups = values.pop("access_groups", None)
    for name, value in values.items():
        setattr(row, name, value)
    set_secrets(row, secrets, before=before)
    check_mcp_server(row)
    changed = set(values) | {f"{name}_sealed" for name in _SECRETS}
    with transaction.atomic():
        if not McpServer.objects.select_for_update().filter(pk=row.pk).exists():
            raise NotFound("There is no such MCP server any more.", param="name")
        row.save(update_fields=changed)
        if groups is not None:
            set_groups(row, groups, actor=actor)
        refresh_after_commit()
    logger.info("mcp_server.updated", extra={"server": row.name, "fields": sorted(values), "actor": actor})
    return row


def delete_mcp_server(row: McpServer, *, actor: str) -> None:
    """End a server, with its tools."""
    name = row.name
    with transaction.atomic():
        # Else the next server of this name would be in its groups.
        set_groups(row, [], actor=actor)
        row.delete()
        refresh_after_commit()
    logger.info("mcp_server.deleted", extra={"server": name, "actor": actor})


def find_mcp_server(reference: str) -> McpServer:
    """A server by its name or its public id; NotFound otherwise."""
    row = McpServer.objects.filter(name=reference).first()
    if row is None and (server_id := parse_public_id("mcp", reference)) is not None:
        row = McpServer.objects.filter(pk=server_id).first()
    if row is None:
        raise NotFound("There is no such MCP server.", param="name")
    return row


def check_mcp_server(row: McpServer) -> None:
    """InvalidRequest or Conflict, which name the field, unless the row can be saved and asked."""
    try:
        row.full_clean()
    except ValidationError as error:
        field, problems = next(iter(error.error_dict.items()))
        kind = Conflict if problems[0].code in ("unique", "unique_together") else InvalidRequest
        raise kind(problems[0].messages[0], param=field) from error
    twin = McpServer.objects.filter(name__iexact=row.name).exclude(pk=row.pk)
    if twin.exists():
        raise Conflict("Another server has this name, but for the case of its letters.", param="name")
    if row._state.adding and Tool.objects.filter(name__startswith=f"{row.name}{SEPARATOR}").exists():
        raise Conflict(f"Tools of the registry begin with '{row.name}{SEPARATOR}' already.", param="name")
    if not row.is_enabled:
        # One that is not ready yet can be kept as it is.
        return
    try:
        server_entry(row)
    except ConfigProblem as error:
        raise InvalidRequest(error.message, param=error.member) from error
    except DecryptionError as error:
        raise InvalidRequest(f"The secrets are {_UNREADABLE}.", param="secret") from error


def shown_secrets(row: McpServer) -> dict[str, Any]:
    """`headers`, `environment` and `secret` as they may be seen."""
    try:
        secret = row.get_secret()
        return {
            "headers": shown_headers(row.get_headers()),
            "environment": shown_headers(row.get_environment()),
            "secret": secret if is_reference(secret) else masked(secret) if secret else "",
        }
    except DecryptionError:
        return {"headers": {"(unreadable)": _UNREADABLE}, "environment": {}, "secret": ""}


def set_secrets(row: McpServer, given: Mapping[str, Any], *, before: McpServer | None) -> None:
    """Seal what was given. What is kept goes where it went: else a new address would be given it."""
    stored = _stored(before)
    moves = before is not None and _target(before) != _target(row)
    for name in ("headers", "environment"):
        if name not in given and moves and stored[name]:
            raise _given_again(name)
        if name not in given:
            continue
        texts = kept_headers(given[name], stored=stored[name])
        if moves and texts != given[name]:
            raise _given_again(name)
        _set_texts(row, name, texts)
    secret = given.get("secret")
    if secret is None or (secret and secret == _shown(stored["secret"])):
        if moves and stored["secret"]:
            raise _given_again("secret")
        return
    row.set_secret(_checked_secret(secret))


def _set_texts(row: McpServer, name: str, texts: object) -> None:
    try:
        if name == "headers":
            row.set_headers(checked_headers(texts))
        else:
            row.set_environment(checked_environment(texts))
    except ConfigProblem as error:
        raise InvalidRequest(error.message, param=name) from error


def checked_environment(value: object) -> dict[str, str]:
    """Variables of a process: texts, or references to secrets; none that have it run other code."""
    if not isinstance(value, dict) or any(not isinstance(text, str) for text in value.values()):
        raise ConfigProblem("environment", "Give an object of names and texts.")
    if len(value) > _MAX_VARIABLES or sum(map(len, value.values())) > _MAX_SECRET_CHARS:
        message = f"Give at most {_MAX_VARIABLES} variables of {_MAX_SECRET_CHARS} characters together."
        raise ConfigProblem("environment", message)
    for name, text in value.items():
        if not isinstance(name, str) or not _VARIABLE.match(name):
            raise ConfigProblem("environment", f"{str(name)[:100]!r} is no name of a variable.")
        if _CODE_VARIABLES.match(name):
            raise ConfigProblem("environment", f"The variable {name} can't be set for a server.")
        if "\0" in text or text.startswith(MASK):
            raise ConfigProblem("environment", f"The value of {name} is masked, or holds a NUL.")
        _check_reference("environment", text)
    return value


def _checked_secret(secret: object) -> str:
    if not isinstance(secret, str) or len(secret) > _MAX_SECRET_CHARS:
        raise InvalidRequest(f"Give a text of at most {_MAX_SECRET_CHARS} characters.", param="secret")
    if secret.startswith(MASK) or not secret.isprintable() or not secret.isascii():
        raise InvalidRequest(
            "The secret is masked, or has characters that HTTP does not allow.", param="secret"
        )
    try:
        _check_reference("secret", secret)
    except ConfigProblem as error:
        raise InvalidRequest(error.message, param="secret") from error
    return secret


def _check_reference(member: str, text: str) -> None:
    if is_reference(text):
        try:
            validate_reference(text)
        except ValidationError as error:
            raise ConfigProblem(member, error.messages[0]) from error


def _stored(row: McpServer | None) -> dict[str, Any]:
    if row is None:
        return {"headers": {}, "environment": {}, "secret": ""}
    try:
        return {
            "headers": row.get_headers(),
            "environment": row.get_environment(),
            "secret": row.get_secret(),
        }
    except DecryptionError:
        return {"headers": {}, "environment": {}, "secret": ""}


def _shown(secret: str) -> str:
    return secret if is_reference(secret) else masked(secret)


def _target(row: McpServer) -> tuple[object, ...]:
    """Where secrets go: the hosts, or the program with its arguments."""
    parts, token = urlsplit(row.url), urlsplit(row.token_url)
    return (row.transport, parts[:2], token[:2], row.command, tuple(map(str, row.args)))


def _given_again(name: str) -> InvalidRequest:
    return InvalidRequest("Give the secrets again when the host or the command changes.", param=name)
