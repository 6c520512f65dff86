"""Versions of declared agents: written by each change and no other, compared, gone back to, and bounded."""

from __future__ import annotations

from typing import Any

import pytest

from agents_app.definition import Definition
from agents_app.models import Agent, AgentLink, AgentVersion
from agents_app.services.definitions import change_agent
from agents_app.services.versions import changes_between
from gateway_project.core.errors import Conflict
from security_app.services.configuration import store
from tests.admin import rows
from tests.agents.declared import BILLING, declare, link, served
from tests.management.caller import Caller

PATH = f"/agents/{BILLING}"


def change(admin: Caller, **fields: Any) -> int:
    """Change the agent; its version now."""
    number: int = admin.ok("PATCH", PATH, fields)["version"]
    return number


def numbers(admin: Caller) -> list[int]:
    """The versions that are listed."""
    return [one["version"] for one in admin.ok("GET", f"{PATH}/versions")["data"]]


def test_each_change_of_the_definition_is_a_version_and_nothing_else_is(admin: Caller) -> None:
    rows.model(rows.upstream("vendor"))
    declare(admin, "desk/a")
    declare(admin, instructions="One.", note="Begun.")

    assert change(admin, instructions="Two.", note="Better.") == 2
    assert change(admin, instructions="Two.", note="The same.") == 2
    assert change(admin, max_turns=3, visibility="gateway", enabled=False) == 2
    assert change(admin, model="vendor/chat") == 3
    assert change(admin, links=[link("desk/a")]) == 4
    assert change(admin, links=[link("desk/a")], enabled=True) == 4

    newest, *_, first = admin.ok("GET", f"{PATH}/versions")["data"]
    assert (newest["version"], newest["is_current"], first["is_current"]) == (4, True, False)
    assert (first["by"], first["note"]) == ("master key", "Begun.")
    assert AgentVersion.objects.filter(agent__slug=BILLING).count() == 4


def test_an_agent_is_made_of_all_that_it_can_reach(admin: Caller) -> None:
    def made_of() -> str:
        store.refresh(everything=True)
        entry = served()
        assert entry is not None
        return entry.made_of

    declare(admin, "desk/a")
    declare(admin, "desk/b", links=[link("desk/a")])
    declare(admin, links=[link("desk/b")])
    first = made_of()
    admin.ok("PATCH", PATH, {"max_turns": 3})
    same = made_of()
    admin.ok("PATCH", "/agents/desk/a", {"instructions": "Changed."})

    assert len(first) == 64
    assert same == first
    assert made_of() != first


def test_a_refused_change_leaves_no_version(admin: Caller) -> None:
    declare(admin, instructions="One.")

    admin.refused("PATCH", PATH, {"instructions": "Two.", "max_turns": 5, "model": "no/such"})

    assert numbers(admin) == [1]
    assert Agent.objects.get().max_turns == 10


def test_two_versions_are_compared_field_by_field(admin: Caller) -> None:
    lines = [f"Line {number}." for number in range(12)]
    declare(admin, instructions="\n".join(lines), display_name="A", settings={"temperature": 1})
    change(admin, instructions="\n".join([*lines[:6], "New.", *lines[7:]]), display_name="B")

    shown = admin.ok("GET", f"{PATH}/versions/2?diff=1")

    assert shown["definition"]["display_name"] == "B"
    name, instructions = shown["changes"]
    assert name == {"field": "display_name", "before": "A", "after": "B", "diff": []}
    assert instructions["field"] == "instructions"
    diff = instructions["diff"]
    assert diff == [
        "@@ -4,7 +4,7 @@",
        " Line 3.",
        " Line 4.",
        " Line 5.",
        "-Line 6.",
        "+New.",
        " Line 7.",
        " Line 8.",
        " Line 9.",
    ]
    assert admin.ok("GET", f"{PATH}/versions/1?diff=1")["changes"] == []
    assert admin.ok("GET", f"{PATH}/versions/1")["changes"] is None


def test_schemas_and_links_are_compared_as_text() -> None:
    before = Definition(output_schema={"type": "object", "properties": {"a": {"type": "string"}}})
    after = Definition(output_schema={"type": "object", "properties": {"b": {"type": "string"}}})

    (found,) = changes_between(before, after)

    assert found.field == "output_schema"
    assert [line for line in found.lines if line[0] in "+-"] == ['-    "a": {', '+    "b": {']


def test_only_changes_that_are_quick_to_find_are_told_line_by_line() -> None:
    usual = [f"Line {number}." for number in range(4_000)]
    same = [f"Line {number % 101}." for number in range(4_000)]

    def count(before: list[str], after: list[str]) -> int:
        old, new = (Definition(instructions="\n".join(text)) for text in (before, after))
        (found,) = changes_between(old, new)
        return len(found.lines)

    assert count(usual, ["First.", *usual[1:-1], "Last."]) == 12
    assert count(usual, usual[::-1]) > 7_000
    assert count(same, [*same[:2_000], "Another.", *same[2_001:]]) == 9
    assert count(same, ["First.", *same[1:-1], "Last."]) == 0
    assert count(["Same."] * 150, ["Same."] * 151) == 5
    assert count([*usual, *["Same."] * 1_000][::2], ["Same.", "Other."] * 90) == 0


