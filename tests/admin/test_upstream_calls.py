"""The buttons that call upstreams: what came of it is told, whatever the upstream does."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.test import Client

from tests.admin import rows
from tests.fakes.vendor import FakeVendor
from tests.services import free_port
from upstreams_app.models import HealthSample, Upstream, UpstreamModel

LIST = "/admin/upstreams_app/upstream/"


@pytest.fixture
def vendor() -> Iterator[FakeVendor]:
    """A vendor at the wire."""
    with FakeVendor(models=("alpha", "beta-embedding")) as running:
        yield running


@pytest.fixture
def living(vendor: FakeVendor, db: None) -> Upstream:
    """An upstream that answers."""
    return rows.upstream("living", vendor.url)


@pytest.fixture
def dead(db: None) -> Upstream:
    """An upstream whose port nobody listens on."""
    return rows.upstream("dead", f"http://127.0.0.1:{free_port()}")


def _messages(answer: Any) -> str:
    return " ".join(str(message) for message in answer.context["messages"])


def _press(client: Client, path: str) -> str:
    answer = client.post(f"{LIST}{path}/", follow=True)
    assert answer.status_code == 200
    return _messages(answer)


def test_probing_a_living_upstream_tells_its_latency(admin_client: Client, living: Upstream) -> None:
    text = _press(admin_client, f"{living.pk}/probe")

    assert "living answered its probe" in text
    assert HealthSample.objects.get().is_healthy


def test_probing_a_dead_upstream_is_a_message(admin_client: Client, dead: Upstream) -> None:
    text = _press(admin_client, f"{dead.pk}/probe")

    assert "dead failed its probe" in text
    assert rows.SECRET not in text
    assert not HealthSample.objects.get().is_healthy


def test_importing_adds_models_once(admin_client: Client, living: Upstream) -> None:
    first = _press(admin_client, f"{living.pk}/import")
    second = _press(admin_client, f"{living.pk}/import")

    assert "2 models added" in first
    assert "0 models added" in second
    modes = dict(UpstreamModel.objects.values_list("name", "mode"))
    assert modes == {"alpha": "chat", "beta-embedding": "embedding"}


def test_importing_from_a_dead_upstream_is_a_message(admin_client: Client, dead: Upstream) -> None:
    text = _press(admin_client, f"{dead.pk}/import")

    assert "dead: nothing was imported" in text
    assert not UpstreamModel.objects.exists()


def test_the_buttons_of_the_list_ask_every_enabled_upstream(
    admin_client: Client, living: Upstream, dead: Upstream
) -> None:
    Upstream.objects.create(name="resting", kind="demo", is_enabled=False)

    probed = _press(admin_client, "probe")
    imported = _press(admin_client, "import")

    assert "living answered its probe" in probed
    assert "dead failed its probe" in probed
    assert "resting" not in probed + imported
    assert "living: 2 models added" in imported
    assert "dead: nothing was imported" in imported


def test_selected_upstreams_are_asked(admin_client: Client, living: Upstream, dead: Upstream) -> None:
    data = {"action": "probe_selected", "_selected_action": [str(dead.pk)]}

    text = _messages(admin_client.post(LIST, data, follow=True))

    assert "dead failed its probe" in text
    assert "living" not in text


def test_an_upstream_whose_configuration_is_broken_is_a_message(admin_client: Client, db: None) -> None:
    row = rows.upstream("broken")
    Upstream.objects.filter(pk=row.pk).update(api_key_sealed="v1:lost:AAAA")

    assert "broken failed its probe" in _press(admin_client, f"{row.pk}/probe")
    assert "nothing was imported" in _press(admin_client, f"{row.pk}/import")
    assert admin_client.get(f"{LIST}{row.pk}/change/").status_code == 200


def test_without_an_upstream_there_is_nobody_to_ask(admin_client: Client) -> None:
    assert "no enabled upstream" in _press(admin_client, "probe")


@pytest.mark.parametrize("button", ["probe", "import"])
def test_a_link_can_not_press_a_button(button: str, admin_client: Client, living: Upstream) -> None:
    assert admin_client.get(f"{LIST}{living.pk}/{button}/").status_code == 405
    assert admin_client.get(f"{LIST}{button}/").status_code == 405
    assert not HealthSample.objects.exists()


def test_another_site_can_not_press_a_button(admin_client: Client, living: Upstream) -> None:
    strict = Client(enforce_csrf_checks=True)
    strict.cookies = admin_client.cookies

    assert strict.post(f"{LIST}{living.pk}/probe/").status_code == 403
    assert strict.post(f"{LIST}import/").status_code == 403


def test_an_upstream_that_does_not_exist_is_not_found(admin_client: Client) -> None:
    assert admin_client.post(f"{LIST}01234567-89ab-7def-8123-456789abcdef/probe/").status_code == 404
    assert admin_client.post(f"{LIST}no-uuid/probe/").status_code == 404
