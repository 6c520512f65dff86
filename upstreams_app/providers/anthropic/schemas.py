"""JSON schemas in the part of the language that Anthropic's structured outputs understand.

Source: Anthropic's guide of structured outputs, "JSON Schema limitations". What only narrows a value (a
minimum, a length) becomes words of the description, as Anthropic's own SDK does it; what would change the
shape of the answer can't be expressed.
"""

from __future__ import annotations

from typing import Any, Final

from gateway_project.core.codec import dumps
from upstreams_app.providers.chat_parts import Json

_FORMATS: Final = frozenset(
    {"date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid"}
)
_KEPT: Final = ("title", "default", "enum", "const")
_READ: Final = frozenset(
    {
        "$defs", "$ref", "$schema", "$id", "type", "anyOf", "oneOf", "allOf", "description", "properties",
        "required", "additionalProperties", "items", "format", "minItems", *_KEPT,
    }
)  # fmt: skip
# These decide which members and shapes there may be.
_SHAPING: Final = frozenset(
    {"definitions", "patternProperties", "propertyNames", "if", "then", "else", "not", "prefixItems"}
    | {"dependentSchemas", "dependentRequired", "unevaluatedProperties", "$dynamicRef"}
)


class Inexpressible(ValueError):
    """Structured outputs have nothing for this schema."""


def native_schema(schema: Json) -> Json:
    """The schema as structured outputs take it; Inexpressible if that would be another one."""
    try:
        return _schema(schema)
    except (AttributeError, TypeError, RecursionError):
        raise Inexpressible from None


def _schema(schema: Any) -> Json:
    if not isinstance(schema, dict) or schema.keys() & _SHAPING:
        raise Inexpressible
    made: Json = {}
    if definitions := schema.get("$defs"):
        made["$defs"] = {name: _schema(value) for name, value in definitions.items()}
    if "$ref" in schema:
        return {**made, "$ref": schema["$ref"]}
    made |= {name: schema[name] for name in _KEPT if name in schema}
    choices = schema.get("anyOf") or schema.get("oneOf")
    if choices:
        made["anyOf"] = [_schema(choice) for choice in choices]
    elif schema.get("allOf"):
        made["allOf"] = [_schema(part) for part in schema["allOf"]]
    else:
        _add_type(made, schema)
    _add_description(made, schema)
    return made


def _add_type(made: Json, schema: Json) -> None:
    kind = schema.get("type")
    if isinstance(kind, list):
        if not all(isinstance(one, str) for one in kind):
            raise Inexpressible
        if "enum" not in schema:
            # Each kind once: else a short schema could be walked for hours.
            kinds = dict.fromkeys(kind)
            made["anyOf"] = [_schema({**_without_words(schema), "type": one}) for one in kinds]
    elif kind == "object":
        made |= _object(schema)
    elif kind == "array":
        made |= {"type": "array", "items": _schema(schema.get("items"))}
        if schema.get("minItems") in (0, 1):
            made["minItems"] = schema["minItems"]
    elif isinstance(kind, str):
        made["type"] = kind
        if kind == "string" and schema.get("format") in _FORMATS:
            made["format"] = schema["format"]
    elif not made.keys() & {"enum", "const"}:
        raise Inexpressible


def _object(schema: Json) -> Json:
    properties = schema.get("properties")
    if schema.get("additionalProperties", False) is not False or not isinstance(properties, dict):
        raise Inexpressible
    if not properties and "additionalProperties" not in schema:
        # Without a word about its members, any object is meant.
        raise Inexpressible
    made: Json = {
        "type": "object",
        "properties": {name: _schema(value) for name, value in properties.items()},
        "additionalProperties": False,
    }
    if schema.get("required"):
        made["required"] = schema["required"]
    return made


def _without_words(schema: Json) -> Json:
    said = ("description", "title", "default", "$defs")
    return {name: value for name, value in schema.items() if name not in said}


def _add_description(made: Json, schema: Json) -> None:
    """The description, and after it what the vendor has no keyword for."""
    limits = {name: value for name, value in schema.items() if name not in _READ}
    if "format" in schema and "format" not in made and "anyOf" not in made:
        limits["format"] = schema["format"]
    if "minItems" in schema and "minItems" not in made and "anyOf" not in made:
        limits["minItems"] = schema["minItems"]
    words = [str(schema["description"])] if schema.get("description") else []
    if limits and not isinstance(schema.get("type"), list):
        words.append(dumps(limits).decode())
    if words:
        made["description"] = "\n\n".join(words)
