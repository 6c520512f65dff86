"""Prices in the admin: which one holds, what the catalogue would change, and what has no price."""

from __future__ import annotations

import json
from datetime import timedelta
from decimal import Decimal

import pytest
from django.contrib.auth.models import Group, User
from django.test import Client

from gateway_project.core.clock import utc_now
from security_app.models import AuditEvent
from tests.admin.rows import model, upstream
from tests.usage.entries import make_entry, make_price, store
from upstreams_app.models import Upstream
from usage_app.models import Price, PriceChange
from usage_app.services.rollups import roll_up

pytestmark = pytest.mark.django_db
LIST = "/admin/usage_app/pricechange/"


def change(name: str = "acme/small", **fields: object) -> PriceChange:
    """A change to decide."""
    values = {"kind": "changed", "before": {"input": "2.000000000"}, "rates": {"input": "2.500000000"}}
    more = {"listed_as": "openai small", "catalogue": "test", "found_at": utc_now()}
    row: PriceChange = PriceChange.objects.create(
        model=name, largest_change="25.0", **{**values, **more, **fields}
    )
    return row


def act(client: Client, action: str, *rows: PriceChange, confirmed: bool = False) -> str:
    fields = {"action": action, "_selected_action": [str(row.pk) for row in rows]}
    more = {"confirmed": "yes"} if confirmed else {}
    page = client.post(LIST, {**fields, **more}, follow=True)
    assert page.status_code == 200
    return page.content.decode()


def test_changes_are_shown_with_what_they_change_and_whether_an_override_holds(admin_client: Client) -> None:
    change()
    make_price(model="acme/own")
    change("acme/own", kind="new", before={})

    page = admin_client.get(LIST).content.decode()

    assert "input 2 → 2.5" in page
    assert "input – → 2.5" in page
    assert "+25.0 %" in page
    assert page.count("holds anyway") == 1
    row = PriceChange.objects.get(model="acme/small")
    assert "input 2 → 2.5" in admin_client.get(f"{LIST}{row.pk}/change/").content.decode()


def test_nothing_is_approved_without_the_question(admin_client: Client) -> None:
    first, second = change(), change("acme/big")

    asked = act(admin_client, "approve_selected", first)

    assert "Calls that begin from now on cost what the catalogue says" in asked
    assert not Price.objects.exists()
    assert "Approved 1 changes." in act(admin_client, "approve_selected", first, confirmed=True)
    price = Price.objects.get()
    assert (price.model, price.input, price.source) == ("acme/small", Decimal("2.5"), "catalogue")
    event = AuditEvent.objects.filter(object_type="usage_app.price").latest("seq")
    assert (event.action, event.actor) == ("created", "admin")
    assert "Dismissed 1 changes" in act(admin_client, "dismiss_selected", second)
    left = AuditEvent.objects.latest("seq")
    assert (left.action, left.object_id, left.actor) == ("prices.dismissed", "acme/big", "admin")
    assert json.loads(left.detail) == {"changes": 1, "models": ["acme/big"]}
    assert Price.objects.count() == 1


def test_a_price_that_has_begun_stays_and_a_new_one_begins_with_its_rates(admin_client: Client) -> None:
    begun = make_price(
        model="acme/own", input=Decimal("2.5"), tiers=[{"above_input_tokens": 9, "input": "5"}]
    )
    later = make_price(model="acme/own", valid_from=utc_now() + timedelta(days=1))
    pages = {row.pk: f"/admin/usage_app/price/{row.pk}/" for row in (begun, later)}

    shown = admin_client.get(f"{pages[begun.pk]}change/").content.decode()
    refused = [
        admin_client.post(f"{pages[begun.pk]}{what}/", {"post": "yes"}) for what in ("change", "delete")
    ]
    url = f"/admin/usage_app/price/add/?like={begun.pk.hex}"
    new = admin_client.get(url).content.decode()

    assert url.replace("&", "&amp;") in shown
    assert [answer.status_code for answer in refused] == [403, 403]
    assert 'value="acme/own"' in new
    assert 'value="2.5' in new
    assert "above_input_tokens" in new
    assert "like=" not in admin_client.get(f"{pages[later.pk]}change/").content.decode()
    assert admin_client.post(f"{pages[later.pk]}delete/", {"post": "yes"}).status_code == 302


def test_all_of_it_is_approved_after_one_question(admin_client: Client) -> None:
    first, second = change(), change("acme/big")

    asked = admin_client.post(f"{LIST}approve-all/").content.decode()
    later = change("acme/later")
    chosen = {"_selected_action": [str(first.pk), str(second.pk)], "confirmed": "yes"}
    admin_client.post(f"{LIST}approve-all/", chosen)

    assert str(first.pk) in asked
    assert set(Price.objects.values_list("model", flat=True)) == {"acme/small", "acme/big"}
    later.refresh_from_db()
    assert later.state == "open"
    assert admin_client.get(f"{LIST}approve-all/").status_code == 405


def test_a_comparison_says_what_it_found(admin_client: Client) -> None:
    row = Upstream.objects.create(name="acme", kind="openai", base_url="https://api.openai.com")
    model(row, "gpt-4o")

    page = admin_client.post(f"{LIST}refresh/", follow=True).content.decode()

    assert "Compared: 1 new, 0 changed, 0 removed." in page
    assert "acme/gpt-4o" in page
    assert admin_client.get(f"{LIST}refresh/").status_code == 405


def test_who_may_only_look_decides_nothing(client: Client) -> None:
    user = User.objects.create_user("ann", is_staff=True)
    user.groups.add(Group.objects.get(name="auditor"))
    client.force_login(user)
    row = change()

    page = client.get(LIST).content.decode()

    assert "acme/small" in page
    assert "Compare with" not in page
    assert client.post(f"{LIST}refresh/").status_code == 403
    assert client.post(f"{LIST}approve-all/", {"confirmed": "yes"}).status_code == 403
    act(client, "approve_selected", row, confirmed=True)
    assert not Price.objects.exists()
    assert "Add a price" not in client.get("/admin/prices/unpriced/").content.decode()


def test_models_without_a_price_lead_to_a_form_that_names_them(admin_client: Client) -> None:
    model(upstream("vendor"), "chat")
    store(make_entry(upstream_model="new", cost_nano=None, state="unpriced"))
    while roll_up():
        pass

    page = admin_client.get("/admin/prices/unpriced/").content.decode()

    assert page.index("acme/new") < page.index("vendor/chat")
    assert "/admin/usage_app/price/add/?model=acme%2Fnew" in page
    form = admin_client.get("/admin/usage_app/price/add/?model=acme%2Fnew").content.decode()
    assert 'value="acme/new"' in form
    assert "/admin/prices/unpriced/" in admin_client.get("/admin/usage_app/price/").content.decode()


def test_the_list_says_which_price_holds(admin_client: Client) -> None:
    make_price(source=Price.Source.CATALOGUE)
    make_price(valid_from=utc_now())

    page = admin_client.get("/admin/usage_app/price/")

    states = {row.source: row.has_later for row in page.context["cl"].result_list}
    assert states == {"catalogue": False, "override": False}
    assert "overridden" in page.content.decode()
