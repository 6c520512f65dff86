"""Definitions of tools as MCP servers give them: one form, names of the catalogue, and checked safely."""

from __future__ import annotations

from typing import Any

import pytest

from tools_app.arguments import argument_check
from tools_app.errors import ConfigProblem
from tools_app.mcp_definitions import (
    checked_schema,
    exposed_name,
    fingerprint_of,
    kept_definition,
)

TOOL: dict[str, Any] = {"name": "find", "description": "Finds.", "inputSchema": {"type": "object"}}


def test_the_same_definition_has_the_same_fingerprint_in_any_order() -> None:
    turned = dict(reversed(TOOL.items()))

    assert fingerprint_of(turned) == fingerprint_of(TOOL)
    assert fingerprint_of(kept_definition(TOOL | {"icons": [], "_meta": {"a": 1}})) == fingerprint_of(TOOL)
    for change in ({"description": "Finds!"}, {"title": "x"}, {"annotations": {"readOnlyHint": True}}):
        assert fingerprint_of(TOOL | change) != fingerprint_of(TOOL)


def test_names_are_such_that_models_take_and_no_two_tools_share() -> None:
    assert exposed_name("crm", "find_it-2") == "crm__find_it-2"
    assert exposed_name("crm", "find.it") != exposed_name("crm", "find/it")
    for name in ("find.it", "x" * 100, "Straße", "a b", "\ud800"):
        shown = exposed_name("crm", name)
        assert shown.startswith("crm__") and len(shown) <= 64 and shown.isascii()
    assert len({exposed_name("crm", "x" * length) for length in range(60, 80)}) == 20
    assert exposed_name("crm", "find", is_taken=True) not in ("crm__find", exposed_name("crm", "find."))


def deep(levels: int) -> dict[str, Any]:
    """A schema of so many levels."""
    schema: dict[str, Any] = {}
    for _ in range(levels):
        schema = {"properties": {"a": schema}}
    return schema


@pytest.mark.parametrize(
    "change",
    [
        {"name": ""},
        {"name": 7},
        {"name": "x" * 201},
        {"description": "x" * 20_000},
        {"inputSchema": {"type": "object", "description": "x" * 200_000}},
        {"inputSchema": deep(5_000)},
        {"description": "a\0b"},
        {"description": "\ud800"},
    ],
    ids=["empty", "number", "long", "told much", "large", "deep", "nul", "half a character"],
)
def test_what_can_not_be_kept_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ConfigProblem):
        kept_definition(TOOL | change)


def test_regular_expressions_of_strangers_are_not_run() -> None:
    schema = {
        "type": "object",
        "properties": {
            "pattern": {"type": "string", "pattern": "^(a+)+$", "default": {"pattern": "x"}},
            "more": {"patternProperties": {"^(a+)+$": {}}, "additionalProperties": False},
        },
        "required": ["pattern"],
    }

    checked = checked_schema(schema)

    assert "a+" not in str(checked)
    assert checked["properties"]["pattern"] == {"type": "string", "default": {"pattern": "x"}}
    check = argument_check(checked)
    check({"pattern": "a" * 40 + "!", "more": {"a" * 40 + "!": 1}})
    with pytest.raises(Exception, match="'pattern' is a required property"):
        check({})
