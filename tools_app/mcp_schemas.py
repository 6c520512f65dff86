"""Bodies, queries and answers of the routes of MCP servers: LiteLLM's names over the fields of McpServer."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from tools_app.schemas import Guard, StrictModel

Transport = Literal["http", "streamable_http", "sse", "stdio"]
AuthType = Literal["none", "api_key", "bearer", "bearer_token", "basic", "oauth2", "oauth_client_credentials"]
Status = Literal["healthy", "unhealthy", "unknown"]
ToolState = Literal["pinned", "pending", "quarantined", "gone"]
Name = Annotated[str, StringConstraints(min_length=1, max_length=32)]
Url = Annotated[str, StringConstraints(max_length=2000)]
Texts = Annotated[
    list[Annotated[str, StringConstraints(min_length=1, max_length=1000)]], Field(max_length=200)
]
Pairs = Annotated[dict[str, str], Field(max_length=64)]
Seconds = Annotated[float, Field(strict=False, ge=0.05, le=3600)]
GroupName = Annotated[str, StringConstraints(min_length=1, max_length=100)]


class Credentials(StrictModel):
    """What the gateway shows at the server's door; stored encrypted, and masked when it is shown."""

    auth_value: Annotated[str, StringConstraints(max_length=4000)] | None = Field(
        default=None, description="The key, token or password, or env:NAME or file:/path."
    )
    client_id: Annotated[str, StringConstraints(max_length=200)] | None = None
    client_secret: Annotated[str, StringConstraints(max_length=4000)] | None = None
    scopes: Annotated[list[str], Field(max_length=50)] | None = None


class ServerFields(StrictModel):
    """What may be said of an MCP server."""

    description: Annotated[str, StringConstraints(max_length=500)] | None = None
    transport: Transport | None = Field(default=None, description="http is streamable_http.")
    url: Url | None = None
    command: Annotated[str, StringConstraints(max_length=500)] | None = Field(
        default=None, description="stdio: the program; GATEWAY_MCP_STDIO_COMMANDS names what may run."
    )
    args: Texts | None = None
    env: Pairs | None = Field(default=None, description="stdio: variables of the program, stored encrypted.")
    static_headers: Pairs | None = Field(default=None, description="Sent with each request; encrypted.")
    auth_type: AuthType | None = None
    auth_name: Annotated[str, StringConstraints(max_length=200)] | None = Field(
        default=None, description="The header of an API key (X-API-Key), or the user name."
    )
    credentials: Credentials | None = None
    token_url: Url | None = None
    allowed_tools: Texts | None = Field(
        default=None, description="Names or patterns of the server's own tools; empty: all."
    )
    mcp_access_groups: Annotated[list[GroupName], Field(max_length=50)] | None = Field(
        default=None, description="Access groups that hold all of its tools; new ones are made."
    )
    argument_guards: list[Guard] | None = Field(
        default=None, description="What no text in the arguments of its tools may hold."
    )
    needs_approval: bool | None = Field(default=None, description="Whether new tools wait for a person.")
    timeout: Seconds | None = Field(default=None, description="The same as call_timeout_s.")
    connect_timeout_s: Seconds | None = None
    call_timeout_s: Seconds | None = None
    total_timeout_s: Seconds | None = None
    max_sessions: Annotated[int, Field(ge=1, le=32)] | None = None
    max_result_bytes: Annotated[int, Field(ge=64, le=4_194_304)] | None = None
    refresh_interval_s: Annotated[int, Field(ge=10, le=86_400)] | None = None
    enabled: bool | None = None


class NewServer(ServerFields):
    """`POST /v1/mcp/server`; `server_name` or `alias` is needed."""

    server_name: Name | None = Field(default=None, description="Before the names of its tools: name__tool.")
    alias: Name | None = Field(default=None, description="The same as server_name.")


class ServerPatch(ServerFields):
    """`PATCH /v1/mcp/server/{id}`; what is left out, or null, stays. The name stays."""

    server_name: Name | None = None
    alias: Name | None = None


class ServerUpdate(ServerPatch):
    """`PUT /v1/mcp/server`: as PATCH, with the id in the body."""

    server_id: Annotated[str, StringConstraints(min_length=1, max_length=200)] = Field(
        description="Its id, or its name."
    )


