"""JSON schemas reach Google in the part of the language that its models know, and mean the same.

Source: `responseJsonSchema` of GenerationConfig in the reference of the Gemini API.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]  # It ships no types.

from gateway_project.core.errors import InvalidRequest
from upstreams_app.providers.gemini.schemas import to_google

STRING = {"type": "string"}


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"const": "a"}, {"enum": ["a"]}),
        ({"const": 3, "type": "integer"}, {"enum": [3], "type": "integer"}),
        ({"const": None}, {"type": "null"}),
        ({"const": True}, {"type": "boolean"}),
        ({"enum": ["a", 1]}, {"enum": ["a", 1]}),
        (
            {"type": ["string", "null"], "enum": ["a", None]},
            {"anyOf": [{"enum": ["a"]}, {"type": "null"}]},
        ),
        ({"type": ["string", "null"]}, {"type": ["string", "null"]}),
        ({"type": "integer", "exclusiveMinimum": 0}, {"type": "integer", "minimum": 1}),
        ({"type": "integer", "exclusiveMaximum": 9}, {"type": "integer", "maximum": 8}),
        ({"exclusiveMinimum": 2, "type": "number", "minimum": 1}, {"type": "number", "minimum": 2}),
        ({"exclusiveMinimum": 2, "type": "integer", "minimum": 5}, {"type": "integer", "minimum": 5}),
        ({"allOf": [{"type": "string"}], "description": "d"}, {"type": "string", "description": "d"}),
        ({"allOf": [{"$ref": "#/$defs/A"}], "title": "T"}, {"anyOf": [{"$ref": "#/$defs/A"}], "title": "T"}),
        ({"$ref": "#/definitions/A", "description": "d"}, {"$ref": "#/$defs/A"}),
        (
            {"definitions": {"A": STRING}, "properties": {"a": {"$ref": "#/definitions/A"}}},
            {"$defs": {"A": STRING}, "properties": {"a": {"$ref": "#/$defs/A"}}},
        ),
        (
            {"type": "object", "additionalProperties": False},
            {"type": "object", "additionalProperties": False},
        ),
        ({"additionalProperties": {"const": 1}}, {"additionalProperties": {"enum": [1]}}),
        ({"type": "array", "items": {"const": 1}}, {"type": "array", "items": {"enum": [1]}}),
        ({"prefixItems": [{"const": 1}]}, {"prefixItems": [{"enum": [1]}]}),
        ({"$schema": "x", "examples": [1], "type": "string"}, {"type": "string"}),
        ({"properties": {"const": {"const": "x"}}}, {"properties": {"const": {"enum": ["x"]}}}),
        ({"type": "string", "not": {"const": "x"}}, {"type": "string"}),
    ],
)
def test_a_schema_is_said_in_googles_words(schema: dict[str, Any], expected: dict[str, Any]) -> None:
    assert to_google(schema, "tools") == expected


@pytest.mark.parametrize("name", ["not", "multipleOf", "patternProperties", "if", "dependentRequired"])
def test_a_strict_schema_loses_nothing(name: str) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string", name: {}}}}

    with pytest.raises(InvalidRequest) as caught:
        to_google(schema, "response_format.json_schema.schema", is_strict=True)

    assert name in caught.value.message
    assert caught.value.param == "response_format.json_schema.schema"
    assert caught.value.code == "unsupported_parameter"


def test_a_strict_fractions_exclusive_bound_is_refused() -> None:
    with pytest.raises(InvalidRequest):
        to_google({"type": "number", "exclusiveMinimum": 0}, "x", is_strict=True)


@pytest.mark.parametrize(
    "schema",
    [
        {"allOf": [{"minimum": 5}], "minimum": 1},
        {"allOf": [{"minimum": 5}, {"maximum": 9}]},
        {"$ref": "#/$defs/A", "minLength": 1},
    ],
)
def test_what_can_not_be_merged_is_refused_where_it_counts(schema: dict[str, Any]) -> None:
    to_google(schema, "x")
    with pytest.raises(InvalidRequest):
        to_google(schema, "x", is_strict=True)


_plain = st.sampled_from([None, True, False, 0, 1, 2, 5, 2.5, "", "a", "bc"])
_values = st.recursive(
    _plain,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("ab"), inner, max_size=2),
    max_leaves=4,
)
_members = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(["string", "integer", "number", "null", "boolean", ["string", "null"]]),
        "const": _plain,
        "enum": st.lists(_plain, min_size=1, max_size=3),
        "minimum": st.sampled_from([0, 1, 3]),
        "exclusiveMinimum": st.sampled_from([0, 1, 2.5]),
        "exclusiveMaximum": st.sampled_from([1, 3]),
        "not": st.just({"const": "a"}),
        "multipleOf": st.just(2),
    },
)
_schemas = st.recursive(
    _members,
    lambda inner: st.fixed_dictionaries(
        {},
        optional={
            "anyOf": st.lists(inner, min_size=1, max_size=2),
            "allOf": st.lists(inner, min_size=1, max_size=2),
            "items": inner,
            "properties": st.dictionaries(st.sampled_from("ab"), inner, max_size=2),
            "additionalProperties": st.booleans() | inner,
            "minimum": st.just(2),
        },
    ),
    max_leaves=5,
)


@settings(max_examples=120, deadline=None)
@given(_schemas, _values)
def test_what_was_valid_stays_valid(schema: dict[str, Any], value: Any) -> None:
    made = to_google(schema, "x")

    if Draft202012Validator(schema).is_valid(value):
        assert Draft202012Validator(made).is_valid(value)


def test_a_schema_without_end_is_refused() -> None:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(200):
        schema = {"type": "array", "items": schema}

    with pytest.raises(InvalidRequest, match="too deeply"):
        to_google(schema, "tools[0]")


def test_what_was_given_stays_as_it_was() -> None:
    schema = {"properties": {"a": {"const": 1, "title": "A"}}, "$defs": {"B": {"const": 2}}}
    before = repr(schema)

    to_google(schema, "x")

    assert repr(schema) == before
