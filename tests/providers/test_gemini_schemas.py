"""JSON schemas reach Google in the part of the language that its models know, and mean the same.

Source: `responseJsonSchema` of GenerationConfig in the reference of the Gemini API.
"""

from __future__ import annotations

from typing import Any

import pytest

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
