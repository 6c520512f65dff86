"""The pages of a declared agent's versions in the admin: the list, the comparison, and the way back."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from agents_app.definition import Definition
from agents_app.models import Agent, AgentVersion
from agents_app.services.definitions import change_agent, create_agent
from gateway_project.core.snapshot import SnapshotStore
from tests.admin import rows
from tests.agents.declared import BILLING, served
from tests.agents.test_admin import LIST

CONFIRMED = {"confirmed": "yes"}


@pytest.fixture
def row(snapshots: SnapshotStore) -> Agent:
    """An agent with three versions."""
    agent = create_agent(BILLING, Definition(instructions="One.\nSame."), actor="alice", note="Begun.")
    change_agent(agent, actor="bob", instructions="<b>Two.</b>\nSame.")
    return change_agent(agent, actor="bob", settings={"seed": 3})


def show(client: Client, row: Agent, path: str = "", status: int = 200) -> str:
    """A page of the agent's versions."""
    answer = client.get(f"{LIST}{row.pk}/versions/{path}", follow=True)
    assert answer.status_code == status
    return answer.content.decode()


def test_the_list_tells_who_made_what_and_why(row: Agent, admin_client: Client) -> None:
    text = show(admin_client, row)

    for part in ("Version 3", "by alice", "by bob", "Begun.", "in force"):
        assert part in text


def test_a_version_is_compared_with_the_one_before_or_another(row: Agent, admin_client: Client) -> None:
    before = show(admin_client, row, "2/")
    first = show(admin_client, row, "3/?with=1")

    assert '<span class="gw-diff-removed">-One.</span>' in before
    assert '<span class="gw-diff-added">+&lt;b&gt;Two.&lt;/b&gt;</span>' in before
    assert "Settings" not in before.partition("gw-whole")[0]
    assert "<strong>Version 2</strong>" in before
    assert '<span class="gw-diff-added">+  &quot;seed&quot;: 3' in first
    assert "There is no older version." in show(admin_client, row, "1/")
    assert "Nothing differs from version 3." in show(admin_client, row, "3/?with=3")


def test_what_can_not_be_shown_is_told_on_the_list(row: Agent, admin_client: Client) -> None:
    AgentVersion.objects.filter(number=1).update(definition="{")

    for path in ("7/", "1/", "3/?with=1", "3/?with=99"):
        assert "can&#x27;t be read" in (text := show(admin_client, row, path)) or "has no version" in text
    assert "Nothing differs" not in show(admin_client, row, "3/?with=x")
    drop_in = Agent.objects.create(slug="default/drop", managed_by="discovered")
    show(admin_client, drop_in, status=404)


def test_a_roll_back_asks_first(row: Agent, admin_client: Client) -> None:
    path = f"{LIST}{row.pk}/versions/1/roll-back/"
    assert "Roll back to this version" in show(admin_client, row, "1/")
    assert "Roll back to this version" not in show(admin_client, row, "3/")

    question = admin_client.post(path).content.decode()
    assert f"Make what version 1 says the definition of {BILLING} again?" in question
    assert admin_client.get(path).status_code == 302
    row.refresh_from_db()
    assert row.version == 3

    answer = admin_client.post(path, CONFIRMED, follow=True)

    assert "this is version 4" in answer.content.decode()
    entry = served()
    assert entry is not None
    assert entry.agent.instructions == "One.\nSame."
    assert AgentVersion.objects.get(number=4).actor == "admin"


def test_a_roll_back_that_can_not_be_says_why(row: Agent, admin_client: Client) -> None:
    AgentVersion.objects.filter(number=1).update(definition='{"guardrails": ["gone"]}')

    answer: Any = admin_client.post(f"{LIST}{row.pk}/versions/1/roll-back/", CONFIRMED, follow=True)

    assert "Nothing was changed: There is no kind of guardrail" in answer.content.decode()
    row.refresh_from_db()
    assert row.version == 3


def test_whoever_may_only_look_sees_versions_and_rolls_nothing_back(
    row: Agent, charlie: User, charlies_client: Client
) -> None:
    show(charlies_client, row, status=403)
    rows.permit(charlie, "view_agent")

    assert "Roll back" not in show(charlies_client, row, "1/")
    assert charlies_client.post(f"{LIST}{row.pk}/versions/1/roll-back/", CONFIRMED).status_code == 403
    assert AgentVersion.objects.count() == 3
