"""Maintenance by people: in the admin, through the API, and what calls see of it."""

from __future__ import annotations

from datetime import timedelta

from django.test import Client

from gateway_project.core.clock import utc_now
from gateway_project.core.snapshot import SnapshotStore
from tests.admin import rows
from tests.admin.upstream_forms import LIST, change_path, errors_of, filled_form
from tests.management.caller import Caller
from upstreams_app.models import Route, RouteTarget, Upstream
from upstreams_app.registry import UpstreamsConfig
from upstreams_app.services.maintenance import end_maintenance, start_maintenance


def config(snapshots: SnapshotStore) -> UpstreamsConfig:
    """What calls see."""
    value: UpstreamsConfig = snapshots.current.sections["upstreams"].value
    return value


def test_calls_go_to_the_other_targets_of_a_route(snapshots: SnapshotStore) -> None:
    first, second = rows.upstream("first"), rows.upstream("second")
    route = Route.objects.create(name="fast")
    for upstream in (first, second):
        RouteTarget.objects.create(route=route, model=rows.model(upstream))
    start_maintenance([first.pk], actor="alice")

    models = config(snapshots).models

    assert [target.upstream.name for target in models["fast"].targets] == ["second"]
    assert models["first/chat"].targets == ()
    assert models["first/chat"].lead.upstream.name == "first"

    end_maintenance([first.pk], actor="alice")

    assert len(config(snapshots).models["fast"].targets) == 2


def test_the_action_asks_first(admin_client: Client, snapshots: SnapshotStore) -> None:
    row = rows.upstream()
    rows.model(row)
    snapshots.refresh()
    form = {"action": "start_maintenance", "_selected_action": [str(row.pk)]}

    asked = admin_client.post(LIST, form).content.decode()
    assert "no further calls" in asked
    assert config(snapshots).models["vendor/chat"].targets

    admin_client.post(LIST, {**form, "confirmed": "yes"})
    assert not config(snapshots).models["vendor/chat"].targets
    assert "maintenance" in admin_client.get(LIST).content.decode()

    admin_client.post(LIST, {**form, "action": "end_maintenance"})
    assert config(snapshots).models["vendor/chat"].targets


def test_the_list_is_filtered_by_state(admin_client: Client, snapshots: SnapshotStore) -> None:
    rows.probe(rows.upstream("good"))
    rows.probe(rows.upstream("bad"), is_healthy=False)

    def shown(query: str) -> set[str]:
        answer = admin_client.get(LIST + query)
        return {row.name for row in answer.context["cl"].result_list}

    assert shown("?state=down") == {"bad"}
    assert shown("?state=healthy") == {"good"}
    assert shown("?state=unheard-of") == set()
    assert shown("") == {"good", "bad"}


def test_the_page_of_an_upstream_shows_its_day(admin_client: Client, snapshots: SnapshotStore) -> None:
    row = rows.upstream()
    rows.probe(row)

    page = admin_client.get(f"{LIST}{row.pk}/change/").content.decode()

    assert "vendor: 100.0% of 1 probes answered" in page
    assert "id_maintenance_until" in page


def test_a_maintenance_that_is_over_keeps_nothing_away(snapshots: SnapshotStore) -> None:
    row = rows.upstream()
    rows.model(row)
    over = utc_now() - timedelta(seconds=1)
    Upstream.objects.update(is_in_maintenance=True, maintenance_until=over)
    snapshots.refresh()

    assert config(snapshots).models["vendor/chat"].targets


def test_the_api_starts_and_ends_a_maintenance(admin: Caller) -> None:
    admin.ok("POST", "/upstreams", {"name": "demo", "kind": "demo"})
    until = (utc_now() + timedelta(hours=1)).isoformat()

    shown = admin.ok("PATCH", "/upstreams/demo", {"is_in_maintenance": True, "maintenance_until": until})
    assert (shown["is_in_maintenance"], shown["health"]["state"]) == (True, "maintenance")

    shown = admin.ok("PATCH", "/upstreams/demo", {"is_in_maintenance": False, "maintenance_until": None})
    assert (shown["is_in_maintenance"], shown["maintenance_until"]) == (False, None)


def test_an_end_in_the_past_is_refused_at_its_field(admin: Caller) -> None:
    past = (utc_now() - timedelta(seconds=1)).isoformat()
    resting = {"is_in_maintenance": True, "maintenance_until": past}

    refused = admin.refused("POST", "/upstreams", {"name": "demo", "kind": "demo", **resting})
    assert (refused["status"], refused["param"]) == (400, "maintenance_until")

    admin.ok("POST", "/upstreams", {"name": "demo", "kind": "demo"})
    refused = admin.refused("PATCH", "/upstreams/demo", resting)
    assert (refused["status"], refused["param"]) == (400, "maintenance_until")
    assert not Upstream.objects.get().is_in_maintenance


def test_a_maintenance_that_is_over_stops_no_change_but_its_own(admin: Caller) -> None:
    over = utc_now() - timedelta(seconds=1)
    resting = {"is_in_maintenance": True, "maintenance_until": over.isoformat()}
    admin.ok("POST", "/upstreams", {"name": "demo", "kind": "demo"})
    Upstream.objects.update(is_in_maintenance=True, maintenance_until=over)

    # As somebody sends it who read the whole upstream.
    admin.ok("PATCH", "/upstreams/demo", {**resting, "description": "changed"})
    admin.ok("PATCH", "/upstreams/demo", {"is_in_maintenance": False})

    refused = admin.refused("PATCH", "/upstreams/demo", {"is_in_maintenance": True})
    assert refused["param"] == "maintenance_until"
    admin.ok("PATCH", "/upstreams/demo", {"is_in_maintenance": True, "maintenance_until": None})


def test_the_form_refuses_an_end_in_the_past_too(admin_client: Client, snapshots: SnapshotStore) -> None:
    row = rows.upstream()
    over = utc_now() - timedelta(minutes=1)
    end = {"maintenance_until_0": f"{over:%Y-%m-%d}", "maintenance_until_1": f"{over:%H:%M:%S}"}

    answer = admin_client.post(change_path(row), filled_form(is_in_maintenance="on", **end))

    assert list(errors_of(answer)) == ["maintenance_until"]
    assert "must be in the future" in answer.content.decode()
    assert not Upstream.objects.get().is_in_maintenance
