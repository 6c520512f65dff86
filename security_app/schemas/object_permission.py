"""What a key or a team may use of MCP servers, in LiteLLM's words."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, Field, StringConstraints

from security_app.schemas.base import StrictModel

Name = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Names = Annotated[list[Name], Field(max_length=200)]
SomeNames = Annotated[list[Name], Field(min_length=1, max_length=200)]


class ObjectPermission(StrictModel):
    """A way to say `allowed_tools`: what is left out stays."""

    mcp_servers: Names | None = Field(default=None, description="All tools of these servers: names or ids.")
    mcp_access_groups: Names | None = Field(default=None, description="What these access groups hold.")
    mcp_tool_permissions: Annotated[dict[Name, SomeNames], Field(max_length=200)] | None = Field(
        default=None, description="Of these servers these tools only, by their names there."
    )


class ShownPermission(BaseModel):
    """The part of `allowed_tools` that is about MCP servers and groups."""

    mcp_servers: list[str]
    mcp_access_groups: list[str]
    mcp_tool_permissions: dict[str, list[str]]
