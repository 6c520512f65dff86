"""How far budgets are used up: on the start page, as alerts, and the same whatever is summed up already."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.core.cache import cache
from django.test import Client
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway_project.core.clock import utc_now
from security_app.models import ApiKey, Budget
from security_app.services.spend import UseQuestion
from tests.usage.entries import ALICE, BOB, id_at, make_entry, store
from usage_app.models import (
    Alert,
    AlertRule,
    DailyUsageRollup,
    HourlyUsageRollup,
    RollupWindow,
    UsageRecord,
    UsageRollup,
)
from usage_app.services.alerts.evaluation import evaluate_rules
from usage_app.services.budget_burn import budget_burns, percent_of
from usage_app.services.rollups import roll_up
from usage_app.services.window_use import used_since

pytestmark = pytest.mark.django_db
DOLLAR = 1_000_000_000
HOUR_MS = 3_600_000


@pytest.fixture(autouse=True)
def _nothing_cached() -> None:
    cache.clear()


def make_budget(**fields: object) -> Budget:
    values = {"budget_id": "lab", "subject_kind": "key", "subject_id": ALICE.hex, "amount": Decimal(10)}
    row = Budget(**{**values, "window": "lifetime", **fields})
    row.full_clean()
    row.save()
    return row


def test_a_budget_shows_what_is_used_and_what_of_it_is_soft() -> None:
    make_budget(soft_amount=Decimal(4))
    make_budget(budget_id="each", subject_id="")
    store(make_entry(cost_nano=5 * DOLLAR), make_entry(key_id=BOB, cost_nano=DOLLAR))
    roll_up()

    (burn,) = budget_burns()

    assert (burn.name, burn.used, burn.percent) == ("lab", Decimal(5), Decimal(50))
    assert percent_of(burn.used, Decimal(4)) == Decimal(125)


def test_a_budget_says_whose_it_is_by_name() -> None:
    ApiKey.objects.create(pk=ALICE, name="alice", digest=b"d" * 32, pepper_id="p", hint="h")
    make_budget(model="acme/*")
    make_budget(budget_id="gone", subject_id=BOB.hex)

    assert {burn.subject for burn in budget_burns()} == {"api key alice on acme/*", f"api key {BOB.hex}"}


def test_many_budgets_cost_a_few_queries(django_assert_max_num_queries: Any) -> None:
    for number in range(12):
        window = ("day", "month", "lifetime")[number % 3]
        make_budget(budget_id=f"b{number}", window=window, model="acme/*" if number % 2 else "")
    make_budget(budget_id="other", model="other/*")
    store(make_entry(cost_nano=5 * DOLLAR))
    roll_up()

    with django_assert_max_num_queries(7):
        burns = {burn.name: burn.used for burn in budget_burns()}

    assert {burns.pop("other"), *burns.values()} == {Decimal(0), Decimal(5)}


def test_alerts_watch_budgets_and_soft_amounts() -> None:
    make_budget(soft_amount=Decimal(4))
    store(make_entry(cost_nano=5 * DOLLAR))
    roll_up()
    for kind in ("budget", "soft_budget"):
        AlertRule.objects.create(name=kind, kind=kind, per="budget", threshold=Decimal(80))

    evaluate_rules()

    alert = Alert.objects.get()
    assert (alert.kind, alert.subject, alert.value) == ("soft_budget", "lab", Decimal(125))
    assert alert.detail.startswith("$5.00 of the soft $4.00 of api key ")


def test_the_start_page_shows_budgets_and_alerts(admin_client: Client) -> None:
    make_budget()
    store(make_entry(cost_nano=9 * DOLLAR))
    roll_up()
    AlertRule.objects.create(name="Nearly gone", kind="budget", per="budget", threshold=Decimal(80))
    evaluate_rules()

    page = admin_client.get("/admin/").content.decode()

    assert 'id="budgets"' in page
    assert "90%" in page
    assert 'id="alerts"' in page
    assert "Nearly gone: lab" in page


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    minutes=st.lists(st.integers(min_value=0, max_value=300), min_size=1, max_size=8),
    summed_up=st.integers(min_value=0, max_value=8),
    hours=st.integers(min_value=0, max_value=6),
)
def test_what_is_summed_up_changes_nothing(minutes: list[int], summed_up: int, hours: int) -> None:
    now = utc_now()
    for model in (UsageRecord, RollupWindow, UsageRollup, HourlyUsageRollup, DailyUsageRollup):
        model.objects.all().delete()
    for number, ago in enumerate(minutes):
        identifier = id_at(now - timedelta(minutes=ago), number + 1)
        store(make_entry(id=identifier, cost_nano=7 * 10**number))
        if number < summed_up:
            roll_up()
    start_ms = int((now - timedelta(hours=hours)).timestamp() * 1000)

    (used,) = used_since([UseQuestion("key", ALICE.hex, "acme/*", "cost", start_ms, None)])

    wanted = [7 * 10**number for number, ago in enumerate(minutes) if ago * 60_000 <= hours * HOUR_MS]
    assert used == sum(wanted)
