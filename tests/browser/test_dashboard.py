"""The start page in a real browser: readable light, dark and on a phone, by keyboard, without a script."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from pytest_django.live_server_helper import LiveServer

from gateway_project.core.clock import utc_now
from security_app.services.keys import create_key
from tests.admin import rows
from tests.browser.accessibility import assert_good
from tests.browser.chromium import Page
from tests.browser.session import sign_in
from tests.usage.entries import id_at, make_entry
from usage_app.entry import TokenUsage
from usage_app.services import record_store
from usage_app.services.lines import decode, encode
from usage_app.services.rollups import roll_up

pytestmark = pytest.mark.browser


@pytest.fixture
def page(browser: Page, live_server: LiveServer, admin_user: User) -> Page:
    """A tab in which the administrator has signed in, and a day of usage."""
    use_a_day()
    browser.emulate(width=1400, height=900, is_dark=False)
    sign_in(browser, live_server.url, "admin", "password")
    return browser


def use_a_day() -> None:
    """Requests of two keys to four models, busier and slower at times; one model has no price."""
    rows.one_of_each()
    rows.probe(rows.upstream("broken"), is_healthy=False, error="connection refused")
    now = utc_now()
    keys = [create_key(actor="test", name=name).row.pk for name in ("Open WebUI", "Research notebooks")]
    lines = []
    for number in range(600):
        model = f"model-{number % 4}"
        is_priced = number % 4 != 3
        entry = make_entry(
            id=id_at(now - timedelta(seconds=number * 140), number + 1),
            key_id=keys[number % 2],
            model=f"vendor-0/{model}",
            upstream="vendor-0",
            upstream_model=model,
            status=502 if number % 23 == 0 else 200,
            state="reported" if is_priced else "unpriced",
            cost_nano=(number % 90) * 1_000_000 if is_priced else None,
            tokens=TokenUsage(input=400 + number % 700, output=number % 300),
            total_ms=200.0 + (number % 100) * 30,
        )
        lines.append(decode(encode(entry)[:-1]))
    record_store.store(lines)
    roll_up()


@pytest.mark.parametrize(("width", "is_dark"), [(1400, False), (1400, True), (390, False), (390, True)])
def test_the_dashboard_is_readable_everywhere(
    page: Page, live_server: LiveServer, width: int, is_dark: bool
) -> None:
    page.emulate(width=width, height=844, is_dark=is_dark)

    page.open(f"{live_server.url}/admin/?range=24h")
    page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true })")

    assert_good(page)
    assert page.evaluate("document.querySelectorAll('h1').length") == 1


def test_a_chart_shows_its_numbers_as_a_table(page: Page, live_server: LiveServer) -> None:
    page.open(f"{live_server.url}/admin/?range=24h")
    assert page.evaluate("document.querySelectorAll('#chart-requests rect[class^=gw-fill]').length") > 24
    assert not page.evaluate("document.querySelector('#chart-requests table').checkVisibility()")

    page.click("#chart-requests summary")

    assert page.evaluate("document.querySelector('#chart-requests table').checkVisibility()")
    sums = page.evaluate(
        "[...document.querySelectorAll('#chart-requests td')]"
        ".reduce((sum, cell) => sum + Number(cell.textContent), 0)"
    )
    assert sums == 600 + 2, "a request and a run are of rows.one_of_each"


def test_another_range_is_another_address(page: Page, live_server: LiveServer) -> None:
    page.open(f"{live_server.url}/admin/")

    page.click_through(".gw-ranges a[href='?range=7d']")

    assert page.evaluate("location.search") == "?range=7d"
    assert page.evaluate("document.querySelector('.gw-ranges [aria-current]').textContent") == "7 days"
