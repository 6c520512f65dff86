"""Upstreams of other wire formats in the admin: their options, and the address that follows from them."""

from __future__ import annotations

import json

import pytest
from django.test import Client

from tests.admin.upstream_forms import ADD, change_path, errors_of, filled_form
from upstreams_app.models import Upstream

KEY_FILE = {"type": "service_account", "project_id": "acme", "client_email": "g@acme", "private_key": "k"}
EUROPE = '{"project": "acme", "location": "europe-west4"}'


def test_the_address_follows_from_the_options(admin_client: Client) -> None:
    filled = filled_form(kind="vertex", base_url="", options=EUROPE, api_key=json.dumps(KEY_FILE, indent=2))

    answer = admin_client.post(ADD, filled)

    assert answer.status_code == 302, errors_of(answer)
    row = Upstream.objects.get()
    assert row.base_url == "https://europe-west4-aiplatform.googleapis.com"
    assert row.path_prefix == "/v1beta1"
    assert row.options == {"project": "acme", "location": "europe-west4"}
    assert json.loads(row.get_api_key()) == KEY_FILE


def test_other_options_lead_elsewhere(admin_client: Client) -> None:
    added = admin_client.post(ADD, filled_form(kind="vertex", base_url="", options=EUROPE))
    assert added.status_code == 302, errors_of(added)
    row = Upstream.objects.get()
    moved = filled_form(
        kind="vertex",
        base_url=row.base_url,
        path_prefix=row.path_prefix,
        options='{"project": "acme", "location": "us-east1"}',
    )

    answer = admin_client.post(change_path(row), moved)

    assert answer.status_code == 302, errors_of(answer)
    row.refresh_from_db()
    assert row.base_url == "https://us-east1-aiplatform.googleapis.com"


@pytest.mark.parametrize("options", ['{"location": "a/b"}', '{"region": "eu"}'])
def test_wrong_options_are_told_at_their_field(admin_client: Client, options: str) -> None:
    answer = admin_client.post(ADD, filled_form(kind="vertex", base_url="", options=options))

    assert "options" in errors_of(answer)
    assert not Upstream.objects.exists()
