"""The health page: who may see it and what it says."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.test import Client

from tests.admin import rows
from tests.admin.conftest import charlie, charlies_client, snapshots  # noqa: F401

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


def test_who_may_see_probes_sees_no_parts(charlie: User, charlies_client: Client) -> None:  # noqa: F811
    assert charlies_client.get(PATH).status_code == 403
    rows.permit(charlie, "view_healthsample")
    rows.probe(rows.upstream("good"))

    page = charlies_client.get(PATH).content.decode()

    assert "good" in page
    assert "Readiness of the process" not in page


@pytest.mark.django_db
def test_a_stranger_is_sent_to_the_login(client: Client) -> None:
    assert client.get(PATH).status_code == 302


@pytest.mark.django_db
def test_the_page_is_only_read(admin_client: Client) -> None:
    assert admin_client.post(PATH).status_code == 405
