"""Upstreams, models and routes: their forms, their credentials, their state."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from gateway_project.core.clock import utc_now
from gateway_project.core.snapshot import SnapshotStore
from tests.admin import rows
from tests.admin.rows import SECRET, permit
from tests.admin.upstream_forms import ADD, LIST, change_path, errors_of, filled_form
from upstreams_app.models import HealthSample, Route, RouteTarget, Upstream, UpstreamModel

ROUTES = "/admin/upstreams_app/route/"


def test_a_new_upstream_acts_at_once(admin_client: Client, snapshots: SnapshotStore) -> None:
    answer = admin_client.post(
        ADD, filled_form(api_key=SECRET, extra_endpoints="https://b.example\nhttps://c.example")
    )

    config = snapshots.current.sections["upstreams"].value.upstreams["vendor"]
    assert answer.status_code == 302
    assert config.credential == SECRET
    assert config.endpoints == ("https://vendor.example/v1", "https://b.example/v1", "https://c.example/v1")


def test_a_kind_brings_its_usual_address(admin_client: Client, db: None) -> None:
    admin_client.post(ADD, filled_form(kind="ollama", base_url=""))

    assert Upstream.objects.get().base_url == "http://127.0.0.1:11434"


def test_a_stored_credential_is_never_rendered(admin_client: Client) -> None:
    row = rows.upstream()

    for path in (LIST, change_path(row), f"{LIST}{row.pk}/delete/", f"{LIST}{row.pk}/history/", "/admin/"):
        page = admin_client.get(path).content.decode()

        assert SECRET not in page, path
        assert row.api_key_sealed not in page, path
    assert f"…{SECRET[-4:]}" in admin_client.get(change_path(row)).content.decode()


def test_a_rejected_form_does_not_give_the_typed_credential_back(admin_client: Client) -> None:
    answer = admin_client.post(ADD, filled_form(name="Not A Name", api_key=SECRET))

    assert "name" in errors_of(answer)
    assert SECRET not in answer.content.decode()


def test_an_empty_credential_keeps_what_is_stored(admin_client: Client, snapshots: SnapshotStore) -> None:
    row = rows.upstream()

    answer = admin_client.post(
        change_path(row), filled_form(credential_source="stored", description="changed")
    )

    row.refresh_from_db()
    assert answer.status_code == 302
    assert (row.description, row.get_api_key()) == ("changed", SECRET)


def test_a_new_credential_replaces_the_old_one(admin_client: Client, snapshots: SnapshotStore) -> None:
    row = rows.upstream()

    admin_client.post(change_path(row), filled_form(credential_source="stored", api_key="another-key"))

    assert snapshots.current.sections["upstreams"].value.upstreams["vendor"].credential == "another-key"


def test_a_credential_that_is_no_longer_used_is_dropped(admin_client: Client, db: None) -> None:
    row = rows.upstream()

    admin_client.post(change_path(row), filled_form(credential_source="client"))

    row.refresh_from_db()
    assert (row.credential_source, row.api_key_sealed) == ("client", "")


@pytest.mark.parametrize(
    "change",
    [
        {"base_url": "https://evil.example"},
        # The same host without TLS: anybody on the way could read the key.
        {"base_url": "http://vendor.example"},
        {"extra_endpoints": "https://evil.example"},
    ],
)
def test_a_stored_credential_does_not_follow_the_address_to_another_host(
    change: dict[str, str], admin_client: Client
) -> None:
    row = rows.upstream()

    answer = admin_client.post(change_path(row), filled_form(credential_source="stored", **change))

    assert set(errors_of(answer)) == {"api_key"}
    row.refresh_from_db()
    assert (row.base_url, row.extra_endpoints) == ("https://vendor.example", [])


@pytest.mark.parametrize("url", ["http://[", "https://[::1", "http://[not-an-address]"])
@pytest.mark.parametrize("field", ["base_url", "extra_endpoints"])
def test_an_address_that_can_not_be_read_is_told_at_its_field(
    field: str, url: str, admin_client: Client
) -> None:
    row = rows.upstream()
    stored = {"credential_source": "stored", field: url}

    changed = admin_client.post(change_path(row), filled_form(**stored))
    added = admin_client.post(ADD, filled_form(name="new", api_key=SECRET, **stored))

    assert set(errors_of(changed)) == set(errors_of(added)) == {field}


@pytest.mark.parametrize(
    ("field", "changes"),
    [
        ("name", {"name": "With Spaces"}),
        ("name", {"name": "taken-by-a-route"}),
        ("name", {"name": "taken"}),
        ("base_url", {"base_url": "ftp://vendor.example"}),
        ("base_url", {"base_url": "http://169.254.169.254"}),
        ("base_url", {"base_url": ""}),
        ("path_prefix", {"path_prefix": "v1"}),
        ("extra_endpoints", {"extra_endpoints": "vendor.example"}),
        ("headers", {"headers": '{"Authorization": "x"}'}),
        ("headers", {"headers": "[]"}),
        ("api_key", {"credential_source": "stored"}),
        ("api_key", {"api_key": "kéy"}),
        ("api_key", {"api_key": "key", "credential_source": "client"}),
        ("credential_reference", {"credential_source": "reference"}),
        (
            "credential_reference",
            {"credential_source": "reference", "credential_reference": "env:SURELY_NOT_SET_API_KEY"},
        ),
        ("credential_reference", {"credential_source": "reference", "credential_reference": "env:PATH"}),
        ("credential_reference", {"credential_source": "reference", "credential_reference": "vault:x"}),
        ("connect_timeout_s", {"connect_timeout_s": "0"}),
        ("connect_timeout_s", {"connect_timeout_s": "nan"}),
        ("kind", {"kind": "unknown"}),
    ],
)
def test_what_is_wrong_is_told_at_its_field(
    field: str, changes: dict[str, Any], admin_client: Client
) -> None:
    Route.objects.create(name="taken-by-a-route")
    Upstream.objects.create(name="taken", kind="demo")

    answer = admin_client.post(ADD, filled_form(**changes))

    assert answer.status_code == 200
    assert set(errors_of(answer)) == {field}
    assert Upstream.objects.count() == 1


def test_a_header_that_holds_a_credential_is_named(admin_client: Client) -> None:
    answer = admin_client.post(ADD, filled_form(headers='{"Authorization": "Bearer x"}'))

    assert "Header Authorization can't be set here" in str(errors_of(answer).as_data()["headers"])


def test_an_endpoint_that_is_none_is_told_what_it_should_be(admin_client: Client) -> None:
    answer = admin_client.post(ADD, filled_form(extra_endpoints="vendor.example"))

    assert "must be an http:// or https:// URL" in str(errors_of(answer).as_data()["extra_endpoints"])


def test_a_route_can_not_take_the_name_of_an_upstream(admin_client: Client) -> None:
    rows.upstream("vendor")

    answer = admin_client.post(f"{ROUTES}add/", {"name": "vendor", "is_enabled": "on", **_targets()})

    assert "name" in errors_of(answer)


def _targets(*models: UpstreamModel) -> dict[str, Any]:
    data: dict[str, Any] = {"targets-TOTAL_FORMS": len(models), "targets-INITIAL_FORMS": 0}
    data |= {"strategy": "weighted", "affinity": "none", "max_attempts": 3, "hedge_percent": 5}
    for number, model in enumerate(models):
        data |= {
            f"targets-{number}-model": model.pk,
            f"targets-{number}-weight": 3 + number,
            f"targets-{number}-priority": 1,
            f"targets-{number}-is_enabled": "on",
        }
    return data


def test_a_route_with_targets_acts_at_once(admin_client: Client, snapshots: SnapshotStore) -> None:
    vendor = rows.upstream()
    models = [rows.model(vendor, "a"), rows.model(vendor, "b")]

    admin_client.post(f"{ROUTES}add/", {"name": "fast", "is_enabled": "on", **_targets(*models)})

    entry = snapshots.current.sections["upstreams"].value.models["fast"]
    assert {(target.model, target.weight) for target in entry.targets} == {("a", 3), ("b", 4)}


def test_the_same_target_twice_is_told_in_the_form(admin_client: Client) -> None:
    chat = rows.model(rows.upstream())

    answer = admin_client.post(f"{ROUTES}add/", {"name": "fast", "is_enabled": "on", **_targets(chat, chat)})

    assert answer.status_code == 200
    assert "duplicate" in answer.content.decode()
    assert not RouteTarget.objects.exists()


def test_models_are_found_by_their_public_id(admin_client: Client) -> None:
    vendor = rows.upstream()
    rows.model(vendor, "meta/llama")
    rows.model(vendor, "other")
    query = {"app_label": "upstreams_app", "model_name": "routetarget", "field_name": "model"}

    found = admin_client.get("/admin/autocomplete/", {**query, "term": "vendor/meta"}).json()

    assert [item["text"] for item in found["results"]] == ["vendor/meta/llama"]


def test_disabling_models_in_the_list_acts_at_once(admin_client: Client, snapshots: SnapshotStore) -> None:
    chat = rows.model(rows.upstream())
    snapshots.refresh()
    assert "vendor/chat" in snapshots.current.sections["upstreams"].value.models

    admin_client.post(
        "/admin/upstreams_app/upstreammodel/", {"action": "disable", "_selected_action": [str(chat.pk)]}
    )

    assert "vendor/chat" not in snapshots.current.sections["upstreams"].value.models


def test_the_list_shows_the_newest_probe(admin_client: Client) -> None:
    vendor = rows.upstream()
    rows.probe(vendor, is_healthy=True, at=utc_now() - timedelta(minutes=1))
    rows.probe(vendor, is_healthy=False, error="refused")

    table = admin_client.get(LIST).content.decode().partition('id="result_list"')[2]

    assert "down" in table
    assert "healthy" not in table.partition("</table>")[0]


def test_a_row_that_can_not_be_used_is_shown_and_breaks_nothing(
    admin_client: Client, snapshots: SnapshotStore
) -> None:
    rows.upstream("good")
    Upstream.objects.create(
        name="bad",
        kind="vllm",
        base_url="http://127.0.0.1:9",
        credential_source="reference",
        credential_reference="env:SURELY_NOT_SET_API_KEY",
    )
    snapshots.refresh()

    for path in ("/admin/", LIST):
        page = admin_client.get(path).content.decode()

        assert "upstream bad: the environment variable SURELY_NOT_SET_API_KEY is not set" in page, path
    assert "left out" in admin_client.get(LIST).content.decode()


def test_a_failed_reload_is_shown(admin_client: Client, snapshots: SnapshotStore) -> None:
    snapshots.failure = "OperationalError: no such table"

    page = admin_client.get("/admin/").content.decode()

    assert "The configuration could not be loaded" in page
    assert "no such table" in page


def test_deleting_an_upstream_counts_what_goes_and_takes_it(
    admin_client: Client, snapshots: SnapshotStore
) -> None:
    vendor = rows.upstream()
    for number in range(30):
        rows.model(vendor, f"model-{number}")
    rows.probe(vendor)

    asked = admin_client.get(f"{LIST}{vendor.pk}/delete/").content.decode()
    admin_client.post(f"{LIST}{vendor.pk}/delete/", {"post": "yes"})

    assert "Models: 30" in asked
    assert "model-7" not in asked
    assert not Upstream.objects.exists()
    assert not UpstreamModel.objects.exists()
    assert not HealthSample.objects.exists()
    assert not snapshots.current.sections["upstreams"].value.upstreams


def test_a_row_of_a_file_can_only_be_looked_at(admin_client: Client) -> None:
    row = rows.upstream()
    Upstream.objects.update(managed_by="file:gateway.yaml")

    assert admin_client.get(change_path(row)).status_code == 200
    assert admin_client.post(change_path(row), filled_form(description="mine")).status_code == 403
    assert admin_client.post(f"{LIST}{row.pk}/delete/", {"post": "yes"}).status_code == 403


def test_who_may_view_upstreams_sees_no_buttons(charlie: User, charlies_client: Client) -> None:
    row = rows.upstream()
    permit(charlie, "view_upstream")

    page = charlies_client.get(change_path(row)).content.decode()

    assert "Probe now" not in page
    for button in ("probe", "import"):
        assert charlies_client.post(f"{LIST}{row.pk}/{button}/").status_code == 403
        assert charlies_client.post(f"{LIST}{button}/").status_code == 403
