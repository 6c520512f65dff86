"""MCP servers in LiteLLM's words: what a body says as fields of the row, and rows as they are shown."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from django.db.models import Count, QuerySet

from gateway_project.core.errors import GatewayError, InvalidRequest
from tools_app.mcp_schemas import Credentials, ServerFields, ServerHealth, ShownServer
from tools_app.models import McpServer, McpServerState, McpTool
from tools_app.services.mcp_groups import groups_by_server
from tools_app.services.mcp_management import shown_secrets
from tools_app.services.server_states import STATUS_OF, UNKNOWN
from tools_app.services.states import server_problems

_COLUMN_OF = {"enabled": "is_enabled", "static_headers": "headers", "env": "environment", "auth_type": "auth"}
_FIELD_OF = {column: field for field, column in _COLUMN_OF.items()} | {
    "name": "server_name",
    "secret": "credentials.auth_value",
    "scopes": "credentials.scopes",
    "access_group": "mcp_access_groups",
    "access_groups": "mcp_access_groups",
}
# What is looked at by itself.
_APART = {"server_name", "alias", "server_id", "mcp_access_groups", "credentials", "timeout"}
_TRANSPORTS = {"http": "streamable_http"}
_AUTHS = {"bearer_token": "bearer", "oauth2": "oauth_client_credentials"}


@contextmanager
def named_as_in_bodies() -> Iterator[None]:
    """Errors inside name fields as bodies do."""
    try:
        yield
    except GatewayError as error:
        error.param = _FIELD_OF.get(error.param or "", error.param)
        raise


def changes_of_body(body: ServerFields) -> dict[str, Any]:
    """The fields of McpServer that a body gives, with `headers`, `environment` and `secret`."""
    given = {name: value for name, value in body.model_dump(exclude_unset=True).items() if value is not None}
    if given.get("server_name", given.get("alias")) != given.get("alias", given.get("server_name")):
        raise InvalidRequest("A server has one name: leave 'alias' out, or say the same.", param="alias")
    values = {_COLUMN_OF.get(name, name): value for name, value in given.items() if name not in _APART}
    if "transport" in values:
        values["transport"] = _TRANSPORTS.get(values["transport"], values["transport"])
    if "auth" in values:
        values["auth"] = _AUTHS.get(values["auth"], values["auth"])
    if "timeout" in given:
        if "call_timeout_s" in given:
            raise InvalidRequest("It is the same as call_timeout_s: give one of them.", param="timeout")
        values["call_timeout_s"] = given["timeout"]
    if body.credentials is not None:
        values |= _of_credentials(body.credentials, values)
    return values


def _of_credentials(credentials: Credentials, values: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if credentials.auth_value is not None and credentials.client_secret is not None:
        raise InvalidRequest("Give either auth_value or client_secret.", param="credentials.client_secret")
    secret = credentials.auth_value if credentials.client_secret is None else credentials.client_secret
    if secret is not None:
        found["secret"] = secret
    if credentials.client_id is not None:
        if values.get("auth_name", credentials.client_id) != credentials.client_id:
            raise InvalidRequest("It is the same as auth_name: give one.", param="credentials.client_id")
        found["auth_name"] = credentials.client_id
    if credentials.scopes is not None:
        found["scopes"] = " ".join(credentials.scopes)
    return found


def shown_server(row: McpServer) -> ShownServer:
    """One server as the API shows it."""
    return shown_servers(McpServer.objects.filter(pk=row.pk))[0]


def shown_servers(rows: QuerySet[McpServer]) -> list[ShownServer]:
    """Servers as the API shows them, with a fixed number of queries."""
    found = list(rows.select_related("noted_state"))
    groups = groups_by_server()
    states: dict[Any, dict[str, int]] = {row.pk: {} for row in found}
    counted = McpTool.objects.order_by().values_list("server_id", "state").annotate(Count("id"))
    for server_id, state, count in counted.filter(server__in=list(states)):
        states[server_id][state] = count
    problems = server_problems()
    return [
        _shown(row, groups.get(row.name, []), tools=states[row.pk], problem=problems.get(row.name, ""))
        for row in found
    ]


def shown_health(row: McpServer) -> ServerHealth:
    """Whether a server answers. One that is off is not looked at."""
    return ServerHealth(**_health(row))


def _health(row: McpServer) -> dict[str, Any]:
    state = noted_state(row)
    is_known = state is not None and row.is_enabled
    return {
        "server_id": row.public_id,
        "server_name": row.name,
        "status": STATUS_OF.get(state.state, UNKNOWN) if state is not None and is_known else UNKNOWN,
        "latency_ms": state.latency_ms if state is not None else None,
        "last_health_check": state.checked_at if state is not None else None,
        "since": state.since if state is not None else None,
        "health_check_error": (state.error or None) if state is not None else None,
        "enabled": row.is_enabled,
    }


def noted_state(row: McpServer) -> McpServerState | None:
    """What was noted of a server; None before the first look at it."""
    state: McpServerState | None = getattr(row, "noted_state", None)
    return state


def _shown(row: McpServer, groups: Iterable[str], *, tools: dict[str, int], problem: str) -> ShownServer:
    secrets = shown_secrets(row)
    state = noted_state(row)
    is_oauth = row.auth == McpServer.Auth.CLIENT_CREDENTIALS
    credentials: dict[str, Any] = {}
    if is_oauth:
        credentials = {"client_id": row.auth_name, "scopes": row.scopes.split()}
    if secrets["secret"]:
        credentials["client_secret" if is_oauth else "auth_value"] = secrets["secret"]
    return ShownServer(
        **_health(row),
        alias=row.name,
        description=row.description,
        transport=row.transport,
        url=row.url,
        command=row.command,
        args=row.args,
        env=secrets["environment"],
        static_headers=secrets["headers"],
        auth_type=row.auth,
        auth_name=row.auth_name,
        credentials=credentials,
        token_url=row.token_url,
        allowed_tools=row.allowed_tools,
        mcp_access_groups=list(groups),
        argument_guards=row.argument_guards,
        needs_approval=row.needs_approval,
        connect_timeout_s=row.connect_timeout_s,
        call_timeout_s=row.call_timeout_s,
        total_timeout_s=row.total_timeout_s,
        max_sessions=row.max_sessions,
        max_result_bytes=row.max_result_bytes,
        refresh_interval_s=row.refresh_interval_s,
        problem=problem if row.is_enabled else "",
        tools=tools,
        protocol_version=state.protocol_version if state is not None else "",
        software=state.software if state is not None else "",
        instructions=state.instructions if state is not None else "",
        managed_by=row.managed_by,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )
