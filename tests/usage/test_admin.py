"""Usage in the admin: the ledger can be looked at and not touched, prices can be set."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import path, reverse

from gateway_project.admin_pages import admin_urls
from gateway_project.core.ids import public_id
from security_app.models import Team
from tests.usage.entries import ALICE, BOB, id_at, make_entry, make_price, store
from usage_app.models import KeyUse, Price, SpendCounter, UsageRecord
from usage_app.services.rollups import roll_up

pytestmark = [pytest.mark.django_db, pytest.mark.urls(__name__)]

urlpatterns = [path("admin/", admin_urls())]


@pytest.fixture
def admin(client: Client) -> Client:
    """A signed-in administrator."""
    client.force_login(User.objects.create_superuser("root", password="x"))
    return client


def listed(admin: Client, **query: str | int) -> list[Any]:
    response = admin.get(reverse("admin:usage_app_usagerecord_changelist"), query)
    assert response.status_code == 200
    return [record.id for record in response.context["cl"].result_list]


def test_the_ledger_is_listed_without_counting_it(admin: Client) -> None:
    store(*[make_entry() for _ in range(60)])

    with CaptureQueriesContext(connection) as queries:
        assert len(listed(admin)) == 50

    counting = [
        query["sql"] for query in queries if "COUNT(" in query["sql"] and "usagerecord" in query["sql"]
    ]
    assert counting == []
    assert len(listed(admin, p=2)) == 10


def test_the_filters_and_the_search_find_their_rows(admin: Client) -> None:
    team = Team.objects.create(name="red")
    who = {"team_id": team.pk, "user_id": "ann", "end_user": "zoë", "agent": "helper"}
    other = make_entry(key_id=BOB, model="acme/big", status=503, state="aborted", **who)
    old = make_entry(id=id_at(datetime(2025, 1, 1, tzinfo=UTC)))
    store(make_entry(), other, old)

    assert listed(admin, outcome="server") == [other.id]
    assert listed(admin, state__exact="aborted") == [other.id]
    assert listed(admin, model="acme/big") == [other.id]
    assert len(listed(admin, period="hour")) == 2
    assert len(listed(admin, period="last_month")) == 0
    assert listed(admin, q=public_id("req", other.id)) == [other.id]
    assert listed(admin, q=public_id("key", BOB)) == [other.id]
    assert listed(admin, q="acme/big") == [other.id]
    roll_up()
    for query in (
        {"team": team.pk.hex}, {"agent": "helper"}, {"q": public_id("team", team.pk)},
        {"q": "user:ann"}, {"q": "end_user:zoë"}, {"q": "agent:helper"},
    ):  # fmt: skip
        assert listed(admin, **query) == [other.id]
    assert listed(admin, q="user:an") == []
    assert listed(admin, q="acme") == []


@pytest.mark.parametrize("model", ["usagerecord", "spendcounter", "keyuse"])
def test_what_the_gateway_writes_can_only_be_looked_at(admin: Client, model: str) -> None:
    entry = make_entry()
    store(entry)
    keys = {
        "usagerecord": entry.id,
        "spendcounter": SpendCounter.objects.values_list("id", flat=True)[0],
        "keyuse": ALICE,
    }
    name = f"admin:usage_app_{model}"

    assert admin.get(reverse(f"{name}_changelist")).status_code == 200
    assert admin.get(reverse(f"{name}_change", args=[keys[model]])).status_code == 200
    assert admin.post(reverse(f"{name}_change", args=[keys[model]]), {"status": 1}).status_code == 403
    assert admin.get(reverse(f"{name}_add")).status_code == 403
    assert admin.post(reverse(f"{name}_delete", args=[keys[model]]), {"post": "yes"}).status_code == 403
    assert (UsageRecord.objects.count(), KeyUse.objects.count()) == (1, 1)


def test_a_key_is_found_by_its_public_id(admin: Client) -> None:
    store(make_entry(), make_entry(key_id=BOB))

    response = admin.get(reverse("admin:usage_app_keyuse_changelist"), {"q": public_id("key", BOB)})

    assert [use.key_id for use in response.context["cl"].result_list] == [BOB]


def test_a_price_that_is_added_is_an_override(admin: Client) -> None:
    fields = {
        "model": "acme/small",
        "valid_from_0": "2026-01-01",
        "valid_from_1": "00:00:00",
        "input": "2.5",
        "output": "10",
        "tiers": "[]",
    }

    assert admin.get(reverse("admin:usage_app_price_add")).status_code == 200
    response = admin.post(reverse("admin:usage_app_price_add"), fields)

    assert response.status_code == 302, response.context["adminform"].errors
    price = Price.objects.get()
    assert (price.source, price.input) == (Price.Source.OVERRIDE, Decimal("2.5"))


@pytest.mark.parametrize(
    ("tiers", "message"),
    [
        ([{"input": "3"}], "Each tier needs above_input_tokens"),
        ([{"above_input_tokens": 1, "input": 3}], "is not a rate given as decimal text"),
        ([{"above_input_tokens": 1, "input": "dear"}], "input: Enter an amount in dollars"),
        ([{}] * 11, "at most 10 tiers"),
    ],
)
def test_a_wrong_tier_is_refused_with_the_field_named(admin: Client, tiers: object, message: str) -> None:
    fields = {
        "model": "m",
        "valid_from_0": "2026-01-01",
        "valid_from_1": "00:00",
        "input": "1",
        "output": "1",
    }

    response = admin.post(reverse("admin:usage_app_price_add"), {**fields, "tiers": json.dumps(tiers)})

    assert response.status_code == 200
    assert message in str(response.context["adminform"].errors.as_data()["tiers"])
    assert not Price.objects.exists()


def test_a_catalogue_price_can_only_be_looked_at(admin: Client) -> None:
    price = make_price(source=Price.Source.CATALOGUE)

    assert admin.get(reverse("admin:usage_app_price_change", args=[price.id])).status_code == 200
    assert admin.post(reverse("admin:usage_app_price_change", args=[price.id]), {}).status_code == 403
    assert (
        admin.post(reverse("admin:usage_app_price_delete", args=[price.id]), {"post": "yes"}).status_code
        == 403
    )
    assert admin.get(reverse("admin:usage_app_price_changelist")).status_code == 200
