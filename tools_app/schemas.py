"""Bodies and answers of the tool routes."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator

Kind = Literal["python", "http", "agent"]
# Those of MCP servers are found, not made.
ShownKind = Literal["python", "http", "agent", "mcp"]
Guard = Literal["shell_characters", "path_traversal"]
Name = Annotated[str, StringConstraints(pattern=r"^[a-zA-Z0-9_-]{1,64}$")]


class StrictModel(BaseModel):
    """A body whose unknown fields are errors."""

    model_config = ConfigDict(extra="forbid", strict=True)


def _plain(value: dict[str, Any] | None) -> dict[str, Any] | None:
    # Read back, numbers are plain floats again.
    return None if value is None else json.loads(json.dumps(value, ensure_ascii=False))


class ToolFields(StrictModel):
    """What may be said of a tool."""

    description: Annotated[str, StringConstraints(max_length=4000)] | None = Field(
        default=None, description="What a model is told; only tools of the kind agent have one of their own."
    )
    config: dict[str, Any] | None = Field(
        default=None,
        description="python: callable (module:function). http: method, url, headers. agent: agent (its id).",
    )
    parameters: dict[str, Any] | None = Field(
        default=None, description="JSON Schema of the arguments, of type object; {}: the kind's default."
    )
    argument_guards: list[Guard] | None = Field(
        default=None, description="What no text in the arguments may hold, whatever the schema allows."
    )
    timeout_s: Annotated[float, Field(strict=False, ge=0.05, le=3600)] | None = None
    max_result_bytes: Annotated[int, Field(ge=64, le=4_194_304)] | None = None
    enabled: bool | None = None

    @field_validator("config", "parameters")
    @classmethod
    def _is_plain(cls, value: dict[str, Any] | None) -> dict[str, Any] | None:
        return _plain(value)


class NewTool(ToolFields):
    """`POST /tools`."""

    name: Name
    kind: Kind


class ToolPatch(ToolFields):
    """`PATCH /tools/{name}`; what is left out, or null, stays."""

    name: Name | None = None
    kind: Kind | None = None


class ShownTool(BaseModel):
    """One tool. Values of headers are masked, unless they say where the secret is."""

    id: str
    object: Literal["tool"] = "tool"
    name: str
    kind: ShownKind
    description: str
    config: dict[str, Any]
    parameters: dict[str, Any]
    argument_guards: list[str]
    timeout_s: float
    max_result_bytes: int
    enabled: bool
    problem: str = Field(description="Why it can't be called as it is; empty if it can, or is off.")
    managed_by: str
    created_at: datetime
    updated_at: datetime


class ToolList(BaseModel):
    """All tools by name."""

    object: Literal["list"] = "list"
    data: list[ShownTool]


class DeletedTool(BaseModel):
    """What is gone."""

    id: str
    name: str
    deleted: Literal[True] = True


class TrialBody(StrictModel):
    """`POST /tools/{name}/test`."""

    arguments: dict[str, Any] = Field(default_factory=dict)

    @field_validator("arguments")
    @classmethod
    def _is_plain(cls, value: dict[str, Any]) -> dict[str, Any]:
        return _plain(value) or {}


class ShownTrial(BaseModel):
    """What a call came to: its result, or what a model would be told instead."""

    tool: str
    status: str = Field(description="ok, error, invalid, timeout or not_found (it is off).")
    result: str | None
    error: str | None
    latency_ms: float
