"""Whether a JSON value conforms to a JSON Schema, for the keywords that the demo's generator knows.

Schemas come from clients: every look at one takes a step from a budget, so a hostile schema ends in
NoInstance and not in a busy process. Unknown keywords are ignored, as the specification asks.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any, Final

from upstreams_app.demo.pattern import Node, UnsupportedPattern, fits, parse_pattern, weight

MAX_STEPS: Final = 8_000
MAX_NESTING: Final = 64
MAX_PATTERN_CHARS: Final = 1000
Schema = dict[str, Any]


class NoInstance(ValueError):
    """No value was found for a schema: it is wrong, contradictory, or beyond what the demo can do."""


class SchemaDocument:
    """A root schema: resolves references into it, remembers patterns, counts steps."""

    def __init__(self, root: Schema) -> None:
        self.root = root
        self.steps_left = MAX_STEPS
        self._patterns: dict[str, Node] = {}

    def step(self, cost: int = 1) -> None:
        """Take steps from the budget; raises NoInstance when it is used up."""
        self.steps_left -= cost
        if self.steps_left < 0:
            raise NoInstance("the schema is too large")

    def resolve(self, reference: Any) -> Any:
        """The schema that a local reference (`#`, `#/$defs/x`) points to; raises NoInstance."""
        self.step()
        if not isinstance(reference, str) or not reference.startswith("#"):
            raise NoInstance("only references inside the schema are supported")
        target: Any = self.root
        for part in reference[1:].split("/")[1:]:
            key = part.replace("~1", "/").replace("~0", "~")
            if isinstance(target, list) and key.isdecimal() and int(key) < len(target):
                target = target[int(key)]
            elif isinstance(target, dict) and key in target:
                target = target[key]
            else:
                raise NoInstance(f"the reference '{reference}' points to nothing")
        return target

    def pattern(self, text: str) -> Node:
        """The parsed pattern; raises NoInstance for one that is not supported."""
        if text not in self._patterns:
            if len(text) > MAX_PATTERN_CHARS:
                raise NoInstance("a pattern is too long")
            self.step(len(text))
            try:
                self._patterns[text] = parse_pattern(text)
            except UnsupportedPattern as error:
                raise NoInstance(f"the pattern '{text}' is not supported: {error}") from error
        return self._patterns[text]

    def matches(self, pattern: str, text: str) -> bool:
        """Whether the pattern is found in the text; long texts and patterns cost more steps."""
        node = self.pattern(pattern)
        self.step(1 + len(text) * weight(node) // 100)
        return fits(node, text)


def conforms(value: Any, schema: Any, document: SchemaDocument, nesting: int = 0) -> bool:
    """Whether the value is an instance of the schema; raises NoInstance for a schema that can't be read."""
    document.step()
    if isinstance(schema, bool):
        return schema
    if not isinstance(schema, dict) or nesting > MAX_NESTING:
        raise NoInstance("a schema must be an object, not nested without end")
    if "$ref" in schema and not conforms(value, document.resolve(schema["$ref"]), document, nesting + 1):
        return False
    is_simply_fine = _has_type(value, schema) and _is_allowed(value, schema)
    return (
        is_simply_fine
        and _fits_kind(value, schema, document, nesting + 1)
        and _fits_combined(value, schema, document, nesting + 1)
    )


def same(left: Any, right: Any) -> bool:
    """Equality in JSON: 1 is 1.0, but not true."""
    if left is right:
        return True
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    return bool(left == right)


_TYPES: Final[dict[str, Callable[[Any], bool]]] = {
    "null": lambda value: value is None,
    "boolean": lambda value: isinstance(value, bool),
    "integer": lambda value: _is_number(value) and (isinstance(value, int) or value.is_integer()),
    "number": lambda value: _is_number(value),
    "string": lambda value: isinstance(value, str),
    "array": lambda value: isinstance(value, list),
    "object": lambda value: isinstance(value, dict),
}


def schema_types(schema: Schema) -> list[str] | None:
    """The types that the schema names, or None where it names none; raises NoInstance for unknown ones."""
    value = schema.get("type")
    if value is None:
        return None
    names = value if isinstance(value, list) else [value]
    if any(not isinstance(name, str) or name not in _TYPES for name in names):
        raise NoInstance("the schema has an unknown type")
    return names


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _has_type(value: Any, schema: Schema) -> bool:
    names = schema_types(schema)
    return names is None or any(_TYPES[name](value) for name in names)


def _is_allowed(value: Any, schema: Schema) -> bool:
    if "const" in schema and not same(value, schema["const"]):
        return False
    return "enum" not in schema or any(same(value, allowed) for allowed in listed(schema, "enum"))


