"""The admin's pages about health: what they show, what they let whom do, and that they say it as it is."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.auth.models import User
from django.test import Client

from gateway_project.core.clock import utc_now
from gateway_project.core.snapshot import SnapshotStore
from tests.admin import rows
from tests.admin.upstream_forms import LIST, change_path, filled_form
from tests.fakes.vendor import FakeVendor
from upstreams_app.admin.latency_line import HEIGHT, latency_line
from upstreams_app.models import StateChange, Upstream
from upstreams_app.services.health import BLOCK, Block

HEALTH = "/admin/health/"
TESTS = "/admin/test-upstreams/"


@pytest.fixture
def vendor() -> Iterator[FakeVendor]:
    """A vendor at the wire."""
    with FakeVendor(models=("alpha", "beta")) as running:
        yield running


def blocks(*latencies: float | None) -> list[Block]:
    """Quarters of an hour in a row with these mean latencies."""
    start = datetime(2026, 3, 1, tzinfo=UTC)
    return [Block(start + BLOCK * index, "healthy", 1, 0, latency) for index, latency in enumerate(latencies)]


def test_a_line_has_a_gap_where_nothing_answered() -> None:
    line = latency_line(blocks(10, 20, None, 5))

    assert line is not None
    assert line.pieces == [f"0.5,{HEIGHT / 2:.2f} 1.5,1.00", "3,14.50 4,14.50"]
    assert line.label == "Latency of probes: 5.0 to 20 ms, lately 5.0 ms"
    assert latency_line(blocks(None, None)) is None


def test_the_health_page_shows_latency_changes_and_buttons(
    admin_client: Client, snapshots: SnapshotStore
) -> None:
    row = rows.upstream("flapping")
    for is_healthy in (True, False, False):
        rows.probe(row, is_healthy=is_healthy, error="the connection was refused")

    page = admin_client.get(HEALTH).content.decode()

    assert "<polyline" in page
    assert "Latency of probes: 12 to 12 ms, lately 12 ms" in page
    assert "after degraded: the connection was refused" in page
    assert f"{LIST}{row.pk}/probe/" in page
    assert "Start maintenance…" in page
    assert "style=" not in page.partition('<div class="gw-health">')[2].partition("gw-parts")[0]


def test_the_buttons_of_the_health_page_work(
    admin_client: Client, snapshots: SnapshotStore, vendor: FakeVendor
) -> None:
    row = rows.upstream("lab", vendor.url)
    snapshots.refresh()

    answer = admin_client.post(f"{LIST}{row.pk}/probe/", {"back": "health"}, follow=True)
    assert answer.redirect_chain == [(HEALTH, 302)]
    assert "lab answered its probe" in answer.content.decode()

    form = {"action": "start_maintenance", "_selected_action": [str(row.pk)]}
    assert "no further calls" in admin_client.post(LIST, form).content.decode()
    admin_client.post(LIST, {**form, "confirmed": "yes"})
    assert "End maintenance" in admin_client.get(HEALTH).content.decode()
    assert "End maintenance" in admin_client.get(change_path(row)).content.decode()
    told = StateChange.objects.order_by("pk").values_list("previous", "state", "reason")
    assert list(told)[-1] == ("healthy", "maintenance", "in maintenance")


def test_who_may_only_look_finds_no_buttons(charlie: User, charlies_client: Client) -> None:
    rows.probe(rows.upstream("good"))
    rows.permit(charlie, "view_healthsample")
    rows.permit(charlie, "view_upstream")

    page = charlies_client.get(HEALTH).content.decode()

    assert "good" in page
    assert "Probe now" not in page
    assert "maintenance…" not in page
    assert charlies_client.get(TESTS).status_code == 403
    row = Upstream.objects.get()
    assert charlies_client.post(f"{LIST}{row.pk}/trial/").status_code == 403


def test_the_page_of_one_that_callers_pay_for_says_that_it_is_not_probed(
    admin_client: Client, snapshots: SnapshotStore
) -> None:
    row = rows.upstream("theirs")
    Upstream.objects.update(credential_source="client")
    admin_client.post(f"{LIST}{row.pk}/probe/")

    page = admin_client.get(change_path(row)).content.decode()

    assert "Not probed: its callers bring their own credential" in page
    assert "Probe now" not in page
    assert "Unknown" in page


def test_a_trial_is_told_as_it_is(admin_client: Client, vendor: FakeVendor, snapshots: SnapshotStore) -> None:
    row = rows.upstream("lab", vendor.url)
    rows.model(row, "alpha")
    rows.model(row, "retired")

    told = admin_client.post(f"{LIST}{row.pk}/trial/").json()

    assert (told["state"], told["error"]) == ("ok", "")
    assert [(one["model"], one["state"]) for one in told["models"]] == [
        ("lab/alpha", "listed"),
        ("lab/retired", "missing"),
    ]
    assert admin_client.get(f"{LIST}{row.pk}/trial/").status_code == 405
    assert admin_client.post(f"{LIST}no-uuid/trial/").status_code == 404


def test_the_page_of_tests_has_a_row_for_each_enabled_upstream(admin_client: Client) -> None:
    rows.upstream("one")
    rows.upstream("off")
    Upstream.objects.filter(name="off").update(is_enabled=False)

    page = admin_client.get(TESTS).content.decode()

    assert 'aria-label="one"' in page
    assert 'aria-label="off"' not in page
    assert admin_client.post(TESTS).status_code == 405


def test_probes_are_set_in_the_form(admin_client: Client, snapshots: SnapshotStore) -> None:
    row = rows.upstream("vendor", "https://vendor.example")
    form = filled_form(probe_interval_s="600")
    del form["is_probed"]

    answer = admin_client.post(change_path(row), form)

    assert answer.status_code == 302, answer.context["adminform"].form.errors
    row.refresh_from_db()
    assert (row.is_probed, row.probe_interval_s) == (False, 600)
    refused = admin_client.post(change_path(row), filled_form(probe_interval_s="4"))
    assert "probe_interval_s" in refused.context["adminform"].form.errors


@pytest.mark.django_db
def test_the_list_of_changes_is_only_read(admin_client: Client) -> None:
    row = rows.upstream("lab")
    now = utc_now()
    for age in range(3):
        at = now - timedelta(minutes=age)
        StateChange.objects.create(upstream=row, at=at, previous="down", state="healthy")

    path = "/admin/upstreams_app/statechange/"

    assert admin_client.get(path).content.decode().count("/statechange/") >= 3
    assert admin_client.get(f"{path}add/").status_code == 403
    assert "State changes" in admin_client.get("/admin/").content.decode()
