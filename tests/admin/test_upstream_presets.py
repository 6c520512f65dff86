"""Known services in the form of an upstream: what choosing one fills in, without a script too."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.test import Client

from tests.admin import rows
from tests.admin.rows import SECRET
from tests.admin.upstream_forms import ADD, change_path, errors_of, filled_form
from upstreams_app.models import Upstream
from upstreams_app.presets import PRESETS, Preset


def chosen(preset: str, **changes: Any) -> dict[str, Any]:
    """A form in which only a service was chosen and a key entered."""
    empty = {"name": "", "kind": "", "base_url": "", "api_key": SECRET}
    return filled_form(preset=preset, **{**empty, **changes})


@pytest.mark.parametrize("preset", PRESETS.values(), ids=lambda preset: preset.id)
def test_a_service_fills_in_the_form(admin_client: Client, preset: Preset) -> None:
    answer = admin_client.post(ADD, chosen(preset.id))

    row = Upstream.objects.get()
    assert answer.status_code == 302
    assert (row.name, row.kind, row.base_url) == (preset.id, "openai-compatible", preset.base_url)
    assert row.path_prefix == preset.path_prefix
    assert row.get_api_key() == SECRET


def test_what_was_entered_stays(admin_client: Client) -> None:
    admin_client.post(ADD, chosen("groq", name="fast", base_url="https://relay.example", path_prefix="/groq"))

    row = Upstream.objects.get()
    assert (row.name, row.base_url, row.path_prefix) == ("fast", "https://relay.example", "/groq")


@pytest.mark.parametrize(
    ("preset", "base_url", "kept"),
    [
        ("groq", "https://api.groq.com/openai/v1", "https://api.groq.com"),
        ("mistral", "https://relay.example/v1/", "https://relay.example"),
    ],
)
def test_an_address_may_be_given_as_clients_write_it(
    admin_client: Client, preset: str, base_url: str, kept: str
) -> None:
    admin_client.post(ADD, chosen(preset, base_url=base_url))

    row = Upstream.objects.get()
    assert (row.base_url, row.path_prefix) == (kept, PRESETS[preset].path_prefix)


def test_without_a_service_the_name_and_the_kind_are_needed(admin_client: Client) -> None:
    answer = admin_client.post(ADD, chosen(""))

    assert set(errors_of(answer)) == {"name", "kind"}
    assert not Upstream.objects.exists()


def test_the_form_tells_its_script_what_each_service_implies(admin_client: Client) -> None:
    form = admin_client.get(ADD).context["adminform"].form

    told = json.loads(form.fields["preset"].widget.attrs["data-presets"])
    assert told["fireworks"] == {
        "kind": "openai-compatible",
        "url": "https://api.fireworks.ai",
        "prefix": "/inference/v1",
        "reference": "env:FIREWORKS_API_KEY",
    }
    assert set(told) == set(PRESETS)


def test_a_stored_upstream_has_no_choice_of_services(admin_client: Client) -> None:
    row = rows.upstream()

    assert 'name="preset"' not in admin_client.get(change_path(row)).content.decode()
    assert admin_client.post(change_path(row), filled_form(name="")).status_code == 200


def test_azure_is_a_kind_with_its_own_path(admin_client: Client) -> None:
    filled = filled_form(kind="azure-openai", base_url="https://r.openai.azure.com/openai/v1", api_key=SECRET)

    admin_client.post(ADD, {**filled, "api_version": "2024-10-21"})

    row = Upstream.objects.get()
    assert (row.base_url, row.path_prefix) == ("https://r.openai.azure.com", "/openai/v1")
    assert row.api_version == "2024-10-21"
