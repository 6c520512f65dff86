"""The wizard's first step with vendors of other formats: keys of the environment, regions, projects."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from tests.admin.rows import SECRET
from upstreams_app.models import Upstream

STEP = "/admin/first-run/?step=upstream"
pytestmark = pytest.mark.django_db


def choose(client: Client, service: str, **fields: str) -> Any:
    """The step, sent."""
    return client.post(STEP, {"service": service, **fields})


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the vendors' in it."""
    for name in (
        "ANTHROPIC_API_KEY",
        "GEMINI_API_KEY",
        "GOOGLE_API_KEY",
        "AWS_REGION_NAME",
        "AWS_REGION",
        "AWS_DEFAULT_REGION",
    ):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("kind", "fields", "options", "address"),
    [
        ("anthropic", {"api_key": SECRET}, {}, "https://api.anthropic.com"),
        ("gemini", {"api_key": SECRET}, {}, "https://generativelanguage.googleapis.com"),
        (
            "bedrock",
            {"bedrock_region": "eu-west-1"},
            {"region": "eu-west-1"},
            "https://bedrock-runtime.eu-west-1.amazonaws.com",
        ),
        (
            "vertex",
            {"vertex_project": "acme-1", "vertex_location": "eu"},
            {"project": "acme-1", "location": "eu"},
            "https://aiplatform.eu.rep.googleapis.com",
        ),
    ],
)
def test_a_vendor_is_added(
    admin_client: Client, kind: str, fields: dict[str, str], options: dict[str, str], address: str
) -> None:
    assert choose(admin_client, f"kind:{kind}", **fields).status_code == 302

    row = Upstream.objects.get()
    assert (row.name, row.kind, row.options, row.base_url) == (kind, kind, options, address)
    assert row.credential_source == ("stored" if "api_key" in fields else "none")


@pytest.mark.parametrize(
    ("service", "variable"),
    [
        ("kind:anthropic", "ANTHROPIC_API_KEY"),
        ("kind:gemini", "GEMINI_API_KEY"),
        ("kind:gemini", "GOOGLE_API_KEY"),
        ("preset:groq", "GROQ_API_KEY"),
    ],
)
def test_a_key_of_the_environment_is_used_where_none_is_entered(
    admin_client: Client, service: str, variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, SECRET)

    page = admin_client.get(STEP).content.decode()
    choose(admin_client, service)

    assert f"(key in {variable})" in page
    assert SECRET not in page
    assert Upstream.objects.get().credential_reference == f"env:{variable}"


def test_a_key_of_the_environment_goes_to_no_other_address(
    admin_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", SECRET)

    choose(admin_client, "kind:anthropic", base_url="https://else.example")

    assert Upstream.objects.get().credential_source == "none"


def test_the_region_of_the_environment_is_filled_in(
    admin_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_REGION", "eu-central-1")

    page = admin_client.get(STEP)

    assert page.context["form"]["bedrock_region"].value() == "eu-central-1"


@pytest.mark.parametrize(
    ("service", "field", "value"),
    [
        ("kind:bedrock", "bedrock_region", ""),
        ("kind:bedrock", "bedrock_region", "here"),
        ("kind:vertex", "vertex_project", "a/b"),
    ],
)
def test_what_is_wrong_is_told_at_its_option(
    admin_client: Client, service: str, field: str, value: str
) -> None:
    answer = choose(admin_client, service, **{field: value, "api_key": SECRET})

    assert answer.status_code == 200
    assert set(answer.context["form"].errors) == {field}
    assert SECRET not in answer.content.decode()
    assert not Upstream.objects.exists()
