"""Policies of drop-ins in the admin: rules are written there, and act at once."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.test import Client
from pytest_django import Settings

from agents_app.models import Agent, DropInPolicy
from agents_app.registry import AgentsConfig
from gateway_project.registries import store
from tests.agents.dropins import write_agent

pytestmark = pytest.mark.django_db(transaction=True)
ADD = "/admin/agents_app/dropinpolicy/add/"
GOOD = {"namespace": "default", "mode": "restricted", "isolation": "process", "allowed_modules": "httpx\nos"}


@pytest.fixture(autouse=True)
def root(settings: Settings, tmp_path: Path) -> Path:
    """A discovery root with one agent, which is loaded."""
    settings.AGENT_ROOTS = (tmp_path / "agents",)
    settings.GATEWAY_DATA_DIR = tmp_path / "data"
    write_agent(tmp_path / "agents", "Helper", "import os\nfrom agents import Agent\nagent = Agent(name='H')")
    store.refresh(everything=True)
    return tmp_path / "agents"


def config() -> AgentsConfig:
    """What this process serves."""
    found: AgentsConfig = store.current.sections["agents"].value
    return found


def test_a_policy_that_is_written_acts_before_the_page_answers(admin_client: Client) -> None:
    assert admin_client.post(ADD, GOOD).status_code == 302

    row = DropInPolicy.objects.get()
    assert (row.mode, row.rules().allowed) == ("restricted", frozenset({"httpx", "os"}))
    assert config().agents["default/helper"].isolation == "process"
    admin_client.post(f"/admin/agents_app/dropinpolicy/{row.pk}/delete/", {"post": "yes"})
    assert config().agents["default/helper"].isolation == "in_process"


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("namespace", "No Name", "Give a namespace such as"),
        ("allowed_modules", "os;sys", "is no name of a module"),
        ("mode", "lax", "is not one of the available choices"),
    ],
)
def test_a_mistake_is_told_at_its_field(admin_client: Client, field: str, value: str, words: str) -> None:
    page = admin_client.post(ADD, {**GOOD, field: value})

    assert page.status_code == 200
    assert words in page.content.decode()
    assert not DropInPolicy.objects.exists()


def test_the_page_of_an_agent_says_where_its_code_runs(admin_client: Client) -> None:
    row = Agent.objects.get(slug="default/helper")
    url = f"/admin/agents_app/agent/{row.pk}/change/"
    assert "the server’s process" in admin_client.get(url).content.decode().replace("&#x27;", "’")

    admin_client.post(ADD, GOOD)

    assert "a process of its own" in admin_client.get(url).content.decode()
