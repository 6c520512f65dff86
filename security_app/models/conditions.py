"""Conditions of access rules: the names that a CEL expression may use, and values to try it with."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from django.core.exceptions import ValidationError

from gateway_project.core.expressions import Expression, ExpressionError, compile_expression

# What a condition is tried with when it is saved. Its keys are the names that there are.
EXAMPLE_VALUES: dict[str, Any] = {
    "kind": "tool",
    "object": "crm_find_order",
    "ip": "203.0.113.7",
    "agent": "desk/billing",
    "arguments": {},
    "now": datetime(2026, 1, 31, 9, 5, tzinfo=UTC),
    "principal": {
        "key_id": "0" * 32,
        "key_name": "example",
        "team_id": "1" * 32,
        "organization_id": "2" * 32,
        "user_id": "ada",
        "end_user": "visitor-1",
        "scopes": ["inference"],
    },
    "claims": {},
}
NAMES = frozenset(EXAMPLE_VALUES)


def compile_condition(text: str) -> Expression:
    """A condition over `NAMES`; ExpressionError if it can't be used."""
    return compile_expression(text, names=NAMES)


def validate_condition(text: str) -> None:
    """ValidationError unless it compiles and, tried with examples, is true or false.

    A condition over the arguments of tools, or the claims of tokens, can't be tried: what they hold is up
    to others.
    """
    if not text.strip():
        return
    try:
        expression = compile_condition(text)
        if expression.variables.isdisjoint({"arguments", "claims"}):
            expression.check_with(EXAMPLE_VALUES)
    except ExpressionError as error:
        raise ValidationError(f"This condition can't be used: {error}.", code="unusable") from error
