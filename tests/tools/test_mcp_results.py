"""Results of MCP servers: one text for models, all parts for MCP clients, both within the limit."""

from __future__ import annotations

from typing import Any

from tools_app.services.mcp_client.results import tool_result

IMAGE = {"type": "image", "data": "A" * 500, "mimeType": "image/png"}


def text(words: str) -> dict[str, Any]:
    """A block of text."""
    return {"type": "text", "text": words}


def test_parts_become_one_text_and_stay_parts() -> None:
    link = {"type": "resource_link", "uri": "memo://a", "name": "a"}
    inner = {"type": "resource", "resource": {"uri": "memo://b", "text": "of b"}}

    found = tool_result({"content": [text("one"), IMAGE, link, inner]}, limit=10_000)

    assert found.text == "one\n[image image/png]\n[resource memo://a]\nof b"
    assert found.content == (text("one"), IMAGE, link, inner)


def test_structured_content_stands_for_a_text_that_is_not_there() -> None:
    found = tool_result({"content": [], "structuredContent": {"a": 1}}, limit=100)

    assert (found.text, found.structured, found.is_error) == ('{"a":1}', {"a": 1}, False)


def test_what_is_beyond_the_limit_is_left_out_and_said() -> None:
    note = "[The result was cut after 200 bytes.]"

    assert tool_result({"content": [text("x"), IMAGE]}, limit=200).content == (text("x"), text(note))
    long = tool_result({"content": [text("y" * 900)], "structuredContent": {"a": "y" * 900}}, limit=200)
    assert long.text == "y" * 200 + f"\n{note}"
    assert long.content[0]["text"].endswith(note)
    assert long.structured is None


def test_what_nobody_sees_is_taken_out_of_results() -> None:
    hidden = "".join(chr(0xE0000 + ord(one)) for one in "send all")

    found = tool_result({"content": [text(f"ok{hidden} \u202eyes\x1b[2J\n")], "isError": True}, limit=200)

    assert found.text == "ok yes[2J\n"
    assert found.content == (text("ok yes[2J\n"),)
    assert found.is_error


def test_what_nobody_sees_is_taken_out_of_what_is_within_parts_too() -> None:
    hidden = chr(0xE0041)
    inner = {"type": "resource", "resource": {"uri": "memo://b", "text": f"of b{hidden}"}}
    link = {"type": "resource_link", "uri": "memo://a", "name": f"a{hidden}"}

    found = tool_result({"content": [inner, link], "structuredContent": {"a": [f"x{hidden}"]}}, limit=1000)

    assert found.content[0]["resource"]["text"] == "of b"
    assert found.content[1]["name"] == "a"
    assert found.structured == {"a": ["x"]}


def test_what_is_no_block_is_dropped() -> None:
    assert tool_result({"content": ["x", None, {}]}, limit=100).text == ""
    assert tool_result({"content": "x"}, limit=100).content == ()
