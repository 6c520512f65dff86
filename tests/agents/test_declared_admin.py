"""Declared agents in the admin: the form with its links, what it refuses and where, and deleting."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from agents_app.definition import Definition
from agents_app.models import Agent, AgentLink, AgentVersion
from agents_app.services.definitions import change_agent, create_agent
from agents_app.services.versions import current_definition
from gateway_project.core.snapshot import SnapshotStore
from security_app.services.configuration import store
from tests.admin import rows
from tests.agents.declared import BILLING, served
from tests.agents.test_admin import LIMITS, LIST, page

FORM = {"is_enabled": "on", "model": "", "visibility": "hidden", **LIMITS, "agent_id": BILLING}
CHANGE = {name: value for name, value in FORM.items() if name != "agent_id"} | {"base_version": "1"}

WRONG: list[tuple[dict[str, str], str, str]] = [
    ({"agent_id": "x"}, "agent_id", "namespace/name"),
    ({"agent_id": "desk/other"}, "agent_id", "There is an agent"),
    ({"agent_id": "vendor/x"}, "agent_id", "name of an upstream"),
    ({"model": "no/such"}, "model", "no model or route"),
    ({"settings": "[]"}, "settings", "JSON object"),
    ({"settings": '{"temperature": 9}'}, "settings", "from 0 to 2"),
    ({"settings": '{"tool_choice": "auto"}'}, "settings", "needs tools"),
    ({"tools": "lookup"}, "tools", "no tool 'lookup'"),
    ({"guardrails": "pii"}, "guardrails", "no kind of guardrail 'pii'"),
    ({"output_schema": '{"type": 1}'}, "output_schema", "schema of an object"),
    ({"output_strict": "on"}, "output_strict", "needs an 'output_schema'"),
    ({"max_turns": "0"}, "max_turns", "greater than"),
    ({"max_cost": "-1"}, "max_cost", "greater than"),
]


@pytest.fixture
def other(snapshots: SnapshotStore) -> Agent:
    """A declared agent that others may link to."""
    return create_agent("desk/other", Definition(), actor="tests")


def with_links(*links: tuple[Agent, str, str]) -> dict[str, str]:
    """The rows of links of a form: agent, kind and tool name."""
    fields = {"links-TOTAL_FORMS": str(len(links)), "links-INITIAL_FORMS": "0"}
    for number, (target, kind, tool_name) in enumerate(links):
        row = {"target": str(target.pk), "kind": kind, "tool_name": tool_name, "description": ""}
        fields |= {f"links-{number}-{name}": value for name, value in row.items()}
    return fields


def add(client: Client, *links: tuple[Agent, str, str], **fields: str) -> Any:
    """Send the form of a new agent."""
    return client.post(f"{LIST}add/", FORM | with_links(*links) | fields)


def change(client: Client, row: Agent, *links: tuple[Agent, str, str], **fields: str) -> Any:
    """Send the form of an agent, whose links are given anew."""
    return client.post(f"{LIST}{row.pk}/change/", CHANGE | with_links(*links) | fields)


def errors(answer: Any) -> dict[str, list[str]]:
    """What the form says is wrong, by field; of links with their number."""
    assert answer.status_code == 200
    found: dict[str, list[str]] = dict(answer.context["adminform"].form.errors)
    formset = answer.context["inline_admin_formsets"][0].formset
    for number, form in enumerate(formset.errors):
        found |= {f"links[{number}].{name}": texts for name, texts in form.items()}
    if formset.non_form_errors():
        found["links"] = list(formset.non_form_errors())
    return found


def test_an_agent_is_made_in_the_admin(other: Agent, admin_client: Client) -> None:
    rows.model(rows.upstream("vendor"))
    store.refresh()

    answer = add(
        admin_client,
        (other, "handoff", ""),
        (other, "as_tool", "ask"),
        display_name="Billing",
        instructions="Be exact.\r\nBe brief.",
        model="vendor/chat",
        settings='{"temperature": 0.5}',
        output_schema='{"type": "object", "properties": {"b": {}, "a": {}}}',
        max_turns="3",
        max_cost="0.5",
        note="First.",
    )

    assert answer.status_code == 302
    row = Agent.objects.get(slug=BILLING)
    definition = current_definition(row)
    assert (definition.instructions, definition.display_name) == ("Be exact.\nBe brief.", "Billing")
    assert (definition.model, definition.settings) == ("vendor/chat", {"temperature": 0.5})
    assert list((definition.output_schema or {})["properties"]) == ["b", "a"]
    assert [(one.target, one.kind, one.name) for one in definition.links] == [
        ("desk/other", "handoff", "transfer_to_other"),
        ("desk/other", "as_tool", "ask"),
    ]
    version = AgentVersion.objects.get(agent=row)
    assert (version.number, version.actor, version.note) == (1, "admin", "First.")
    entry = served()
    assert entry is not None
    assert (entry.model, entry.max_turns, entry.max_cost_nano) == ("vendor/chat", 3, 500_000_000)


def test_the_form_shows_what_is_stored_and_saves_it_unchanged(other: Agent, admin_client: Client) -> None:
    add(admin_client, (other, "handoff", ""), instructions="Be exact.", settings='{"seed": 1}', tools="")
    row = Agent.objects.get(slug=BILLING)

    answer = admin_client.get(f"{LIST}{row.pk}/change/")

    text = answer.content.decode()
    for part in ("Be exact.", "&quot;seed&quot;: 1", "desk/other", "Version 1 is in force", "Chat with"):
        assert part in text
    form = answer.context["adminform"].form
    formset = answer.context["inline_admin_formsets"][0].formset
    sent = {f.html_name: f.value() for f in form if f.value() not in (None, False)}
    sent |= {f.html_name: f.value() for f in formset.management_form}
    sent |= {f.html_name: f.value() for one in formset.initial_forms for f in one if f.value() is not None}
    assert admin_client.post(f"{LIST}{row.pk}/change/", sent).status_code == 302
    assert AgentVersion.objects.filter(agent=row).count() == 1


def test_a_change_is_a_version_and_links_are_given_anew(other: Agent, admin_client: Client) -> None:
    row = create_agent(BILLING, Definition(instructions="Old."), actor="tests")

    assert change(admin_client, row, (other, "as_tool", "ask"), instructions="New.").status_code == 302

    row.refresh_from_db()
    assert row.version == 2
    assert AgentLink.objects.get().tool_name == "ask"
    assert current_definition(row).instructions == "New."


def test_an_agent_whose_version_can_not_be_read_is_defined_anew(other: Agent, admin_client: Client) -> None:
    row = create_agent(BILLING, Definition(instructions="Old."), actor="tests")
    AgentVersion.objects.filter(agent=row).update(definition="{")

    answer = change(admin_client, row, (other, "handoff", ""), instructions="New.")

    assert answer.status_code == 302
    row.refresh_from_db()
    assert (row.version, current_definition(row).instructions) == (2, "New.")
    assert AgentLink.objects.get().target == other


def test_limits_alone_are_no_version(other: Agent, admin_client: Client) -> None:
    assert change(admin_client, other, max_turns="4", records_content="on").status_code == 302

    other.refresh_from_db()
    assert (other.version, other.max_turns, other.records_content) == (1, 4, True)


def test_what_is_wrong_is_said_at_its_field(other: Agent, admin_client: Client) -> None:
    rows.upstream("vendor")

    for fields, field, words in WRONG:
        found = errors(add(admin_client, **fields))

        assert list(found) == [field]
        assert words in found[field][0]
    assert Agent.objects.count() == 1


def test_a_schema_stays_readable_while_something_else_is_wrong(other: Agent, admin_client: Client) -> None:
    schema = '{\n  "type": "object"\n}'

    answer = add(admin_client, output_schema=schema, max_turns="0")

    assert set(errors(answer)) == {"max_turns"}
    assert answer.context["adminform"].form["output_schema"].value() == schema


def test_what_is_wrong_with_a_link_is_said_at_the_link(other: Agent, admin_client: Client) -> None:
    row = create_agent(BILLING, Definition(), actor="tests")
    change_agent(
        other,
        actor="tests",
        links=Definition.of_image({"links": [{"target": BILLING, "kind": "handoff"}]}).links,
    )

    circle = errors(change(admin_client, row, (other, "handoff", ""), (other, "as_tool", "")))
    itself = errors(change(admin_client, row, (row, "handoff", "")))
    twice = errors(change(admin_client, row, (other, "handoff", ""), (other, "handoff", "b")))
    name = errors(change(admin_client, row, (other, "handoff", "a b")))

    assert "leads back" in circle["links[1].target"][0]
    assert "to itself" in itself["links[0].target"][0]
    assert list(name) == ["links[0].tool_name"]
    assert "links" in "".join(twice)
    row.refresh_from_db()
    assert row.version == 1


def test_what_somebody_else_saved_meanwhile_is_not_overwritten(other: Agent, admin_client: Client) -> None:
    change_agent(other, actor="bob", instructions="Bob's.")

    found = errors(change(admin_client, other, instructions="Mine."))

    assert "version 2 meanwhile" in found["__all__"][0]
    assert current_definition(other).instructions == "Bob's."


def test_an_agent_that_others_need_is_not_deleted(other: Agent, admin_client: Client) -> None:
    add(admin_client, (other, "handoff", ""))
    delete = {"action": "delete_selected", "_selected_action": [str(other.pk)], "post": "yes"}

    admin_client.post(f"{LIST}{other.pk}/delete/", {"post": "yes"})
    admin_client.post(LIST, delete)
    assert Agent.objects.count() == 2

    row = Agent.objects.get(slug=BILLING)
    assert "versions: 1" in admin_client.get(f"{LIST}{row.pk}/delete/").content.decode().lower()
    admin_client.post(f"{LIST}{row.pk}/delete/", {"post": "yes"})
    admin_client.post(LIST, delete)

    assert not Agent.objects.exists()
    assert not AgentVersion.objects.exists()


def test_whoever_may_only_look_changes_nothing(other: Agent, charlie: User, charlies_client: Client) -> None:
    rows.permit(charlie, "view_agent")

    text = page(charlies_client, f"{other.pk}/change/")

    assert "desk/other" in text
    assert "_save" not in text
    assert charlies_client.get(f"{LIST}add/").status_code == 403
    assert add(charlies_client).status_code == 403
    assert change(charlies_client, other, instructions="x").status_code == 403
    assert charlies_client.post(f"{LIST}{other.pk}/delete/", {"post": "yes"}).status_code == 403
    assert Agent.objects.get().version == 1


def test_the_list_tells_kinds_apart(other: Agent, admin_client: Client) -> None:
    Agent.objects.create(slug="default/drop", folder="Drop", managed_by="discovered")

    declared = page(admin_client, "?kind=declared")
    drop_ins = page(admin_client, "?kind=drop-in")

    assert ("desk/other" in declared, "default/drop" in declared) == (True, False)
    assert ("desk/other" in drop_ins, "default/drop" in drop_ins) == (False, True)


def test_lists_and_forms_need_few_queries(other: Agent, admin_client: Client) -> None:
    targets = [
        create_agent(f"desk/n{number}", Definition(instructions="x" * 999), actor="t") for number in range(12)
    ]
    add(admin_client, *((target, "handoff", "") for target in targets))
    row = Agent.objects.get(slug=BILLING)

    with CaptureQueriesContext(connection) as of_list:
        page(admin_client)
    with CaptureQueriesContext(connection) as of_form:
        page(admin_client, f"{row.pk}/change/")

    assert len(of_list) <= 8
    assert not any("agentversion" in one["sql"] for one in of_list.captured_queries)
    assert len(of_form) <= 25
