"""The dashboard's figures come from rollups; what it shows depends on what a person may see."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.contrib.auth.models import Permission, User
from django.core.cache import cache
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from pytest_django import Settings

from gateway_project.core.clock import utc_now
from security_app.services.keys import create_key
from tests.usage.entries import id_at, make_entry, store
from usage_app.admin.charts import Series, lines, stacked_bars
from usage_app.admin.dashboard import shown_count, shown_duration, shown_money
from usage_app.entry import TokenUsage, UsageEntry
from usage_app.models import UsageRecord
from usage_app.models.rollup import MASTER_KEY
from usage_app.services.dashboard import RANGES, dashboard
from usage_app.services.rollups import roll_up

NOW = datetime(2026, 5, 20, 13, 7, tzinfo=UTC)


def at(moment: datetime, number: int = 1, **fields: object) -> UsageEntry:
    return make_entry(id=id_at(moment, number), **fields)


def use_something(now: datetime) -> None:
    key = create_key(actor="test", name="Open WebUI").row
    store(
        at(now, 1, key_id=key.pk, total_ms=100.0),
        at(now, 2, key_id=key.pk, total_ms=100.0),
        at(now, 3, status=502, cost_nano=None, tokens=TokenUsage()),
        at(now, 4, key_id=None, model="free", upstream_model="free", cost_nano=None, state="unpriced"),
    )
    roll_up()


@pytest.mark.django_db
@pytest.mark.parametrize("name", list(RANGES))
def test_a_range_holds_what_was_used_in_it_and_nothing_older(name: str) -> None:
    chosen = RANGES[name]
    first = chosen.start(NOW)
    store(at(first, 1), at(first - timedelta(milliseconds=1), 2), at(NOW, 3, total_ms=400.0))
    roll_up()

    found = dashboard(chosen, now=NOW)

    assert found.totals.requests == 2
    assert found.totals.cost == Decimal("0.01")
    assert sum(step.totals.requests for step in found.steps) == 2
    assert found.steps[0].start == first
    assert (found.steps[0].totals.requests, found.steps[-1].totals.requests) == (1, 1)
    assert found.steps[-1].p50_ms == pytest.approx(400, rel=0.1)
    assert found.p50_ms == pytest.approx(130.75, rel=0.1)
    assert found.p95_ms == pytest.approx(400, rel=0.1)


@pytest.mark.django_db
def test_models_and_keys_are_listed_by_what_they_cost() -> None:
    use_something(NOW)

    found = dashboard(RANGES["1h"], now=NOW)

    assert [(share.name, share.totals.requests) for share in found.models] == [("acme/small", 3), ("free", 1)]
    assert [share.name for share in found.keys] == ["Open WebUI", "Master key", ""]
    assert found.keys[1].key_id == MASTER_KEY
    assert [(row.model, row.requests) for row in found.unpriced] == [("acme/free", 1)]
    assert (found.totals.errors, found.totals.error_share) == (1, 0.25)


@pytest.mark.django_db
def test_quarter_hours_that_are_due_are_counted() -> None:
    store(at(NOW - timedelta(hours=2), 1), at(NOW - timedelta(hours=3), 2), at(NOW - timedelta(days=2), 3))

    assert dashboard(RANGES["6h"], now=NOW).windows_due == 2
    roll_up()
    assert dashboard(RANGES["6h"], now=NOW).windows_due == 0


@pytest.mark.django_db
@pytest.mark.parametrize("name", list(RANGES))
def test_no_range_reads_the_ledger(name: str) -> None:
    use_something(NOW)

    with CaptureQueriesContext(connection) as queries:
        dashboard(RANGES[name], now=NOW)

    # Without a team there are no names of teams to look up.
    assert len(queries) == 10
    assert not [one["sql"] for one in queries if UsageRecord._meta.db_table in one["sql"]]


@pytest.mark.django_db
def test_sums_are_kept_until_a_rollup_is_new(settings: Settings) -> None:
    settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
    use_something(NOW)
    first = dashboard(RANGES["30d"], now=NOW)

    with CaptureQueriesContext(connection) as queries:
        again = dashboard(RANGES["30d"], now=NOW)
    assert again == first
    assert len(queries) == 3

    store(at(NOW, 5))
    roll_up()

    assert dashboard(RANGES["30d"], now=NOW).totals.requests == first.totals.requests + 1
    cache.clear()


@pytest.mark.django_db
@pytest.mark.parametrize("name", [*RANGES, "nonsense"])
def test_the_page_shows_figures_charts_and_lists(name: str, admin_client: Client) -> None:
    use_something(utc_now())

    page = admin_client.get("/admin/", {"range": name}).content.decode()

    text = re.sub(r"\s+", " ", page)
    assert '<dt>Requests</dt> <dd class="gw-number' in text
    assert "25.0% of requests" in text
    assert text.count("<svg viewBox") == text.count("as a table</summary>") == 4
    assert "Open WebUI" in text
    assert "/admin/usage_app/price/add/?model=acme%2Ffree" in text
    assert f'href="?range={name if name in RANGES else "24h"}" aria-current="page"' in text


@pytest.mark.django_db
def test_the_page_without_any_usage_is_whole(admin_client: Client) -> None:
    page = admin_client.get("/admin/").content.decode()

    assert "Nothing was used in this range." in page
    assert "Without a price" not in page


@pytest.mark.django_db
def test_usage_is_for_those_who_may_see_the_ledger(client: Client) -> None:
    use_something(utc_now())
    bob = User.objects.create_user("bob", is_staff=True)
    client.force_login(bob)
    assert "Open WebUI" not in client.get("/admin/").content.decode()

    bob.user_permissions.add(Permission.objects.get(codename="view_usagerecord"))
    page = client.get("/admin/").content.decode()

    assert "Open WebUI" in page
    assert "Add a price" not in page
    assert 'id="health"' not in page


@pytest.mark.django_db
def test_a_price_for_an_unpriced_model_begins_with_its_name(admin_client: Client) -> None:
    page = admin_client.get("/admin/usage_app/price/add/?model=acme%2Ffree").content.decode()

    assert 'value="acme/free"' in page


def test_a_chart_of_bars_fills_its_height_with_the_largest_sum() -> None:
    chart = stacked_bars("n", "N", ["a", "b"], [Series("x", [1, 0]), Series("y", [3, 2])], shown_count)

    first, second = chart.columns
    assert [(bar.number, bar.y, bar.height) for bar in first.bars] == [(1, "75", "25"), (2, "0", "75")]
    assert [(bar.number, bar.y, bar.height) for bar in second.bars] == [(2, "50", "50")]
    assert chart.top == "4"
    assert chart.rows == [("a", ["1", "3"]), ("b", ["0", "2"])]
    assert first.title == "a: x 1, y 3"


def test_a_line_is_broken_where_nothing_was_measured() -> None:
    values = [1.0, 2.0, None, 4.0, None]

    chart = lines("n", "N", list("abcde"), [Series("p50", values)], shown_duration)

    assert [line.points for line in chart.lines] == ["10,75 30,50", "65,0 75,0"]
    assert chart.rows[2] == ("c", ["–"])


@pytest.mark.parametrize(
    ("amount", "text"),
    [("0", "$0"), ("0.000001", "< $0.0001"), ("0.012345", "$0.01235"), ("1234.5", "$1,234.50")],
)
def test_money_is_shown_with_as_many_digits_as_say_something(amount: str, text: str) -> None:
    assert shown_money(Decimal(amount)) == text
