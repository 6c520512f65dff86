"""Texts that tools never get, whatever their schemas allow: what shells act on, and ways up in paths."""

from __future__ import annotations

from typing import Any

import pytest

from tests.tools.setup import MODULES, call, entry, schema
from tools_app.argument_guards import SHELL, TRAVERSAL, check_texts, guarded
from tools_app.errors import ConfigProblem, ToolError


@pytest.mark.parametrize(
    ("arguments", "argument"),
    [
        ({"name": "a; rm -rf /"}, "name"),
        ({"name": "$(id)"}, "name"),
        ({"name": "`id`"}, "name"),
        ({"name": "a\nb"}, "name"),
        ({"deep": [{"list": ["fine", "a|b"]}]}, "deep.0.list.1"),
        ({"a&b": 1}, "a&b"),
    ],
)
def test_what_shells_act_on_is_refused_at_any_depth(arguments: dict[str, Any], argument: str) -> None:
    with pytest.raises(ToolError) as caught:
        check_texts(arguments, (SHELL,))

    assert (caught.value.status, caught.value.argument) == ("invalid", argument)
    check_texts(arguments, (TRAVERSAL,))


@pytest.mark.parametrize(
    "path", ["..", "../etc/passwd", "a/../b", "a/..", "..\\windows", "%2e%2e/x", "a%2F..%2Fb", "./../x"]
)
def test_ways_up_in_paths_are_refused(path: str) -> None:
    with pytest.raises(ToolError, match=r"path: it has a path with '\.\.'"):
        check_texts({"path": path}, (TRAVERSAL,))


@pytest.mark.parametrize("text", ["a..b", "...", "/srv/data/file.txt", "1..2", "wait...", "", ".hidden"])
def test_what_is_no_way_up_passes(text: str) -> None:
    check_texts({"path": text, "more": [1, None, True, 2.5, {"a": text}]}, (TRAVERSAL, SHELL))


def test_a_tool_without_guards_has_the_check_of_its_schema_alone() -> None:
    def check(arguments: dict[str, Any]) -> None:
        """Never called."""

    assert guarded(check, ()) is check
    with pytest.raises(ConfigProblem, match="no guard 'luck'"):
        guarded(check, ("luck",))


@pytest.mark.asyncio
async def test_a_refused_text_never_reaches_the_tool(settings: Any) -> None:
    settings.TOOL_MODULES = MODULES
    tool = entry("echo", parameters=schema(value="string"), argument_guards=[SHELL])

    with pytest.raises(ToolError, match="shells act on") as caught:
        await call(tool, {"value": "x; id"})

    assert caught.value.status == "invalid"
    assert await call(tool, {"value": "x"}) == "echo x"


@pytest.mark.asyncio
async def test_the_schema_is_checked_first(settings: Any) -> None:
    settings.TOOL_MODULES = MODULES
    tool = entry("echo", parameters=schema(value="string"), argument_guards=[SHELL, TRAVERSAL])

    with pytest.raises(ToolError, match="is not of type 'string'"):
        await call(tool, {"value": [";"]})
