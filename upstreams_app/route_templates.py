"""Templates of a route: members of the body and headers to upstreams whose values are CEL expressions.

They ask what conditions of targets ask, of the request as the client wrote it. What goes wrong in one, or has
a result that can't be sent, leaves its member or header as it is without it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Any, Final

import msgspec

from gateway_project.core.codec import dumps, loads
from gateway_project.core.expressions import Expression, ExpressionError
from upstreams_app.route_conditions import EXAMPLE_VALUES, OPEN_NAMES, compile_condition
from upstreams_app.route_headers import check_header_name, is_sendable

MAX_TEMPLATES: Final = 16
ValuesOf = Callable[[Collection[str]], Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Templates:
    """Compiled, by the names of members and of headers; `reads` are the names that they ask for."""

    members: Mapping[str, Expression]
    headers: Mapping[str, Expression]
    reads: frozenset[str]

    def results(self, values_of: ValuesOf) -> tuple[dict[str, msgspec.Raw], dict[str, str]]:
        """The members and the headers that they give for one request."""
        values = values_of(self.reads)
        members = {
            name: msgspec.Raw(json)
            for name, expression in self.members.items()
            if (json := _member(expression.result(values))) is not None
        }
        headers = {
            name: text
            for name, expression in self.headers.items()
            if (text := _header(expression.result(values))) is not None
        }
        return members, headers


def read_templates(members: Any, headers: Any) -> Templates | None:
    """Compiled templates, None where there are none; ValueError for what can't be used."""
    if not members and not headers:
        return None
    compiled = [dict(_compiled(each)) for each in (members, headers)]
    for name in compiled[1]:
        check_header_name(name)
    reads = frozenset().union(*(one.variables for each in compiled for one in each.values()))
    return Templates(compiled[0], compiled[1], reads)


def check_header_templates(value: Any) -> None:
    """ValueError unless it is an object of headers and expressions that give a text or a number."""
    for name, expression in _compiled(value):
        check_header_name(name)
        _try(name, expression, _header)


def check_member_templates(value: Any, check_member: Callable[[Any], None]) -> None:
    """ValueError unless it is an object of members that a route may set, and of expressions."""
    for name, expression in _compiled(value):
        check_member({name: None})
        _try(name, expression, _member)


def _compiled(value: Any) -> Iterator[tuple[str, Expression]]:
    if not isinstance(value, dict) or len(value) > MAX_TEMPLATES:
        raise ValueError(f"Give a JSON object of at most {MAX_TEMPLATES} names and CEL expressions.")
    for name, text in value.items():
        if not isinstance(text, str):
            raise ValueError(f"'{name}' needs a CEL expression.")
        try:
            yield name, compile_condition(text)
        except ExpressionError as error:
            raise ValueError(f"The template of '{name}' can't be used: {error}.") from error


def _try(name: str, expression: Expression, form: Callable[[Any], object]) -> None:
    """ValueError where example values give nothing to send."""
    if not OPEN_NAMES.isdisjoint(expression.variables):
        return
    if form(expression.result(EXAMPLE_VALUES)) is None:
        raise ValueError(f"The template of '{name}' has no result that can be sent, with example values.")


def _header(result: Any) -> str | None:
    """A result as a header's value; None for what is none."""
    if isinstance(result, bool):
        return "true" if result else "false"
    if isinstance(result, int) or (isinstance(result, float) and isfinite(result)):
        return f"{result:g}" if isinstance(result, float) else str(result)
    return result if isinstance(result, str) and is_sendable(result) else None


def _member(result: Any) -> bytes | None:
    """A result as JSON; None for null, and for what JSON has no word for."""
    if result is None:
        return None
    try:
        text = dumps(result)
    except (TypeError, ValueError, RecursionError):
        return None
    # Infinities and moments would come back as something else.
    return text if loads(text) == result else None
