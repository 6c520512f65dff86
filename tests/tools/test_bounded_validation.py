"""Checks of arguments give up where they would hold up the event loop, and are those of JSON Schema else."""

from __future__ import annotations

from typing import Any

import pytest

from tools_app.arguments import argument_check
from tools_app.errors import ConfigProblem, ToolError

DRAFT_7 = "http://json-schema.org/draft-07/schema#"


def holding(**member: Any) -> dict[str, Any]:
    """A schema of an object with the member `a`."""
    return {"type": "object", "properties": {"a": member}}


def message(schema: dict[str, Any], arguments: dict[str, Any]) -> str:
    """What a model is told of arguments; "" if they fit."""
    try:
        argument_check(schema)(arguments)
    except ToolError as error:
        assert error.status == "invalid"
        return error.message
    return ""


def nested(depth: int) -> dict[str, Any]:
    """Objects in objects."""
    found: dict[str, Any] = {}
    for _ in range(depth):
        found = {"a": found}
    return found


TWICE = {"allOf": [{"$ref": "#"}, {"$ref": "#"}]}


@pytest.mark.parametrize(
    ("schema", "arguments"),
    [
        (holding(type="array", items={"type": "integer"}), {"a": [1] * 60_000}),
        (holding(type="array", items={"enum": list(range(500))}), {"a": [-1] * 500}),
        (holding(**TWICE), nested(40)),
        (holding(**TWICE) | {"$schema": DRAFT_7}, nested(40)),
        (holding(patternProperties={str(i): {} for i in range(300)}), {"a": {str(i): 1 for i in range(300)}}),
    ],
    ids=["items", "enum", "references", "draft", "patterns"],
)
def test_what_takes_long_to_check_is_refused(schema: dict[str, Any], arguments: dict[str, Any]) -> None:
    assert message(schema, arguments) == "the arguments are too much to check"


def test_many_wrong_items_are_one_message() -> None:
    assert message(holding(type="array", items={"type": "string"}), {"a": [1] * 60_000}).endswith(
        "is not of type 'string'"
    )


@pytest.mark.parametrize("extra", [{}, {"$schema": DRAFT_7}])
def test_a_schema_whose_references_multiply_can_not_be_saved(extra: dict[str, Any]) -> None:
    steps = {f"s{i}": {"allOf": [{"$ref": f"#/$defs/s{i + 1}"}] * 2} for i in range(40)}
    schema = {"type": "object", "allOf": [{"$ref": "#/$defs/s0"}], "$defs": {**steps, "s40": {}}}

    with pytest.raises(ConfigProblem, match="multiply"):
        argument_check(schema | extra)


@pytest.mark.parametrize(
    ("items", "is_twice"),
    [
        ([1, 1.0], True),
        ([1, True], False),
        ([{"a": [1, 2]}, {"a": [1.0, 2]}], True),
        ([{"a": 1, "b": 2}, {"b": 2, "a": 1}], True),
        (["1", 1, None, False, 0], False),
        ([[], {}, ""], False),
        ([{"x": number} for number in range(5_000)], False),
    ],
)
def test_items_that_are_there_twice_are_told(items: list[Any], is_twice: bool) -> None:
    wanted = "a: an item is there twice" if is_twice else ""

    assert message(holding(type="array", uniqueItems=True), {"a": items}) == wanted
