"""Kinds of guardrails that declared agents can name: what one must do, and the registry of them.

An app that brings kinds registers them when it starts; agents name them, and sdk/builder.py puts them in.
"""

from __future__ import annotations

from typing import Literal, Protocol

Stage = Literal["input", "output"]


class GuardKind(Protocol):
    """One kind of guardrail. It is shared by all runs, at the same time."""

    @property
    def name(self) -> str:
        """What definitions call it."""

    @property
    def stage(self) -> Stage:
        """Whether it looks at what the client sends, before any model does, or at the agent's answer."""

    async def refuses(self, text: str) -> bool:
        """Whether the text must not pass: the client gets 403 `guardrail_blocked` then.

        It runs on the server's event loop, and counts as part of the run's time. An exception ends the run
        with 500 `agent_failed`: a guardrail that can't decide lets nothing pass.
        """


_kinds: dict[str, GuardKind] = {}


def register_guard_kind(kind: GuardKind) -> None:
    """Make a kind known by its name; the later one of the same name counts."""
    _kinds[kind.name] = kind


def forget_guard_kind(name: str) -> None:
    """The inverse of `register_guard_kind`."""
    _kinds.pop(name, None)


def find_guard_kind(name: str) -> GuardKind | None:
    """The kind of this name."""
    return _kinds.get(name)


def guard_kind_names() -> list[str]:
    """All names, sorted."""
    return sorted(_kinds)
