"""The health page: who may see it and what it says."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.test import Client

from gateway_project.core.clock import utc_now
from tests.admin import rows
from upstreams_app.models import Upstream

PATH = "/admin/health/"


@pytest.mark.django_db
def test_upstreams_and_parts_are_shown_to_administrators(admin_client: Client) -> None:
    rows.probe(rows.upstream("good"))
    rows.probe(rows.upstream("bad"), is_healthy=False, error="the connection was refused")

    page = admin_client.get(PATH).content.decode()

    assert page.index("bad") < page.index("good")
    assert "the connection was refused" in page
    assert "probes answered in the last 24 hours" in page
    assert "Readiness of the process" in page
    assert "The database answers." in page


def test_who_may_see_probes_sees_no_parts(charlie: User, charlies_client: Client) -> None:
    assert charlies_client.get(PATH).status_code == 403
    rows.permit(charlie, "view_healthsample")
    rows.probe(rows.upstream("good"))

    page = charlies_client.get(PATH).content.decode()

    assert "good" in page
    assert "Readiness of the process" not in page


def test_an_upstream_is_a_link_for_those_who_may_see_its_page(charlie: User, charlies_client: Client) -> None:
    row = rows.upstream("good")
    link = f'href="/admin/upstreams_app/upstream/{row.pk}/change/"'
    rows.permit(charlie, "view_healthsample")
    assert link not in charlies_client.get(PATH).content.decode()

    rows.permit(charlie, "view_upstream")

    assert link in charlies_client.get(PATH).content.decode()


@pytest.mark.django_db
def test_the_start_page_says_the_same_in_the_same_order(admin_client: Client) -> None:
    for name in ("good", "flapping", "dead"):
        rows.probe(rows.upstream(name), is_healthy=name == "good", at=utc_now() - timedelta(seconds=1))
    for _ in range(2):
        rows.probe(Upstream.objects.get(name="flapping"))
    rows.upstream("resting")
    Upstream.objects.filter(name="resting").update(is_in_maintenance=True)

    def order(path: str) -> list[tuple[str, str]]:
        found = admin_client.get(path).context["upstreams"]
        return [(one["name"], one["reason"]) for one in (item.get("health", item) for item in found)]

    assert order("/admin/") == order(PATH)
    assert [name for name, _ in order(PATH)] == ["dead", "flapping", "resting", "good"]
    page = admin_client.get("/admin/").content.decode()
    assert "1 of the latest 3 probes failed" in page
    assert "in maintenance" in page


@pytest.mark.django_db
def test_a_stranger_is_sent_to_the_login(client: Client) -> None:
    assert client.get(PATH).status_code == 302


@pytest.mark.django_db
def test_the_page_is_only_read(admin_client: Client) -> None:
    assert admin_client.post(PATH).status_code == 405
