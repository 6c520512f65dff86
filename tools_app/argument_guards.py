"""What texts in arguments must not hold, whatever the schema says: for tools that run programs or open files.

Chosen for a tool, or for all tools of an MCP server. Names of members are looked at as their values are.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from tools_app.errors import INVALID, ConfigProblem, ToolError

if TYPE_CHECKING:
    from tools_app.arguments import ArgumentCheck

SHELL, TRAVERSAL = "shell_characters", "path_traversal"
GUARDS = (SHELL, TRAVERSAL)
LABELS = {
    SHELL: "no characters that shells act on: ; & | ` $ < > \\ and line breaks",
    TRAVERSAL: "no steps up in paths: .. between slashes, also percent-encoded",
}
_PATTERNS = {
    SHELL: re.compile(r"[;&|`$<>\\\r\n\0]"),
    TRAVERSAL: re.compile(r"(?:\A|[/\\]|%2f|%5c)(?:\.|%2e){2}(?:[/\\]|%2f|%5c|\Z)", re.IGNORECASE),
}
_WORDS = {
    SHELL: "has a character that shells act on, which this tool does not take",
    TRAVERSAL: "has a path with '..', which this tool does not take",
}
_MAX_PATH_CHARS = 300


def guarded(check: ArgumentCheck, guards: tuple[str, ...]) -> ArgumentCheck:
    """The check of a schema, and then of the texts. Without guards it is the check itself.

    ConfigProblem for a guard that there is not.
    """
    if not guards:
        return check
    if unknown := sorted(set(guards) - set(GUARDS)):
        raise ConfigProblem("argument_guards", f"There is no guard '{unknown[0][:100]}'.")

    def both(arguments: dict[str, Any]) -> None:
        check(arguments)
        check_texts(arguments, guards)

    return both


def check_texts(arguments: dict[str, Any], guards: tuple[str, ...]) -> None:
    """ToolError, which names the argument, if a text at any depth has what these guards refuse."""
    waiting: list[tuple[str, object]] = [("", arguments)]
    while waiting:
        path, value = waiting.pop()
        if isinstance(value, str):
            _check_text(path, value, guards)
        elif isinstance(value, dict):
            for name, member in value.items():
                where = f"{path}.{name}" if path else str(name)
                _check_text(where, str(name), guards)
                waiting.append((where, member))
        elif isinstance(value, list):
            waiting += [(f"{path}.{index}", member) for index, member in enumerate(value)]


def _check_text(path: str, text: str, guards: tuple[str, ...]) -> None:
    for guard in guards:
        if _PATTERNS[guard].search(text):
            where = path[:_MAX_PATH_CHARS]
            raise ToolError(f"{where}: it {_WORDS[guard]}", status=INVALID, argument=where)
