"""JSON schemas in the part of the language that Google's models know.

Source: `responseJsonSchema` of GenerationConfig in the reference of the Gemini API. Of what it does not
list, that which means the same in other words is rewritten; the rest is left out, or refused where a client
insists on the schema (`strict`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from gateway_project.core.errors import InvalidRequest

Json = dict[str, Any]
_MAX_DEPTH: Final = 100
_KEPT: Final = frozenset(
    {
        "type", "format", "title", "description", "minItems", "maxItems", "minimum", "maximum", "required",
        "pattern", "minLength", "maxLength", "minProperties", "maxProperties", "default", "propertyOrdering",
    }
)  # fmt: skip
_OF_SCHEMAS: Final = frozenset({"anyOf", "oneOf", "prefixItems"})
_NAMED_SCHEMAS: Final = frozenset({"properties", "$defs", "definitions"})
# How an integer's exclusive bounds are said.
_BOUNDS: Final[dict[str, tuple[str, int, Callable[..., float]]]] = {
    "exclusiveMinimum": ("minimum", 1, max),
    "exclusiveMaximum": ("maximum", -1, min),
}
_ANNOTATIONS: Final = frozenset({"title", "description", "default"})
# They say nothing of what is valid, or no more than what is said besides.
_SILENT: Final = frozenset(
    {"$schema", "$id", "$comment", "examples", "deprecated", "readOnly", "writeOnly", "strict", "nullable"}
)


def to_google(schema: Json, path: str, *, is_strict: bool = False) -> Json:
    """A schema for `parametersJsonSchema` and `responseJsonSchema`; InvalidRequest names `path`."""
    made = _Writer(path, is_strict=is_strict).write(schema, 0)
    if not isinstance(made, dict):
        raise InvalidRequest(f"Invalid value for '{path}': expected an object.", param=path)
    return made


class _Writer:
    def __init__(self, path: str, *, is_strict: bool) -> None:
        self._path = path
        self._is_strict = is_strict

    def write(self, schema: Any, depth: int) -> Any:
        """One schema, and those inside of it; `true` and `false` stay as they are."""
        if not isinstance(schema, dict):
            return schema
        if depth > _MAX_DEPTH:
            raise InvalidRequest("The schema is nested too deeply.", param=self._path)
        if isinstance(schema.get("$ref"), str):
            # Beside a reference Google allows only names that begin with a $.
            for name in schema.keys() - _ANNOTATIONS - _SILENT - {"$ref", "$defs", "definitions"}:
                self._unknown(f"{name} beside a $ref")
            made = {"$ref": schema["$ref"].replace("#/definitions/", "#/$defs/")}
            return made | self._named(schema, ("$defs", "definitions"), depth)
        made = {}
        for name, value in self._merged(schema).items():
            self._member(made, name, value, depth)
        for name in _BOUNDS.keys() & schema.keys():
            self._bound(made, name, schema[name])
        return made

    def _bound(self, made: Json, name: str, value: Any) -> None:
        """An exclusive bound: an integer's is one away, another number's allows the bound, too."""
        if not isinstance(value, int | float) or isinstance(value, bool):
            return
        kept, step, stricter = _BOUNDS[name]
        if made.get("type") == "integer" and isinstance(value, int):
            value += step
        else:
            self._unknown(name)
        known = made.get(kept)
        is_number = isinstance(known, int | float) and not isinstance(known, bool)
        made[kept] = stricter(value, known) if is_number else value

    def _member(self, made: Json, name: str, value: Any, depth: int) -> None:
        if name in _KEPT:
            made[name] = value
        elif name in _OF_SCHEMAS and isinstance(value, list):
            made[name] = [self.write(item, depth + 1) for item in value]
        elif name in _NAMED_SCHEMAS:
            made |= self._named({name: value}, (name,), depth)
        elif name in ("items", "additionalProperties"):
            made[name] = self.write(value, depth + 1)
        elif name == "const":
            self._values(made, [value])
        elif name == "enum" and isinstance(value, list):
            self._values(made, value)
        elif name not in _SILENT and name not in _BOUNDS:
            self._unknown(name)

    def _unknown(self, name: str) -> None:
        """Left out, or refused where the client insists."""
        if self._is_strict:
            raise InvalidRequest(
                f"Google's models know no '{name}' in a JSON schema.",
                param=self._path,
                code="unsupported_parameter",
            )

    def _named(self, schema: Json, names: tuple[str, ...], depth: int) -> Json:
        """Members that hold schemas by name; `definitions` is the older name of `$defs`."""
        return {
            "$defs" if name == "definitions" else name: {
                key: self.write(value, depth + 1) for key, value in schema[name].items()
            }
            for name in names
            if isinstance(schema.get(name), dict)
        }

    def _merged(self, schema: Json) -> Json:
        """Without an `allOf` of one member, which is how many tools describe a reference."""
        parts = schema.get("allOf")
        if not isinstance(parts, list) or len(parts) != 1 or not isinstance(parts[0], dict):
            return schema
        if isinstance(parts[0].get("$ref"), str):
            return {"anyOf": parts, **{key: value for key, value in schema.items() if key != "allOf"}}
        if parts[0].keys() & schema.keys() - _ANNOTATIONS:
            self._unknown("allOf")
        return {**parts[0], **{key: value for key, value in schema.items() if key != "allOf"}}

    def _values(self, made: Json, values: list[Any]) -> None:
        """Google's enums are of texts and numbers; others say it by their type."""
        plain = [value for value in values if _is_plain(value)]
        kinds = dict.fromkeys(_kind_of(value) for value in values if not _is_plain(value))
        others = [{"type": kind} for kind in kinds]
        if not others:
            made["enum"] = plain
        elif not plain and len(others) == 1:
            made |= others[0]
        else:
            made.pop("type", None)
            made["anyOf"] = [*([{"enum": plain}] if plain else []), *others]


def _is_plain(value: Any) -> bool:
    return isinstance(value, str | int | float) and not isinstance(value, bool)


def _kind_of(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    return "array" if isinstance(value, list) else "object"
