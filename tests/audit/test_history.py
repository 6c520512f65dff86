"""The history of a row in the admin, and the way back to an older version."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from gateway_project.core.errors import GatewayError
from security_app.models import ApiKey, AuditEvent, ConfigModel, TokenIssuer
from security_app.services.keys import create_key
from security_app.services.restoring import restore, version_of
from tests.admin.rows import permit
from tests.usage.entries import make_price
from upstreams_app.models import Route, Upstream, UpstreamModel
from usage_app.models import Price

pytestmark = pytest.mark.django_db


def make_route(**values: Any) -> Route:
    return Route.objects.create(**{"name": "fast", "description": "first", **values})


def event_of(row: ConfigModel, action: str = "created") -> AuditEvent:
    found = AuditEvent.objects.filter(object_id=row.pk.hex, action=action).order_by("-seq").first()
    assert found is not None
    return found


def back_to(event: AuditEvent, model: type[ConfigModel], side: str = "") -> ConfigModel:
    version = version_of(event, side)
    assert version is not None
    return restore(model, version)


def test_an_older_version_is_written_back_as_a_new_change() -> None:
    row = make_route()
    row.description = "second"
    row.save()

    back_to(event_of(row), Route)

    row.refresh_from_db()
    assert row.description == "first"
    last = list(AuditEvent.objects.order_by("seq"))[-2:]
    assert [one.action for one in last] == ["updated", "restored"]
    assert json.loads(last[1].detail) == {"seq": event_of(row).seq, "side": "after"}


def test_what_was_before_an_event_can_be_restored_too() -> None:
    row = make_route()
    row.description = "second"
    row.save()

    back_to(event_of(row, "updated"), Route, "before")

    row.refresh_from_db()
    assert row.description == "first"


def test_values_of_all_kinds_come_back_as_they_were() -> None:
    price = make_price()
    image = {name: getattr(price, name) for name in ("model", "input", "valid_from", "tiers")}
    key, event = price.pk, event_of(price)
    price.delete()

    back_to(event, Price)

    again = Price.objects.get(pk=key)
    assert {name: getattr(again, name) for name in image} == image


def test_a_deleted_row_is_made_again_with_its_id() -> None:
    row = make_route()
    key = row.pk
    row.delete()
    event = AuditEvent.objects.get(action="deleted")

    back_to(event, Route)

    assert Route.objects.get(pk=key).description == "first"


def test_what_is_refused_says_why_and_changes_nothing() -> None:
    row = make_route()
    made = event_of(row)
    with pytest.raises(GatewayError, match="Nothing differs"):
        back_to(made, Route)

    row.delete()
    make_route()
    with pytest.raises(GatewayError, match="already exists"):
        back_to(made, Route)

    upstream = Upstream.objects.create(name="acme", kind="openai", base_url="https://acme.example")
    model = UpstreamModel.objects.create(upstream=upstream, name="small")
    event = event_of(model)
    upstream.delete()
    with pytest.raises(GatewayError, match="upstream"):
        back_to(event, UpstreamModel)


def test_a_key_that_was_deleted_stays_deleted() -> None:
    key = create_key(actor="test", name="mine").row
    made = event_of(key)
    key.delete()

    with pytest.raises(GatewayError, match="stays deleted"):
        back_to(made, ApiKey)


def test_a_keys_secret_stays_as_it_is() -> None:
    key = create_key(actor="test", name="mine").row
    made = event_of(key)
    key.name, key.hint, key.digest = "yours", "other", b"2" * 32
    key.save()

    back_to(made, ApiKey)

    again = ApiKey.objects.get(pk=key.pk)
    assert (again.name, again.hint, bytes(again.digest)) == ("mine", "other", b"2" * 32)


def test_no_secret_can_be_sent_to_where_an_upstream_was_before() -> None:
    row = Upstream.objects.create(name="acme", kind="openai", base_url="https://evil.example")
    made = event_of(row)
    row.base_url = "https://acme.example"
    row.set_api_key("sk-very-secret-0001")
    row.save()

    with pytest.raises(GatewayError, match="another address"):
        back_to(made, Upstream)

    row.refresh_from_db()
    assert row.base_url == "https://acme.example"
    row.description = "ours"
    row.save()
    back_to(event_of(row, "updated"), Upstream, "before")
    row.refresh_from_db()
    assert (row.description, row.get_api_key()) == ("", "sk-very-secret-0001")


def test_the_history_page_lists_events_and_shows_what_changed(admin_client: Client) -> None:
    row = make_route()
    row.description = "second"
    row.save()
    path = f"/admin/upstreams_app/route/{row.pk}/history/"

    listed = admin_client.get(path).content.decode()
    shown = admin_client.get(f"{path}?seq={event_of(row, 'updated').seq}").content.decode()
    compared = admin_client.get(
        f"{path}?seq={event_of(row).seq}&with={event_of(row, 'updated').seq}"
    ).content.decode()

    assert f"Event {event_of(row).seq}" in listed
    assert "-first" in shown
    assert "+second" in shown
    assert "-second" in compared
    assert "Restore this version" in shown
    assert admin_client.get(f"{path}?seq=99999").status_code == 404
    assert admin_client.get("/admin/upstreams_app/route/nonsense/history/").status_code == 404


def test_a_restore_is_asked_for_first(admin_client: Client) -> None:
    row = make_route()
    row.description = "second"
    row.save()
    path = f"/admin/upstreams_app/route/{row.pk}/history/{event_of(row).seq}/restore/"

    question = admin_client.post(path)
    row.refresh_from_db()
    assert "Restore?" in question.content.decode()
    assert row.description == "second"

    admin_client.post(path, {"confirmed": "yes"})
    row.refresh_from_db()
    assert row.description == "first"
    assert event_of(row, "restored").actor == "admin"
    assert admin_client.get(path).status_code == 302


def test_a_deleted_row_is_made_again_from_its_event(admin_client: Client) -> None:
    row = make_route()
    row.delete()
    event = AuditEvent.objects.get(action="deleted")
    page = admin_client.get(f"/admin/security_app/auditevent/{event.seq}/change/").content.decode()
    path = f"/admin/upstreams_app/route/{event.object_id}/history/{event.seq}/restore/"
    assert path in page

    admin_client.post(path, {"confirmed": "yes"})

    assert Route.objects.get().description == "first"


def test_who_may_only_look_can_not_restore(charlies_client: Client, charlie: User) -> None:
    row = make_route()
    row.description = "second"
    row.save()
    path = f"/admin/upstreams_app/route/{row.pk}/history/"
    assert charlies_client.get(path).status_code == 403

    permit(charlie, "view_route")
    shown = charlies_client.get(f"{path}?seq={event_of(row).seq}")

    assert shown.status_code == 200
    assert "Restore this version" not in shown.content.decode()
    assert (
        charlies_client.post(f"{path}{event_of(row).seq}/restore/", {"confirmed": "yes"}).status_code == 403
    )
    row.refresh_from_db()
    assert row.description == "second"


def test_an_issuers_older_address_comes_without_what_proved_it() -> None:
    row = TokenIssuer.objects.create(name="chat", jwks_url="https://id.example.org/keys")
    first = event_of(row)
    row.jwks_url, row.secret_sealed, row.audience = "", "sealed", "gateway"
    row.save()

    with pytest.raises(GatewayError, match="another proof"):
        back_to(first, TokenIssuer)

    assert TokenIssuer.objects.get().audience == "gateway"
