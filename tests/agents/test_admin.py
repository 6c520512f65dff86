"""Agents in the admin."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from agents_app.models import Agent
from gateway_project.core.snapshot import SnapshotStore
from security_app.services.configuration import store
from tests.admin import rows
from tests.agents.dropins import write_agent
from tests.agents.test_management import HELPER

LIST = "/admin/agents_app/agent/"
FORM = {"is_enabled": "on", "model": "", "visibility": "hidden", "isolation": "in_process"}
LIMITS = {"max_turns": "10", "max_llm_calls": "50", "wall_clock_s": "600"}


@pytest.fixture
def helper(tmp_path: Path, settings: Any, snapshots: SnapshotStore) -> Agent:
    """The row of the one agent that is loaded."""
    settings.AGENT_ROOTS = (tmp_path,)
    write_agent(tmp_path, "Helper", HELPER)
    snapshots.refresh(everything=True)
    return Agent.objects.get()


def page(client: Client, path: str = "") -> str:
    answer = client.get(LIST + path)
    assert answer.status_code == 200
    return answer.content.decode()


def save(client: Client, row: Agent, **fields: str) -> Any:
    return client.post(f"{LIST}{row.pk}/change/", FORM | LIMITS | fields)


def test_the_list_shows_state_description_and_folder(helper: Agent, admin_client: Client) -> None:
    text = page(admin_client)

    for part in ("default/helper", "loaded", "Helps.", "Helper"):
        assert part in text
    assert "add/" not in text.partition("result_list")[2]


def test_an_operator_changes_what_is_theirs(helper: Agent, admin_client: Client) -> None:
    rows.model(rows.upstream("vendor"))
    store.refresh()

    assert save(admin_client, helper, model="vendor/chat", max_turns="3").status_code == 302

    entry = store.current.sections["agents"].value.agents["default/helper"]
    assert (entry.model, entry.max_turns) == ("vendor/chat", 3)


def test_a_model_that_does_not_exist_is_an_error_of_the_field(helper: Agent, admin_client: Client) -> None:
    answer = save(admin_client, helper, model="vendor/none")

    assert answer.status_code == 200
    assert answer.context["adminform"].form.errors == {"model": ["There is no model or route 'vendor/none'."]}


def test_a_model_that_went_away_does_not_stop_other_changes(helper: Agent, admin_client: Client) -> None:
    Agent.objects.update(model="vendor/gone")

    assert save(admin_client, helper, model="vendor/gone", max_turns="4").status_code == 302

    assert Agent.objects.get().max_turns == 4


def test_agents_are_disabled_from_the_list(helper: Agent, admin_client: Client) -> None:
    admin_client.post(LIST, {"action": "disable", "_selected_action": [str(helper.pk)]})

    assert not store.current.sections["agents"].value.agents
    assert "disabled" in page(admin_client)


def test_only_a_row_whose_folder_is_gone_is_deleted(
    helper: Agent, admin_client: Client, tmp_path: Path
) -> None:
    delete = {"action": "delete_selected", "_selected_action": [str(helper.pk)], "post": "yes"}
    assert admin_client.post(f"{LIST}{helper.pk}/delete/", {"post": "yes"}).status_code == 403
    admin_client.post(LIST, delete)
    assert Agent.objects.exists()
    (tmp_path / "Helper" / "agent.py").unlink()
    admin_client.post(f"{LIST}reload/")
    assert "folder gone" in page(admin_client)

    admin_client.post(LIST, delete)

    assert not Agent.objects.exists()


def test_the_button_loads_what_changed_and_tells_of_problems(
    helper: Agent, admin_client: Client, tmp_path: Path
) -> None:
    write_agent(tmp_path, "Broken", "x = = 1")
    write_agent(tmp_path, "Other", HELPER)

    answer = admin_client.post(f"{LIST}reload/", follow=True)

    text = answer.content.decode()
    assert "problems: 1" in text
    assert "SyntaxError: invalid syntax (agent.py, line 1)" in text
    assert "default/other" in text
    assert admin_client.get(f"{LIST}reload/").status_code == 405


def test_whoever_may_only_look_reloads_and_changes_nothing(
    helper: Agent, charlie: User, charlies_client: Client
) -> None:
    assert charlies_client.get(LIST).status_code == 403
    rows.permit(charlie, "view_agent")

    assert "reload/" not in page(charlies_client)
    assert charlies_client.post(f"{LIST}reload/").status_code == 403
    assert save(charlies_client, helper, max_turns="4").status_code == 403


def test_a_row_shows_what_the_code_says(helper: Agent, admin_client: Client) -> None:
    text = page(admin_client, f"{helper.pk}/change/")

    for part in ("Helps.", store.current.sections["agents"].value.loaded["default/helper"].digest, "seconds"):
        assert part in text


def test_the_list_does_not_query_for_each_row(
    helper: Agent, admin_client: Client, django_assert_max_num_queries: Any
) -> None:
    Agent.objects.bulk_create([Agent(slug=f"default/gone-{number}") for number in range(40)])

    with django_assert_max_num_queries(8):
        assert page(admin_client).count("folder gone") == 40
