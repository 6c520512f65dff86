"""The kinds of tools: what one is, and which there are. Apps above register theirs when they are ready."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from tools_app.entry import ToolCall

ANY_OBJECT: dict[str, Any] = {"type": "object", "properties": {}}


class ToolKind(Protocol):
    """How tools of one kind are configured and called."""

    id: str
    # For tools that say nothing of their own.
    default_parameters: dict[str, Any]

    def default_description(self, config: Mapping[str, Any]) -> str:
        """What the model is told of a tool without a description; "" where each must have one."""

    def prepare(self, config: Mapping[str, Any], parameters: Mapping[str, Any]) -> Any:
        """What calls need, made once for each configuration. ConfigProblem names the member that is wrong.

        Called in a thread, also while the snapshot is built: it must not read from that.
        """

    def check(self, prepared: Any) -> None:
        """What else is wrong at the moment at which somebody saves the tool, as ConfigProblem."""

    async def invoke(self, call: ToolCall) -> object:
        """The result: a text, PartialText, or what JSON can hold. Any exception is an error of the tool.

        It is cancelled when the tool's time is over or the request ends.
        """


_kinds: dict[str, ToolKind] = {}


def register_kind(kind: ToolKind) -> None:
    """Add a kind; for `ready()`."""
    _kinds[kind.id] = kind


def find_kind(kind_id: str) -> ToolKind | None:
    """A kind by its id."""
    return _kinds.get(kind_id)


def refuse_unknown_members(config: Mapping[str, Any], known: tuple[str, ...]) -> None:
    """ConfigProblem for a member that a kind does not have."""
    from tools_app.errors import ConfigProblem

    for name in config:
        if name not in known:
            raise ConfigProblem(str(name), f"There is no such member; there are {', '.join(known)}.")
