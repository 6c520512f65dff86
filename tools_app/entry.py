"""A tool as calls need it, and one call of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from gateway_project.core.context import RequestContext

if TYPE_CHECKING:
    from tools_app.arguments import ArgumentCheck


@dataclass(frozen=True, slots=True)
class ToolEntry:
    """One tool that may be called.

    `prepared` is what its kind made of the configuration, and may hold secrets. `parameters` is the JSON
    Schema of its arguments, which nobody may change.
    """

    name: str
    kind: str
    description: str
    parameters: dict[str, Any] = field(repr=False)
    check_arguments: ArgumentCheck = field(repr=False)
    prepared: Any = field(repr=False)
    timeout_s: float
    max_result_bytes: int


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One call, with arguments that fit the schema. `agent` is who calls, "" for nobody's agent."""

    context: RequestContext
    tool: ToolEntry
    arguments: dict[str, Any] = field(repr=False)
    call_id: str
    agent: str


@dataclass(frozen=True, slots=True)
class PartialText:
    """A result of which no more was read than a model is given."""

    text: str = field(repr=False)