def test_a_version_that_is_not_there_is_not_found(admin: Caller) -> None:
    declare(admin)

    for path in ("/versions/2", "/versions/0", "/versions/x", "/versions/99999999999", "/versions/1?diff=9"):
        assert admin.refused("GET", PATH + path)["status"] == 404, path
    assert admin.refused("GET", f"{PATH}/versions/1?diff=0")["status"] == 400
    assert admin.refused("GET", f"{PATH}/versions/1?than=1")["param"] == "than"
    assert admin.refused("GET", f"{PATH}/versions?page=1")["param"] == "page"
    assert admin.refused("POST", f"{PATH}/rollback", {"version": 7})["status"] == 404
    assert admin.refused("POST", f"{PATH}/rollback", {"version": "1"})["status"] == 400
    assert admin.refused("GET", "/agents/desk/none/versions")["status"] == 404


def test_a_roll_back_is_a_new_version_with_the_links_of_the_old_one(admin: Caller) -> None:
    rows.model(rows.upstream("vendor"))
    declare(admin, "desk/a")
    declare(admin, instructions="Old.", model="vendor/chat", links=[link("desk/a", description="First.")])
    change(admin, instructions="New.", model="", links=[], max_turns=2)

    shown = admin.ok("POST", f"{PATH}/rollback", {"version": 1})

    assert (shown["version"], shown["model"], shown["max_turns"]) == (3, "vendor/chat", 2)
    assert shown["definition"] == admin.ok("GET", f"{PATH}/versions/1")["definition"]
    assert AgentLink.objects.get().description == "First."
    newest = admin.ok("GET", f"{PATH}/versions")["data"][0]
    assert newest["note"] == "Rolled back to version 1."
    entry = served()
    assert entry is not None
    assert (entry.version, entry.agent.instructions, len(entry.agent.handoffs)) == (3, "Old.", 1)


def test_a_roll_back_to_what_is_in_force_changes_nothing(admin: Caller) -> None:
    declare(admin)

    assert admin.ok("POST", f"{PATH}/rollback", {"version": 1})["version"] == 1


def test_a_roll_back_to_what_can_not_be_any_more_says_why(admin: Caller) -> None:
    rows.model(rows.upstream("vendor"))
    declare(admin, "desk/a")
    declare(admin, links=[link("desk/a")])
    change(admin, links=[])
    change(admin, model="vendor/chat")
    change(admin, model="")
    admin.ok("DELETE", "/agents/desk/a")
    admin.ok("DELETE", "/upstreams/vendor")

    gone_agent = admin.refused("POST", f"{PATH}/rollback", {"version": 1})
    gone_model = admin.refused("POST", f"{PATH}/rollback", {"version": 3})

    assert (gone_agent["status"], gone_agent["message"]) == (400, "There is no agent 'desk/a'.")
    assert (gone_model["param"], gone_model["status"]) == ("model", 400)
    assert numbers(admin) == [4, 3, 2, 1]


def test_a_roll_back_makes_no_cycle(admin: Caller) -> None:
    declare(admin, "desk/a")
    declare(admin, links=[link("desk/a", "as_tool")])
    change(admin, links=[])
    admin.ok("PATCH", "/agents/desk/a", {"links": [link(BILLING)]})

    assert "leads back" in admin.refused("POST", f"{PATH}/rollback", {"version": 1})["message"]


def test_only_the_newest_versions_are_kept(admin: Caller, settings: Any) -> None:
    settings.AGENT_VERSIONS_KEPT = 3
    declare(admin, instructions="0")

    for number in range(1, 6):
        change(admin, instructions=str(number))

    assert numbers(admin) == [6, 5, 4]
    assert admin.refused("POST", f"{PATH}/rollback", {"version": 3})["status"] == 404
    assert admin.ok("POST", f"{PATH}/rollback", {"version": 4})["definition"]["instructions"] == "3"
    assert numbers(admin) == [7, 6, 5]


@pytest.mark.parametrize("text", ["[]", "{", '{"links": [{"to": "x"}]}', '{"links": 1}', "null"])
def test_a_version_that_can_not_be_read_is_told(admin: Caller, text: str) -> None:
    declare(admin)
    change(admin, instructions="2")
    AgentVersion.objects.filter(number=1).update(definition=text)

    for answer in (
        admin.refused("GET", f"{PATH}/versions/1"),
        admin.refused("POST", f"{PATH}/rollback", {"version": 1}),
    ):
        assert (answer["status"], answer["message"]) == (404, "Version 1 can't be read.")


def test_a_change_of_what_somebody_else_changed_meanwhile_is_refused(admin: Caller) -> None:
    declare(admin)
    row = Agent.objects.get()
    change(admin, instructions="Theirs.")

    with pytest.raises(Conflict, match="version 2 of the agent meanwhile"):
        change_agent(row, actor="tests", based_on=1, instructions="Mine.")

    assert numbers(admin) == [2, 1]


@pytest.mark.parametrize("by_roll_back", [True, False], ids=["rolled back", "changed"])
def test_an_agent_whose_version_can_not_be_read_is_mended(admin: Caller, by_roll_back: bool) -> None:
    declare(admin, instructions="1")
    change(admin, instructions="2")
    AgentVersion.objects.filter(number=2).update(definition="{")
    store.refresh(everything=True)
    assert served() is None

    part = admin.refused("PATCH", PATH, {"instructions": "1"})
    if by_roll_back:
        admin.ok("POST", f"{PATH}/rollback", {"version": 1})
    else:
        change(admin, **admin.ok("GET", f"{PATH}/versions/1")["definition"])

    assert (part["status"], part["param"]) == (409, "version")
    entry = served()
    assert entry is not None
    assert (entry.version, entry.agent.instructions) == (3, "1")
