"""A gateway with the drop-in agents of a test module, and OpenAI's own client for it.

    AGENTS = {"Helper": '''from agents import Agent; agent = Agent(name="Helper")'''}

    def test_it_answers(vendor: FakeVendor, ai: OpenAI) -> None:
        ai.chat.completions.create(model="default/helper", messages=HELLO)

A module may also have SETTINGS, environment variables of its gateway, and ROWS, what an operator decided
about agents: columns of their rows by model id.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from openai import OpenAI

from tests.agents.dropins import write_agent
from tests.doors.conftest import shared_vendor, template, vendor
from tests.doors.gateway import Gateway, Template
from tests.doors.rows import KEY, MODEL
from tests.prepared import Database

__all__ = ["shared_vendor", "template", "vendor", "write_agent"]


@pytest.fixture(scope="module")
def agents_root(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The root folder of the module's agents."""
    root = tmp_path_factory.mktemp("agents")
    for name, source in getattr(request.module, "AGENTS", {}).items():
        write_agent(root, name, source)
    return root


@pytest.fixture(scope="module")
def agent_gateway(request: pytest.FixtureRequest, template: Template, agents_root: Path) -> Iterator[Gateway]:
    """A gateway that serves them; calls without a model of their own go to the fake vendor."""
    variables = {"GATEWAY_AGENT_DISCOVERY_PATH": str(agents_root), "GATEWAY_DEFAULT_MODEL": MODEL}
    database = template.copy()
    for slug, columns in getattr(request.module, "ROWS", {}).items():
        _insert(database, slug, columns)
    with Gateway(database, **variables, **getattr(request.module, "SETTINGS", {})) as running:
        yield running


def _insert(database: Database, slug: str, columns: dict[str, object]) -> None:
    # Models need settings, which are not there yet when this file is read.
    from django.db import connections

    from agents_app.models import Agent

    connection, row = connections["default"], Agent(slug=slug, **columns)
    values = {
        str(field.column): field.get_db_prep_save(field.pre_save(row, add=True), connection)
        for field in Agent._meta.concrete_fields
    }
    names, marks = ", ".join(values), ", ".join(["%s"] * len(values))
    database.execute(f"INSERT INTO {Agent._meta.db_table} ({names}) VALUES ({marks})", *values.values())  # noqa: S608


@pytest.fixture(scope="module")
def ai(agent_gateway: Gateway) -> Iterator[OpenAI]:
    """The client as people make it, but that it never tries again."""
    with OpenAI(base_url=f"{agent_gateway.url}/v1", api_key=KEY, max_retries=0) as client:
        yield client
