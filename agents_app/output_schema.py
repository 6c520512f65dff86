"""JSON Schemas of answers: what upstreams take as `response_format`, and what strict ones must be."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from gateway_project.core.errors import InvalidRequest

MAX_SCHEMA_CHARS = 100_000
_MAX_DEPTH = 40
_MAX_REASON = 300
# Where a schema holds other schemas: by name, in a list, or one.
_NAMED = ("properties", "$defs", "definitions")
_LISTED = ("anyOf", "allOf", "oneOf", "prefixItems")
_SINGLE = ("items",)


def check_output_schema(schema: dict[str, Any], *, is_strict: bool) -> None:
    """InvalidRequest if this is no JSON Schema of an object, or no strict one where it has to be."""
    try:
        is_small = len(json.dumps(schema, allow_nan=False)) <= MAX_SCHEMA_CHARS
    except (ValueError, RecursionError) as error:
        raise _invalid("is no JSON Schema") from error
    if not is_small:
        raise _invalid(f"may have at most {MAX_SCHEMA_CHARS} characters")
    if schema.get("type") != "object":
        raise _invalid("must be the schema of an object: its 'type' must be \"object\"")
    _check_form(schema)
    if is_strict:
        for place, part in _parts(schema, "", 0):
            _check_strict(part, place)


def _check_form(schema: dict[str, Any]) -> None:
    # Only who declares agents with a schema needs the library.
    from jsonschema import Draft202012Validator  # type: ignore[import-untyped]
    from jsonschema.exceptions import SchemaError  # type: ignore[import-untyped]

    try:
        Draft202012Validator.check_schema(schema)
    except (SchemaError, RecursionError) as error:
        reason = str(getattr(error, "message", "it is nested too deeply"))
        path = "/".join(str(part) for part in getattr(error, "path", ()))
        raise _invalid(
            f"is no JSON Schema: {reason[:_MAX_REASON]}" + (f" (at {path})" if path else "")
        ) from error


def _parts(schema: Any, place: str, depth: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """The schema and all schemas in it, with their places."""
    if not isinstance(schema, dict) or depth > _MAX_DEPTH:
        return
    yield place, schema
    inner: list[tuple[str, Any]] = [(name, schema.get(name)) for name in _SINGLE]
    for name in _NAMED:
        inner += [(f"{name}/{key}", one) for key, one in (schema.get(name) or {}).items()]
    for name in _LISTED:
        inner += [(f"{name}/{number}", one) for number, one in enumerate(schema.get(name) or ())]
    for name, one in inner:
        yield from _parts(one, f"{place}/{name}", depth + 1)


def _check_strict(part: dict[str, Any], place: str) -> None:
    """Upstreams that keep to a schema want every object closed, with every member required."""
    if part.get("type") != "object" and "properties" not in part:
        return
    where = f" (at {place[1:]})" if place else ""
    if part.get("additionalProperties") is not False:
        raise _invalid(f'is not strict: an object needs "additionalProperties": false{where}')
    if missing := sorted(set(part.get("properties") or {}) - set(part.get("required") or ())):
        raise _invalid(f"is not strict: '{missing[0]}' must be in 'required'{where}")


def _invalid(what: str) -> InvalidRequest:
    return InvalidRequest(f"'output_schema' {what}.", param="output_schema")
