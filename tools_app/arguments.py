"""JSON Schemas of arguments: whether one can be used, and whether arguments fit it.

The library is imported where there is a tool. References lead nowhere outside of the schema: it must not make
the gateway fetch anything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from gateway_project.core.codec import dumps
from tools_app.bounded_validation import TooMuchWork, bounded, errors_of, without_dialects
from tools_app.errors import INVALID, ConfigProblem, ToolError

MAX_SCHEMA_BYTES = 65_536
_MAX_REASON_CHARS = 300
_MEMBER = "parameters"
# Raises ToolError, which names the member, unless the arguments fit.
ArgumentCheck = Callable[[dict[str, Any]], None]


def argument_check(schema: object) -> ArgumentCheck:
    """The compiled check of a schema; ConfigProblem says what is wrong with the schema."""
    from jsonschema import SchemaError  # type: ignore[import-untyped]  # It ships no types.
    from jsonschema.exceptions import best_match  # type: ignore[import-untyped]
    from jsonschema.validators import Draft202012Validator, validator_for  # type: ignore[import-untyped]
    from referencing import Registry, Resource
    from referencing.jsonschema import DRAFT202012

    plain = _plain(schema)
    kind = validator_for(plain, default=Draft202012Validator)
    try:
        kind.check_schema(plain, format_checker=kind.FORMAT_CHECKER)
    except SchemaError as error:
        raise ConfigProblem(_MEMBER, _described(error, "the schema")) from error
    except RecursionError as error:
        raise ConfigProblem(_MEMBER, "The schema is nested too deeply.") from error
    for reference in _references(plain):
        if not reference.startswith("#"):
            raise ConfigProblem(_MEMBER, f"The reference '{reference[:100]}' leads out of the schema.")
    validator = bounded(kind)(without_dialects(plain), registry=Registry())

    def check(arguments: dict[str, Any]) -> None:
        try:
            error = best_match(errors_of(validator, arguments))
        except RecursionError:
            raise ToolError("the arguments are nested too deeply", status=INVALID) from None
        except TooMuchWork:
            raise ToolError("the arguments are too much to check", status=INVALID) from None
        if error is not None:
            raise ToolError(_described(error, "the arguments"), status=INVALID, argument=_argument(error))

    try:
        # A reference to nowhere would show only when a call follows it.
        resolver = Registry().resolver_with_root(Resource.from_contents(plain, DRAFT202012))
        for reference in _references(plain):
            resolver.lookup(reference)
        errors_of(validator, {})
    except TooMuchWork as error:
        raise ConfigProblem(
            _MEMBER, "The references of the schema multiply: checking takes too long."
        ) from error
    except Exception as error:
        raise ConfigProblem(_MEMBER, "A reference of the schema leads to nothing, or to itself.") from error
    return check


def _plain(schema: object) -> dict[str, Any]:
    if not isinstance(schema, dict) or schema.get("type") != "object":
        raise ConfigProblem(_MEMBER, "Give a JSON Schema object whose 'type' is 'object'.")
    if not isinstance(schema.get("$schema", ""), str):
        raise ConfigProblem(_MEMBER, "The member '$schema' must be a text.")
    try:
        size = len(dumps(schema))
    except (TypeError, ValueError) as error:
        raise ConfigProblem(_MEMBER, "The schema can't be written as JSON.") from error
    if size > MAX_SCHEMA_BYTES:
        raise ConfigProblem(_MEMBER, f"The schema has more than {MAX_SCHEMA_BYTES} bytes.")
    return schema


def _references(value: object) -> Iterator[str]:
    """All `$ref` and `$dynamicRef` of a schema, at any depth."""
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            for name, member in one.items():
                if name in ("$ref", "$dynamicRef") and isinstance(member, str):
                    yield member
                else:
                    waiting.append(member)
        elif isinstance(one, list):
            waiting.extend(one)


def _described(error: Any, whole: str) -> str:
    """Where, and what: `city: 'x' is not of type 'integer'`."""
    where = ".".join(str(step) for step in error.absolute_path) or whole
    text = f"{where}: {error.message}"
    return text if len(text) <= _MAX_REASON_CHARS else f"{text[:_MAX_REASON_CHARS]}…"


def _argument(error: Any) -> str:
    """The path of what is wrong; of something that is missing, where it should be."""
    steps = [str(step) for step in error.absolute_path]
    if error.validator == "required" and isinstance(error.instance, dict):
        steps += [name for name in error.validator_value if name not in error.instance][:1]
    return ".".join(steps)[:_MAX_REASON_CHARS]
