"""Conditions of access rules and limits: the names that CEL expressions may use, and values to try them."""

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
# As above, for conditions of limits.
LIMIT_EXAMPLES: dict[str, Any] = {
    "model": "openai/gpt-4o",
    "route": "/v1/chat/completions",
    "ip": "203.0.113.7",
    "agent": "desk/billing",
    "tags": ["nightly"],
    "now": EXAMPLE_VALUES["now"],
    "principal": EXAMPLE_VALUES["principal"],
    "claims": {},
}
LIMIT_NAMES = frozenset(LIMIT_EXAMPLES)


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


def compile_limit_condition(text: str) -> Expression:
    """A condition over `LIMIT_NAMES`; ExpressionError if it can't be used."""
    return compile_expression(text, names=LIMIT_NAMES)


def validate_limit_condition(text: str) -> None:
    """ValidationError unless it compiles and, tried with examples, is true or false; not so claims."""
    if not text.strip():
        return
    try:
        expression = compile_limit_condition(text)
        if "claims" not in expression.variables:
            expression.check_with(LIMIT_EXAMPLES)
    except ExpressionError as error:
        raise ValidationError(f"This condition can't be used: {error}.", code="unusable") from error
