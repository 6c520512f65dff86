"""What a definition may hold, and how it says what is wrong: without a database."""

from __future__ import annotations

import json
from typing import Any

import pytest

from agents_app.definition import MAX_INSTRUCTIONS, MAX_LINKS, Definition, Link, check
from gateway_project.core.errors import InvalidRequest

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"zone": {"type": "string"}, "amount": {"type": "number"}},
    "required": ["zone", "amount"],
    "additionalProperties": False,
}


def nested(inner: dict[str, Any], *names: str) -> dict[str, Any]:
    """A strict schema with another one inside, under these names of its members."""
    for name in names:
        inner = SCHEMA | {"properties": {name: inner}, "required": [name]}
    return inner


@pytest.mark.parametrize(
    ("fields", "param", "words"),
    [
        ({"display_name": "x" * 201}, "display_name", "at most 200"),
        ({"description": "x" * 2001}, "description", "at most 2000"),
        ({"instructions": "x" * (MAX_INSTRUCTIONS + 1)}, "instructions", "at most 100000"),
        ({"settings": {"temprature": 1}}, "settings", "no setting 'temprature'"),
        ({"settings": {"temperature": 3}}, "settings.temperature", "from 0 to 2"),
        ({"settings": {"temperature": True}}, "settings.temperature", "a number"),
        ({"settings": {"temperature": float("nan")}}, "settings.temperature", "a number"),
        ({"settings": {"top_p": "1"}}, "settings.top_p", "a number"),
        ({"settings": {"max_tokens": 0}}, "settings.max_tokens", "an integer"),
        ({"settings": {"max_tokens": 1.5}}, "settings.max_tokens", "an integer"),
        ({"settings": {"seed": 2**63}}, "settings.seed", "an integer"),
        ({"settings": {"stop": ["a", ""]}}, "settings.stop", "at most 4 texts"),
        ({"settings": {"stop": []}}, "settings.stop", "at most 4 texts"),
        ({"settings": {"stop": "x" * 10_000}}, "settings", "too large"),
        ({"settings": {"verbosity": "loud"}}, "settings.verbosity", "low, medium"),
        ({"settings": {"verbosity": ["low"]}}, "settings.verbosity", "low, medium"),
        ({"settings": {"reasoning_effort": ""}}, "settings.reasoning_effort", "a word"),
        ({"settings": {"temperature": None}}, "settings.temperature", "a number"),
        ({"settings": {"tool_choice": "required"}}, "settings.tool_choice", "needs tools"),
        ({"settings": {"parallel_tool_calls": True}}, "settings.parallel_tool_calls", "needs tools"),
        ({"settings": {"tool_choice": "x"}, "tools": ("y",)}, "settings.tool_choice", "name of a tool"),
        ({"tools": ("a b",)}, "tools[0]", "'a b' is no name"),
        ({"tools": ("a", "a")}, "tools", "'a' is there twice"),
        ({"tools": tuple(f"t{n}" for n in range(65))}, "tools", "at most 64"),
        ({"guardrails": tuple(f"g{n}" for n in range(17))}, "guardrails", "at most 16"),
        ({"output_strict": True}, "output_strict", "needs an 'output_schema'"),
        ({"links": (Link("d/a", "friend"),)}, "links[0].kind", "handoff or as_tool"),
        ({"links": (Link("d/a", "handoff"), Link("d/a", "handoff"))}, "links[1]", "two such links"),
        ({"links": (Link("d/a", "handoff", "no spaces"),)}, "links[0].tool_name", "64 letters"),
        ({"links": (Link("d/" + "a" * 65, "as_tool"),)}, "links[0].tool_name", "64 letters"),
        ({"links": (Link("d/a", "handoff", "", "x" * 2001),)}, "links[0].description", "at most 2000"),
        ({"links": (Link("d/a", "as_tool"),), "tools": ("a",)}, "links[0].tool_name", "another tool 'a'"),
        ({"links": (Link("d/a", "handoff"), Link("e/a", "handoff"))}, "links[0].tool_name", "another tool"),
        ({"links": tuple(Link(f"d/a{n}", "handoff") for n in range(MAX_LINKS + 1))}, "links", "at most 32"),
    ],
)
def test_what_can_not_be_is_named(fields: dict[str, Any], param: str, words: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        check(Definition(**fields))

    assert caught.value.param == param
    assert words in caught.value.message


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"type": "array"}, "schema of an object"),
        ({}, "schema of an object"),
        ({"type": "object", "properties": []}, "is no JSON Schema"),
        ({"type": "object", "properties": {"a": {"type": "text"}}}, "'text' is not valid"),
        ({"type": "object", "description": "x" * 100_000}, "at most 100000"),
        ({"type": "object", "default": float("inf")}, "is no JSON Schema"),
        ({"type": "object"}, 'needs "additionalProperties": false'),
        (SCHEMA | {"required": ["zone"]}, "'amount' must be in 'required'"),
        (nested({"type": "object"}, "b", "a"), "(at properties/a/properties/b)"),
        (nested({"type": "array", "items": {"properties": {}}}, "a"), "(at properties/a/items)"),
        (nested({"anyOf": [{"type": "null"}, {"type": "object"}]}, "a"), "(at properties/a/anyOf/1)"),
        (nested({"$ref": "#/$defs/x"}, "a") | {"$defs": {"x": {"type": "object"}}}, "(at $defs/x)"),
    ],
)
def test_a_strict_schema_is_a_closed_object(schema: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        check(Definition(output_schema=schema, output_strict=True))

    assert caught.value.param == "output_schema"
    assert words in caught.value.message


def test_what_can_be_is_taken() -> None:
    links = (Link("d/a", "handoff"), Link("d/a", "as_tool"), Link("d/b", "as_tool", "ask-b"))
    settings = {"tool_choice": "ask-b", "parallel_tool_calls": False, "temperature": 2, "stop": "END"}

    check(Definition())
    check(Definition(settings=settings, links=links, tools=("find_order",)))
    check(Definition(output_schema={"type": "object", "properties": {"a": True}}))
    check(Definition(output_schema=nested(SCHEMA, "c", "b"), output_strict=True))


def test_names_of_links_are_made_from_ids() -> None:
    assert Link("d/front-desk", "handoff").name == "transfer_to_front_desk"
    assert Link("d/front-desk", "as_tool").name == "front_desk"
    assert Link("d/front-desk", "as_tool", "ask").name == "ask"


def test_an_image_is_read_as_it_was_and_an_older_one_as_if_nothing_more_was_set() -> None:
    definition = Definition(
        display_name="ä",
        settings={"seed": 1},
        tools=("t",),
        output_schema=SCHEMA,
        links=(Link("d/a", "handoff"),),
    )

    assert Definition.of_image(json.loads(definition.text())) == definition
    assert Definition.of_image({"instructions": "x", "from_the_future": 1}) == Definition(instructions="x")
