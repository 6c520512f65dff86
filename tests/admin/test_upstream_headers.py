"""An upstream's extra headers in the admin: entered, kept, and never shown again."""

from __future__ import annotations

import html
import json

import pytest
from django.contrib.auth.models import User
from django.test import Client

from gateway_project.core.snapshot import SnapshotStore
from tests.admin import rows
from tests.admin.rows import SECRET, permit
from tests.admin.upstream_forms import ADD, change_path, errors_of, filled_form
from upstreams_app.models import Upstream

HEADERS = {"X-Proxy-Token": SECRET, "X-Team": "red-team"}
SHOWN = {"X-Proxy-Token": f"…{SECRET[-4:]}", "X-Team": "…"}


def _with_headers() -> Upstream:
    row = rows.upstream()
    row.headers = HEADERS
    row.save()
    return row


def test_values_of_headers_are_never_rendered(
    admin_client: Client, charlie: User, charlies_client: Client
) -> None:
    row = _with_headers()
    permit(charlie, "view_upstream")

    for client in (admin_client, charlies_client):
        page = html.unescape(client.get(change_path(row)).content.decode())

        assert all(value not in page for value in HEADERS.values())
        assert all(f'"{name}": "{value}"' in page for name, value in SHOWN.items())


def test_masked_headers_keep_what_is_stored(admin_client: Client, snapshots: SnapshotStore) -> None:
    row = _with_headers()
    form = filled_form(credential_source="stored")

    admin_client.post(change_path(row), form | {"headers": json.dumps(SHOWN)})
    row.refresh_from_db()
    assert row.headers == HEADERS
    admin_client.post(change_path(row), form | {"headers": json.dumps(SHOWN | {"X-Team": "blue"})})
    row.refresh_from_db()
    assert row.headers == HEADERS | {"X-Team": "blue"}


@pytest.mark.parametrize("headers", [{"X-Proxy-Token": "…abcd"}, {"X-Other": "…"}])
def test_a_masked_header_of_nothing_that_is_stored_is_told(
    headers: dict[str, str], admin_client: Client
) -> None:
    row = _with_headers()

    for path in (change_path(row), ADD):
        form = filled_form(name="new", credential_source="stored", api_key="k", headers=json.dumps(headers))
        assert set(errors_of(admin_client.post(path, form))) == {"headers"}


@pytest.mark.parametrize("value", [None, 7, ["a"], {"a": "b"}])
def test_a_value_that_is_no_text_is_told(value: object, admin_client: Client) -> None:
    headers = json.dumps({"X-New": value})

    for path in (change_path(_with_headers()), ADD):
        form = filled_form(name="new", credential_source="stored", api_key="k", headers=headers)
        assert set(errors_of(admin_client.post(path, form))) == {"headers"}


def test_values_of_headers_do_not_follow_the_address_to_another_host(
    admin_client: Client, snapshots: SnapshotStore
) -> None:
    row = _with_headers()
    form = filled_form(credential_source="stored", api_key="k", base_url="https://evil.example")

    for headers in (SHOWN, HEADERS | {"X-Team": "…"}):
        answer = admin_client.post(change_path(row), form | {"headers": json.dumps(headers)})
        assert set(errors_of(answer)) == {"headers"}
    assert admin_client.post(change_path(row), form | {"headers": json.dumps(HEADERS)}).status_code == 302
