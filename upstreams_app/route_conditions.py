"""Conditions of a route's targets: the names that a CEL expression may use, and values to try it with."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

from gateway_project.core.expressions import Expression, ExpressionError, compile_expression

EXAMPLE_VALUES: Final[dict[str, Any]] = {
    "model": "fast",
    "operation": "chat",
    "stream": True,
    "tokens": 1200,
    "has_tools": False,
    "has_images": False,
    "tags": ["batch"],
    # Any header may be asked for; without `in`, one that is not sent is an error, and so no match.
    "headers": {"user-agent": "openai-python", "accept-language": "de", "x-session-id": "s1"},
    "hour": 9,
    "now": datetime(2026, 1, 31, 9, 5, tzinfo=UTC),
    "principal": {
        "key_id": "0" * 32,
        "key_name": "example",
        "team_id": "1" * 32,
        "organization_id": "2" * 32,
        "user_id": "ada",
        "end_user": "visitor-1",
    },
    # Whatever was said of the key and of its team; a member that is not there is no match either.
    "metadata": {"plan": "gold"},
    "team_metadata": {"region": "eu"},
}
# What they hold nobody knows before: expressions that ask for it are not tried with examples.
OPEN_NAMES: Final = frozenset({"headers", "metadata", "team_metadata"})
NAMES: Final = frozenset(EXAMPLE_VALUES)


def compile_condition(text: str) -> Expression:
    """A condition over `NAMES`; ExpressionError (a ValueError) if it can't be used."""
    return compile_expression(text, names=NAMES)


def check_condition(text: str) -> None:
    """ValueError, in words for its author, unless it compiles and is true or false for a request."""
    if not text:
        return
    try:
        expression = compile_condition(text)
        if OPEN_NAMES.isdisjoint(expression.variables):
            expression.check_with(EXAMPLE_VALUES)
    except ExpressionError as error:
        raise ValueError(f"This condition can't be used: {error}.") from error
