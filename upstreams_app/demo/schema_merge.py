"""Bring a schema into a flat form for the generator: references followed, `allOf` merged into it."""

from __future__ import annotations

from typing import Any, Final

from upstreams_app.demo.schema_check import NoInstance, Schema, SchemaDocument, listed, mapped, same

MAX_HOPS: Final = 64
_LARGEST: Final = {"minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties"}
_SMALLEST: Final = {"maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties"}
_GROUPS: Final = "x-alternatives"


def flattened(schema: Any, document: SchemaDocument, hops: int = 0) -> Schema:
    """The schema without `$ref`, `allOf`, `anyOf` and `oneOf`; the latter two become groups of alternatives.

    Raises NoInstance for `false`, for what is no schema and for references that run in a circle.
    """
    document.step()
    if schema is True:
        return {}
    if not isinstance(schema, dict) or hops > MAX_HOPS:
        raise NoInstance("the schema allows nothing, or refers to itself")
    flat = {key: value for key, value in schema.items() if key not in ("$ref", "allOf", "anyOf", "oneOf")}
    for keyword in ("anyOf", "oneOf"):
        if listed(schema, keyword):
            flat = merged(flat, {_GROUPS: [schema[keyword]]})
    parts = [document.resolve(schema["$ref"])] if "$ref" in schema else []
    for part in [*parts, *listed(schema, "allOf")]:
        flat = merged(flat, flattened(part, document, hops + 1))
    return flat


def alternatives_of(flat: Schema) -> tuple[list[Any] | None, Schema]:
    """The first group of alternatives of a flat schema, and the schema without it."""
    groups = flat.get(_GROUPS)
    if not groups:
        return None, flat
    rest = {key: value for key, value in flat.items() if key != _GROUPS}
    return groups[0], rest | ({_GROUPS: groups[1:]} if len(groups) > 1 else {})


def merged(left: Schema, right: Schema) -> Schema:
    """What both schemas ask; where two demands can't be joined the left one stays (the check decides)."""
    result = dict(left)
    for key, value in right.items():
        result[key] = _joined(key, left[key], value) if key in left else value
    return result


def _joined(key: str, left: Any, right: Any) -> Any:
    if key == "properties":
        return _joined_properties(mapped({key: left}, key), mapped({key: right}, key))
    if key in (_GROUPS, "required"):
        return listed({key: left}, key) + listed({key: right}, key)
    if key == "enum":
        return [value for value in listed({key: left}, key) if any(same(value, other) for other in right)]
    if key == "type":
        return _joined_types(left, right)
    if key in ("items", "additionalProperties"):
        return {"allOf": [left, right]}
    if key in _LARGEST | _SMALLEST and _is_number(left) and _is_number(right):
        return max(left, right) if key in _LARGEST else min(left, right)
    return left


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _joined_properties(left: Schema, right: Schema) -> Schema:
    both = {name: {"allOf": [left[name], right[name]]} for name in left if name in right}
    return left | right | both


def _joined_types(left: Any, right: Any) -> list[Any]:
    lefts = left if isinstance(left, list) else [left]
    rights = right if isinstance(right, list) else [right]
    shared = [name for name in lefts if name in rights]
    has_integer = {("integer", "number"), ("number", "integer")} & {(a, b) for a in lefts for b in rights}
    return [*shared, "integer"] if has_integer and "integer" not in shared else shared
