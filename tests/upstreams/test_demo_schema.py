"""Instances that the demo makes for JSON schemas: they conform, and come from the text where it fits."""

from __future__ import annotations

import json
import re
from typing import Any

import jsonschema  # type: ignore[import-untyped]  # It ships no types.
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.upstreams.demo_client import chat
from upstreams_app.demo.hints import Hints
from upstreams_app.demo.pattern import UnsupportedPattern, fits, parse_pattern, samples
from upstreams_app.demo.schema import make_instance
from upstreams_app.demo.schema_check import NoInstance, SchemaDocument, conforms

Schema = dict[str, Any]
MESSAGE = "Alice Cooper lives in Oslo, is 42, and wrote to bob@example.com on 2026-03-04 about 'red paint'."
PATTERNS = [
    "^[A-Z]{2}-\\d{5}$",
    "^(foo|ba[rz])+$",
    "\\w+@\\w+\\.com",
    "^[^a-z]{2,4}$",
    "x.y",
    "^\\+?[0-9]{3}$",
]
names = st.sampled_from(["name", "city", "age", "email", "note", "order_id", "query"])


def bounded(
    kind: str, low: str, high: str, lows: st.SearchStrategy[int], span: int = 20
) -> st.SearchStrategy[Schema]:
    """Schemas of a kind with both, one or none of two bounds that don't exclude each other."""

    def build(start: int, width: int, keep: set[str]) -> Schema:
        return {"type": kind} | {
            key: value for key, value in {low: start, high: start + width}.items() if key in keep
        }

    return st.builds(build, lows, st.integers(0, span), st.sets(st.sampled_from([low, high])))


enumerated = st.sampled_from(["red", "blue", 1, None, True])
values = st.recursive(
    st.none() | st.booleans() | st.integers(-60, 60) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
)
scalars: st.SearchStrategy[Schema] = st.one_of(
    st.sampled_from([{"type": kind} for kind in ("string", "integer", "number", "boolean", "null")]),
    st.just({}),
    st.builds(lambda values: {"enum": values}, st.lists(enumerated, min_size=1)),
    st.builds(lambda value: {"const": value}, st.sampled_from(["x", 0, False, None, [1], {"a": 1}])),
    st.builds(lambda pattern: {"type": "string", "pattern": pattern}, st.sampled_from(PATTERNS)),
    st.builds(
        lambda kind: {"type": "string", "format": kind},
        st.sampled_from(["date", "date-time", "email", "uuid", "uri", "ipv4", "ipv6"]),
    ),
    st.just({"type": ["string", "null"]}),
    st.just({"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1}),
    st.builds(lambda step: {"type": "integer", "minimum": 10, "multipleOf": step}, st.integers(1, 9)),
    bounded("string", "minLength", "maxLength", st.integers(0, 30)),
    bounded("integer", "minimum", "maximum", st.integers(-50, 50)),
    bounded("number", "minimum", "maximum", st.integers(-50, 50)),
)


def containers(children: st.SearchStrategy[Schema]) -> st.SearchStrategy[Schema]:
    """Objects, arrays and combinations of schemas."""

    def an_object(properties: dict[str, Schema], data: set[str], is_closed: bool) -> Schema:
        required = [name for name in properties if name in data]
        schema = {"type": "object", "properties": properties, "required": required}
        return schema | ({"additionalProperties": False} if is_closed else {})

    objects = st.builds(
        an_object, st.dictionaries(names, children, max_size=4), st.sets(names), st.booleans()
    )
    arrays = st.builds(
        lambda items, least: {"type": "array", "items": items, "minItems": least, "maxItems": least + 2},
        children,
        st.integers(0, 3),
    )
    any_of = st.builds(lambda parts: {"anyOf": parts}, st.lists(children, min_size=1, max_size=3))
    all_of = st.builds(
        lambda left, right: {"allOf": [left, {"properties": {"extra": right}, "required": ["extra"]}]},
        st.builds(an_object, st.dictionaries(names, children, max_size=2), st.just(set()), st.just(False)),
        children,
    )
    one_of = st.builds(
        lambda left, right: {
            "oneOf": [
                {
                    "type": "object",
                    "properties": {"kind": {"const": kind}, "value": part},
                    "required": ["kind", "value"],
                }
                for kind, part in (("a", left), ("b", right))
            ]
        },
        children,
        children,
    )
    return st.one_of(objects, arrays, any_of, all_of, one_of)


schemas = st.recursive(scalars, containers, max_leaves=8)


@given(schemas, st.sampled_from(["", MESSAGE, '{"name": 1}', "3 4 5"]), st.booleans())
def test_an_instance_conforms_to_its_schema(schema: Schema, text: str, fill_optional: bool) -> None:
    value = make_instance(schema, Hints(text), fill_optional=fill_optional)

    jsonschema.Draft202012Validator(schema).validate(value)
    assert value == make_instance(schema, Hints(text), fill_optional=fill_optional)


@given(schemas, values)
def test_our_check_agrees_with_the_reference_validator(schema: Schema, value: Any) -> None:
    ours = conforms(value, schema, SchemaDocument(schema))

    assert ours == jsonschema.Draft202012Validator(schema).is_valid(value)


KEYWORDS = [
    "type", "enum", "const", "properties", "required", "items", "prefixItems", "minItems", "maxItems",
    "anyOf", "oneOf", "allOf", "not", "$ref", "format", "pattern", "minimum", "exclusiveMaximum",
    "multipleOf", "minLength", "maxLength", "uniqueItems", "additionalProperties", "patternProperties",
    "minProperties", "default",
]  # fmt: skip
WORDS = ["string", "object", "array", "number", "null", "#", "#/properties/a", "a", "date", "^a+$", "("]
numbers = st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False)
junk = st.recursive(
    st.none() | st.booleans() | numbers | st.sampled_from(WORDS),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*KEYWORDS, "a"]), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(KEYWORDS), junk, max_size=5))