def listed(schema: Schema, keyword: str) -> list[Any]:
    """A keyword's list, empty where it is absent; raises NoInstance for anything else."""
    value = schema.get(keyword, [])
    if not isinstance(value, list):
        raise NoInstance(f"'{keyword}' must be an array")
    return value


def required_names(schema: Schema) -> list[str]:
    """The names in `required`; raises NoInstance for anything but strings."""
    names = listed(schema, "required")
    if any(not isinstance(name, str) for name in names):
        raise NoInstance("'required' must hold strings")
    return names


def mapped(schema: Schema, keyword: str) -> Schema:
    """A keyword's object, empty where it is absent; raises NoInstance for anything else."""
    value = schema.get(keyword, {})
    if not isinstance(value, dict):
        raise NoInstance(f"'{keyword}' must be an object")
    return value


def bound(schema: Schema, keyword: str) -> float | int | None:
    """A keyword's number, or None; raises NoInstance for anything else. Draft 4's booleans are ignored."""
    value = schema.get(keyword)
    if value is None or isinstance(value, bool):
        return None
    if not _is_number(value) or not math.isfinite(value):
        raise NoInstance(f"'{keyword}' must be a number")
    number: float | int = value
    return number


def _fits_kind(value: Any, schema: Schema, document: SchemaDocument, nesting: int) -> bool:
    if isinstance(value, str):
        return _fits_string(value, schema, document)
    if isinstance(value, list):
        return _fits_array(value, schema, document, nesting)
    if isinstance(value, dict):
        return _fits_object(value, schema, document, nesting)
    return not _is_number(value) or _fits_number(value, schema)


def _within(size: float, schema: Schema, low: str, high: str) -> bool:
    least, most = bound(schema, low), bound(schema, high)
    return (least is None or size >= least) and (most is None or size <= most)


def _fits_number(value: float, schema: Schema) -> bool:
    above, below, step = (
        bound(schema, key) for key in ("exclusiveMinimum", "exclusiveMaximum", "multipleOf")
    )
    if not _within(value, schema, "minimum", "maximum"):
        return False
    if (above is not None and value <= above) or (below is not None and value >= below):
        return False
    if step is None:
        return True
    if step <= 0 or not math.isfinite(value):
        raise NoInstance("'multipleOf' must be above zero")
    return Fraction(str(value)) % Fraction(str(step)) == 0


def _fits_string(value: str, schema: Schema, document: SchemaDocument) -> bool:
    if not _within(len(value), schema, "minLength", "maxLength"):
        return False
    pattern = schema.get("pattern")
    return not isinstance(pattern, str) or document.matches(pattern, value)


def _fits_array(value: list[Any], schema: Schema, document: SchemaDocument, nesting: int) -> bool:
    if not _within(len(value), schema, "minItems", "maxItems"):
        return False
    if schema.get("uniqueItems") is True:
        seen: list[Any] = []
        for item in value:
            document.step(1 + len(seen))
            if any(same(item, other) for other in seen):
                return False
            seen.append(item)
    firsts = listed(schema, "prefixItems")
    for index, item in enumerate(value):
        item_schema = firsts[index] if index < len(firsts) else schema.get("items", True)
        if not conforms(item, item_schema, document, nesting):
            return False
    return True


def _fits_object(value: dict[str, Any], schema: Schema, document: SchemaDocument, nesting: int) -> bool:
    if any(name not in value for name in required_names(schema)):
        return False
    if not _within(len(value), schema, "minProperties", "maxProperties"):
        return False
    properties, patterns = mapped(schema, "properties"), mapped(schema, "patternProperties")
    for name, item in value.items():
        schemas = [properties[name]] if name in properties else []
        schemas += [each for text, each in patterns.items() if document.matches(text, name)]
        schemas = schemas or [schema.get("additionalProperties", True)]
        if not all(conforms(item, each, document, nesting) for each in schemas):
            return False
    return True


def _fits_combined(value: Any, schema: Schema, document: SchemaDocument, nesting: int) -> bool:
    if not all(conforms(value, part, document, nesting) for part in listed(schema, "allOf")):
        return False
    any_of, one_of = listed(schema, "anyOf"), listed(schema, "oneOf")
    if any_of and not any(conforms(value, part, document, nesting) for part in any_of):
        return False
    if one_of and sum(conforms(value, part, document, nesting) for part in one_of) != 1:
        return False
    return "not" not in schema or not conforms(value, schema["not"], document, nesting)