class ServerPut(ServerPatch):
    """`PUT /v1/mcp/server/{id}`: as PATCH; an id in the body must be the same."""

    server_id: Annotated[str, StringConstraints(min_length=1, max_length=200)] | None = None


class ServerHealth(BaseModel):
    """Whether a server answers, as the process that looks after it found."""

    server_id: str
    server_name: str
    status: Status
    latency_ms: float | None = Field(description="Of the last look; null if it did not answer.")
    last_health_check: datetime | None
    since: datetime | None = Field(description="Since when its state is what it is.")
    health_check_error: str | None
    enabled: bool


class ShownServer(ServerHealth):
    """One server. Secrets are masked, unless they say where the secret is."""

    object: Literal["mcp_server"] = "mcp_server"
    alias: str
    description: str
    transport: str
    url: str
    command: str
    args: list[str]
    env: dict[str, str]
    static_headers: dict[str, str]
    auth_type: str
    auth_name: str
    credentials: dict[str, Any]
    token_url: str
    allowed_tools: list[str]
    mcp_access_groups: list[str]
    argument_guards: list[str]
    needs_approval: bool
    connect_timeout_s: float
    call_timeout_s: float
    total_timeout_s: float
    max_sessions: int
    max_result_bytes: int
    refresh_interval_s: int
    problem: str = Field(description="Why it is left out of the configuration; empty if it is not.")
    tools: dict[str, int] = Field(description="How many tools are in each state.")
    protocol_version: str
    software: str
    instructions: str
    managed_by: str
    created_at: datetime
    updated_at: datetime


class DeletedServer(BaseModel):
    """What is gone, with its tools."""

    server_id: str
    server_name: str
    deleted: Literal[True] = True


class ServerQuery(BaseModel):
    """`GET /v1/mcp/server`."""

    model_config = ConfigDict(extra="forbid")

    access_group: GroupName | None = None


class ToolQuery(BaseModel):
    """`GET /v1/mcp/tools`."""

    model_config = ConfigDict(extra="forbid")

    server: Annotated[str, StringConstraints(max_length=200)] | None = None
    access_group: GroupName | None = None
    state: ToolState | None = None
    waits: bool | None = Field(default=None, description="true: those that a person has to decide on.")
    page: int = Field(default=1, ge=1, le=100_000)
    size: int = Field(default=50, ge=1, le=200)


class AccessGroups(BaseModel):
    """The access groups that hold all tools of some MCP server."""

    access_groups: list[str]


class TestedServer(BaseModel):
    """What connecting came to just now; nothing of it is stored."""

    server_id: str
    server_name: str
    status: Literal["ok", "error"]
    error: str | None
    latency_ms: float
    protocol_version: str
    software: str
    tools: list[dict[str, Any]]
    prompts: list[dict[str, Any]]
    resources: list[dict[str, Any]]
    resource_templates: list[dict[str, Any]]


class Change(BaseModel):
    """A member of a definition that is otherwise now, as lines that begin with `+`, `-` or a blank."""

    member: str
    lines: list[str]
    is_cut: bool


class ShownMcpTool(BaseModel):
    """A tool of an MCP server: what is pinned, and what waits for a decision."""

    id: str
    object: Literal["mcp_tool"] = "mcp_tool"
    name: str
    server_id: str
    server_name: str
    tool_name: str = Field(description="The name that it has at its server.")
    state: ToolState
    enabled: bool
    definition: dict[str, Any]
    fingerprint: str
    findings: list[Any]
    waiting_fingerprint: str | None = Field(description="What an approval is about; null: nothing waits.")
    changes: list[Change] | None = Field(description="Only of one tool: what is otherwise than pinned.")
    problem: str
    created_at: datetime
    updated_at: datetime


class McpToolList(BaseModel):
    """One page of tools, by name."""

    data: list[ShownMcpTool]
    total_count: int
    current_page: int
    total_pages: int


class McpToolPatch(StrictModel):
    """`PATCH /v1/mcp/tools/{name}`."""

    enabled: bool


class Decision(StrictModel):
    """`POST /v1/mcp/tools/{name}/approve` and `…/reject`."""

    fingerprint: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")] = Field(
        description="`waiting_fingerprint` of what was looked at."
    )