def test_any_object_as_schema_gets_an_answer_or_a_refusal(schema: Schema) -> None:
    wanted = {"type": "json_schema", "json_schema": {"name": "it", "schema": schema}}

    reply = chat(MESSAGE, response_format=wanted)

    assert reply.status in (200, 400)


def test_references_and_recursive_schemas_end() -> None:
    node = {
        "type": "object",
        "properties": {
            "value": {"type": "integer"},
            "next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]},
            "children": {"type": "array", "items": {"$ref": "#/$defs/node"}},
        },
        "required": ["value", "next", "children"],
        "additionalProperties": False,
    }
    schema = {"$ref": "#/$defs/node", "$defs": {"node": node}}

    value = make_instance(schema, Hints(MESSAGE), fill_optional=True)

    jsonschema.Draft202012Validator(schema).validate(value)


def test_values_come_from_the_text_where_they_fit() -> None:
    kinds = {"age": {"type": "integer"}, "when": {"type": "string", "format": "date"}}
    properties = {
        **kinds,
        "email": {"type": "string", "format": "email"},
        "city": {"type": "string"},
        "color": {"enum": ["blue", "red"]},
        "tags": {"type": "array", "items": {"type": "string"}, "minItems": 3, "uniqueItems": True},
    }

    value = make_instance({"type": "object", "properties": properties}, Hints(MESSAGE), fill_optional=True)

    assert len(set(value.pop("tags"))) == 3
    assert value == {
        "age": 42,
        "when": "2026-03-04",
        "email": "bob@example.com",
        "city": "Oslo",
        "color": "red",
    }


def test_a_message_that_is_a_fitting_instance_is_the_instance() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
    wanted = {"type": "json_schema", "json_schema": {"name": "it", "strict": True, "schema": schema}}

    reply = chat('{"a": 7, "b": [1]}', response_format=wanted)

    assert json.loads(reply.message["content"]) == {"a": 7, "b": [1]}


def test_json_object_gives_an_object() -> None:
    reply = chat("What is 1+1? Answer in JSON.", response_format={"type": "json_object"})

    assert json.loads(reply.message["content"]) == {"answer": "1 + 1 = 2"}


BOMB: Schema = {"anyOf": [{"allOf": [{"$ref": "#"}, {"$ref": "#"}]}, {"$ref": "#"}]}
WIDE: Schema = {"type": "array", "minItems": 10**9, "items": {"type": "string"}}


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#"},
        {"$ref": "#/$defs/missing"},
        {"$ref": "https://example.com/schema"},
        {"type": "thing"},
        {"type": "string", "pattern": "(?=a)b"},
        {"type": "string", "minLength": 10**12},
        {"type": "object", "minProperties": 10**9},
        {"type": "integer", "minimum": 2, "maximum": 1},
        {"enum": []},
        {"properties": 1, "type": "object"},
        {"not": {}},
        BOMB,
        WIDE,
    ],
)
def test_a_wrong_or_hostile_schema_is_refused_soon(schema: Schema) -> None:
    wanted = {"type": "json_schema", "json_schema": {"name": "it", "schema": schema}}

    reply = chat("Hello", response_format=wanted)

    assert reply.status == 400
    assert reply.error["param"] == "response_format.json_schema.schema"


@given(st.sampled_from(PATTERNS), st.text(st.sampled_from("fobarz@.cmAB1234-+xy"), max_size=12))
def test_the_pattern_matcher_agrees_with_re(pattern: str, text: str) -> None:
    assert fits(parse_pattern(pattern), text) == bool(re.search(pattern, text))


@pytest.mark.parametrize(
    "pattern", [*PATTERNS, "", "[\\w-]{2,}", "(?:a|b){3}c?", "^\\u0041\\x42\\.$", "[\\d\\s]+?"]
)
def test_samples_fit_their_pattern(pattern: str) -> None:
    node = parse_pattern(pattern)

    assert any(re.search(pattern, text) and fits(node, text) for text in samples(node))


@pytest.mark.parametrize(
    "pattern",
    ["(", "a)", "[", "[]", "*", "a{2,1}", "a{x}", "(?=a)", "\\b", "\\1", "((a{99}){99}){99}", "(" * 99],
)
def test_a_wrong_or_unsupported_pattern_is_refused(pattern: str) -> None:
    with pytest.raises(UnsupportedPattern):
        parse_pattern(pattern)


def test_a_pattern_made_to_backtrack_costs_no_time() -> None:
    assert not fits(parse_pattern("^(a+)+$"), "a" * 400 + "b")


def test_contradictions_are_reported() -> None:
    with pytest.raises(NoInstance):
        make_instance({"allOf": [{"type": "string"}, {"type": "integer"}]}, Hints(""), fill_optional=True)
