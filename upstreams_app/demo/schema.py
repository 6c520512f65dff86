"""Make an instance of a JSON Schema, the same one each time, from what a text offers where it fits.

Each kind of schema yields candidates, the likeliest first; the first that conforms to the whole schema is the
instance. So the makers may be simple: what they overlook (a `not`, two patterns) the check catches.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any, Final

from upstreams_app.demo.hints import Hints
from upstreams_app.demo.schema_check import (
    NoInstance,
    Schema,
    SchemaDocument,
    bound,
    conforms,
    listed,
    mapped,
    required_names,
    same,
    schema_types,
)
from upstreams_app.demo.schema_merge import alternatives_of, flattened, merged
from upstreams_app.demo.schema_values import number_candidates, string_candidates

MAX_CANDIDATES: Final = 128
DEEP: Final = 3
TOO_DEEP: Final = 16
_SIMPLEST_FIRST: Final = ["null", "boolean", "integer", "number", "string", "array", "object"]
_LIKELIEST_FIRST: Final = ["string", "object", "array", "number", "integer", "boolean", "null"]


def make_instance(schema: Any, hints: Hints, *, fill_optional: bool) -> Any:
    """An instance of the schema; raises NoInstance.

    `fill_optional` fills optional properties too; without it only those for which the text has a value, and
    all of them where the schema requires none.
    """
    document = SchemaDocument(schema if isinstance(schema, dict) else {})
    maker = _Maker(document, hints, fill_optional)
    for value in hints.json_value():
        if conforms(value, schema, document):
            return value
    return maker.instance(schema, "", 0)


class _Maker:
    """One walk over one schema."""

    def __init__(self, document: SchemaDocument, hints: Hints, fill_optional: bool) -> None:
        self.document = document
        self.hints = hints
        self.fill_optional = fill_optional

    def instance(self, schema: Any, name: str, depth: int, *, apart_from: list[Any] | None = None) -> Any:
        """The first candidate that conforms and is not in `apart_from`; `name` is the property's."""
        if depth > TOO_DEEP:
            raise NoInstance("the schema is nested too deeply")
        flat = flattened(schema, self.document)
        for value in islice(self.candidates(flat, name, depth), MAX_CANDIDATES):
            is_new = not any(same(value, other) for other in apart_from or ())
            if is_new and conforms(value, schema, self.document):
                self.hints.take(value)
                return value
        raise NoInstance(f"no value was found for '{name}'" if name else "no value was found")

    def candidates(self, flat: Schema, name: str, depth: int, hops: int = 0) -> Iterator[Any]:
        self.document.step()
        if hops > TOO_DEEP:
            raise NoInstance("the schema's alternatives refer to themselves")
        if "const" in flat:
            yield flat["const"]
            return
        if "enum" in flat:
            allowed = listed(flat, "enum")
            self.document.step(len(allowed))
            yield from sorted(allowed, key=lambda value: not self.hints.mentions(value))
            return
        group, rest = alternatives_of(flat)
        if group is None:
            yield from self.typed(flat, name, depth)
            return
        for branch in self.in_order(group, depth):
            try:
                yield from self.candidates(
                    flattened(merged(rest, branch), self.document), name, depth, hops + 1
                )
            except NoInstance:
                self.document.step()

    def in_order(self, group: list[Any], depth: int) -> list[Schema]:
        """Alternatives: null comes last, but first deep inside, where recursive schemas have to end."""
        flats = [flattened(branch, self.document) for branch in group if branch is not False]
        if depth >= DEEP:
            return sorted(flats, key=_complexity)
        return sorted(flats, key=lambda flat: (not self.is_hinted(flat), _types(flat) == ["null"]))

    def typed(self, flat: Schema, name: str, depth: int) -> Iterator[Any]:
        kinds = _types(flat)
        if depth < DEEP:
            kinds.sort(key=_LIKELIEST_FIRST.index)
        else:
            kinds.sort(key=_SIMPLEST_FIRST.index)
        for kind in kinds:
            try:
                yield from self.of_kind(kind, flat, name, depth)
            except NoInstance:
                if kind == kinds[-1]:
                    raise

    def of_kind(self, kind: str, flat: Schema, name: str, depth: int) -> Iterator[Any]:
        if "default" in flat and not (kind in ("integer", "number") and self.hints.numbers()):
            yield flat["default"]
        if kind == "object":
            yield from self.objects(flat, depth)
        elif kind == "array":
            yield from self.arrays(flat, name, depth)
        elif kind == "string":
            yield from string_candidates(flat, name, self.hints, self.document)
        elif kind in ("integer", "number"):
            yield from number_candidates(flat, self.hints, is_integer=kind == "integer")
        else:
            yield from [None] if kind == "null" else [True, False]

    def objects(self, flat: Schema, depth: int) -> Iterator[Any]:
        properties, required = mapped(flat, "properties"), required_names(flat)
        wants_all = self.fill_optional or not required
        values: dict[str, Any] = {}
        for name in [*properties, *(name for name in required if name not in properties)]:
            schema = properties.get(name, flat.get("additionalProperties", True))
            if name in required:
                values[name] = self.instance(schema, name, depth + 1)
            elif (wants_all and depth < DEEP) or self.is_hinted(schema):
                try:
                    values[name] = self.instance(schema, name, depth + 1)
                except NoInstance:
                    continue
        for serial in range(int(bound(flat, "minProperties") or 0) - len(values)):
            values[f"extra{serial + 1}"] = self.instance(
                flat.get("additionalProperties", True), "extra", depth + 1
            )
        yield values
        yield {name: value for name, value in values.items() if name in required}

    def is_hinted(self, schema: Any) -> bool:
        """Whether the text has one of the values that the schema names."""
        flat = flattened(schema, self.document)
        values = [flat.get("const"), *listed(flat, "enum")]
        self.document.step(len(values))
        return any(map(self.hints.mentions, values))

    def arrays(self, flat: Schema, name: str, depth: int) -> Iterator[Any]:
        firsts, rest = listed(flat, "prefixItems"), flat.get("items", True)
        least, most = int(bound(flat, "minItems") or 0), bound(flat, "maxItems")
        wanted = max(least, len(firsts), 1 if depth < DEEP else 0)
        wanted = wanted if most is None else min(wanted, int(most))
        values: list[Any] = []
        for index in range(wanted):
            schema = firsts[index] if index < len(firsts) else rest
            taken = values if flat.get("uniqueItems") is True else None
            try:
                values.append(self.instance(schema, name, depth + 1, apart_from=taken))
            except NoInstance:
                break
        yield values
        if least == 0:
            yield []


def _complexity(flat: Schema) -> int:
    """The rank of the simplest type that a flat schema allows; unknown is in between."""
    return min((_SIMPLEST_FIRST.index(kind) for kind in _types(flat)), default=len(_SIMPLEST_FIRST) - 3)


def _types(flat: Schema) -> list[str]:
    """The types that a flat schema allows, guessed from its keywords where it names none."""
    named = schema_types(flat)
    if named is not None:
        return list(named)
    if "const" in flat or "enum" in flat:
        return []
    signs = {
        "object": ("properties", "required", "additionalProperties", "minProperties", "patternProperties"),
        "array": ("items", "prefixItems", "minItems", "maxItems", "uniqueItems"),
        "number": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
    }
    return [kind for kind, keywords in signs.items() if any(keyword in flat for keyword in keywords)] or [
        "string"
    ]
