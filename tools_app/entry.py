"""A tool as calls need it, and one call of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from gateway_project.core.context import RequestContext

if TYPE_CHECKING:
    from tools_app.arguments import ArgumentCheck


class Progress(Protocol):
    """Told how far a call is: progress, its end if that is known, and words."""

    async def __call__(self, progress: float, total: float | None, message: str | None) -> None:
        """Must return soon: messages of the same session wait for it."""


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
    on_progress: Progress | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class PartialText:
    """A result of which no more was read than a model is given."""

    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What a call came to. `text` is what a model reads; the rest is as MCP has it, for clients that take it.

    `content` are MCP's content blocks as JSON: of a tool that knows nothing of MCP one text. `is_error`: the
    tool itself says that it failed, and the text tells the model how.
    """

    text: str = field(repr=False)
    content: tuple[dict[str, Any], ...] = field(repr=False)
    structured: Any = field(default=None, repr=False)
    is_error: bool = False
