"""Making, changing and ending tools, for the API and the admin alike."""

from __future__ import annotations

import json
import logging
from collections.abc import Collection, Mapping
from typing import Any
from urllib.parse import urlsplit

from django.core.exceptions import ValidationError
from django.db import transaction

from gateway_project.core.crypto import DecryptionError
from gateway_project.core.errors import Conflict, InvalidRequest, NotFound
from gateway_project.core.ids import parse_public_id
from security_app.models import ConfigVersion
from security_app.services.configuration import refresh_after_commit, store
from tools_app.errors import ConfigProblem
from tools_app.kinds import find_kind
from tools_app.kinds.http_config import checked_headers, kept_headers, shown_headers
from tools_app.mcp_definitions import SEPARATOR
from tools_app.models import McpServer, McpTool, Tool
from tools_app.registry import tool_entry

logger = logging.getLogger(__name__)
_HEADERS = "headers"
_UNREADABLE = "unreadable under the current encryption keys"
# A path of the management API ends in this word.
_RESERVED_NAMES = ("refresh",)
_MAX_CONFIG_CHARS = 16_384
_TOP_LEVEL = ("name", "kind", "description", "parameters")


def create_tool(*, actor: str, **values: Any) -> Tool:
    """Make a tool; `values` are fields of Tool. InvalidRequest, or Conflict for a name that exists."""
    config = values.pop("config", {})
    row = Tool(**values)
    set_config(row, config)
    check_tool(row)
    with transaction.atomic():
        row.save(force_insert=True)
        refresh_after_commit()
    logger.info("tool.created", extra={"tool": row.name, "kind": row.kind, "actor": actor})
    return row


def update_tool(row: Tool, *, actor: str, **values: Any) -> Tool:
    """Change fields of a tool, and no others.

    Of `config` members that are left out stay, and null removes one, unless the kind changes. A header whose
    value is given as it is shown keeps its value.
    """
    config = values.pop("config", None)
    if config is not None and values.get("kind", row.kind) == row.kind:
        given = row.config | config if isinstance(config, dict) else config
        config = {name: value for name, value in given.items() if value is not None}
        if _HEADERS not in config and _HEADERS not in given:
            config[_HEADERS] = headers_for_display(row)
    elif config is None and values.get("kind", row.kind) != row.kind:
        config = {}
    for name, value in values.items():
        setattr(row, name, value)
    changed = set(values)
    if config is not None:
        set_config(row, config)
        changed |= {"config", "headers_sealed"}
    check_tool(row)
    with transaction.atomic():
        if not Tool.objects.select_for_update().filter(pk=row.pk).exists():
            raise NotFound("There is no such tool any more.", param="name")
        row.save(update_fields=changed)
        refresh_after_commit()
    logger.info("tool.updated", extra={"tool": row.name, "fields": sorted(changed), "actor": actor})
    return row


def delete_tool(row: Tool, *, actor: str) -> None:
    """End a tool. Agents that name it are served without it."""
    name = row.name
    with transaction.atomic():
        row.delete()
        refresh_after_commit()
    logger.info("tool.deleted", extra={"tool": name, "actor": actor})


def reload_tools() -> None:
    """Have every process make all tools anew; this one has when it returns."""
    with transaction.atomic():
        ConfigVersion.bump(Tool.config_section)
    store.refresh()


def existing_tools(names: Collection[str]) -> set[str]:
    """Which of these names tools of the catalogue have, those of MCP servers too; off or on."""
    own = Tool.objects.filter(name__in=names).values_list("name", flat=True)
    return {*own, *McpTool.objects.filter(exposed_name__in=names).values_list("exposed_name", flat=True)}


def find_tool(reference: str) -> Tool:
    """A tool by its name or its public id; NotFound otherwise."""
    row = Tool.objects.filter(name=reference).first()
    if row is None and (tool_id := parse_public_id("tool", reference)) is not None:
        row = Tool.objects.filter(pk=tool_id).first()
    if row is None:
        raise NotFound("There is no such tool.", param="name")
    return row


def headers_for_display(row: Tool) -> dict[str, str]:
    """The headers as they may be seen."""
    try:
        return shown_headers(row.get_headers())
    except DecryptionError:
        return {"(unreadable)": _UNREADABLE}


def config_for_display(row: Tool) -> dict[str, Any]:
    """The configuration as it may be seen."""
    headers = headers_for_display(row)
    return {**row.config, _HEADERS: headers} if headers else dict(row.config)


def set_config(row: Tool, config: object) -> None:
    """Put a configuration on an unsaved row, its headers encrypted; InvalidRequest names what is wrong."""
    if not isinstance(config, dict):
        raise InvalidRequest("The configuration must be an object.", param="config")
    if len(json.dumps(config)) > _MAX_CONFIG_CHARS:
        message = f"The configuration may have at most {_MAX_CONFIG_CHARS} characters."
        raise InvalidRequest(message, param="config")
    plain = dict(config)
    if not plain.get(_HEADERS):
        plain.pop(_HEADERS, None)
        row.config = plain
        row.set_headers({})
        return
    if row.kind != Tool.Kind.HTTP:
        # Also of a tool that is off: they may be secrets, and would be stored as they are.
        raise InvalidRequest("Only tools of the kind http have headers.", param=f"config.{_HEADERS}")
    stored = _stored_headers(row)
    given = plain.pop(_HEADERS)
    headers = kept_headers(given, stored=stored)
    try:
        checked = checked_headers(headers)
    except ConfigProblem as error:
        raise _invalid(error) from error
    if given != headers and _origin(plain.get("url")) != _origin(row.config.get("url")):
        # Else whoever may change the address could have what is kept secret sent to a host of theirs.
        message = "Give the values of the headers again when the host changes."
        raise InvalidRequest(message, param=f"config.{_HEADERS}")
    row.config = plain
    row.set_headers(checked)


def check_tool(row: Tool) -> None:
    """InvalidRequest or Conflict, which name the field, unless the row can be saved and called."""
    try:
        row.full_clean()
    except ValidationError as error:
        field, problems = next(iter(error.error_dict.items()))
        kind = Conflict if problems[0].code in ("unique", "unique_together") else InvalidRequest
        names = {"is_enabled": "enabled"}
        raise kind(problems[0].messages[0], param=names.get(field, field)) from error
    if row.name in _RESERVED_NAMES:
        raise InvalidRequest(f"No tool can be named '{row.name}'.", param="name")
    server, separator, _ = row.name.partition(SEPARATOR)
    if separator and McpServer.objects.filter(name=server).exists():
        raise Conflict(
            f"Names that begin with '{server}{SEPARATOR}' are those of an MCP server.", param="name"
        )
    if not row.is_enabled:
        # One that broke, and one that is not ready yet, can be kept as it is.
        return
    try:
        entry = tool_entry(row)
        kind_of_tool = find_kind(row.kind)
        if kind_of_tool is not None:
            kind_of_tool.check(entry.prepared)
    except ConfigProblem as error:
        raise _invalid(error) from error
    except DecryptionError as error:
        raise InvalidRequest(f"The headers are {_UNREADABLE}.", param=f"config.{_HEADERS}") from error


def _invalid(problem: ConfigProblem) -> InvalidRequest:
    member = problem.member
    return InvalidRequest(problem.message, param=member if member in _TOP_LEVEL else f"config.{member}")


def _stored_headers(row: Tool) -> Mapping[str, str]:
    try:
        return row.get_headers()
    except DecryptionError:
        return {}


def _origin(url: object) -> str:
    if not isinstance(url, str):
        return ""
    try:
        parts = urlsplit(url)
    except ValueError:
        return url
    return f"{parts.scheme}://{parts.netloc}"
