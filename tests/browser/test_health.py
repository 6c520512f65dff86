"""The health page in a real browser: wide and narrow, light and dark, without a serious fault for axe."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from pytest_django.live_server_helper import LiveServer

from gateway_project.core.clock import utc_now
from tests.admin import rows
from tests.browser.accessibility import assert_good
from tests.browser.chromium import Page
from tests.browser.session import sign_in
from upstreams_app.models import Upstream

pytestmark = pytest.mark.browser


@pytest.fixture
def page(browser: Page, live_server: LiveServer, admin_user: User) -> Page:
    """A tab in which the administrator has signed in; upstreams in each state."""
    now = utc_now()
    for name in ("good", "flapping", "dead", "never-asked", "resting"):
        rows.upstream(name)
    for quarter in range(90):
        for name in ("good", "flapping", "dead"):
            is_healthy = name == "good" or (name == "flapping" and quarter % 9 > 0)
            row = Upstream.objects.get(name=name)
            rows.probe(row, is_healthy=is_healthy, at=now - timedelta(minutes=15 * quarter, seconds=40))
    rows.probe(Upstream.objects.get(name="flapping"), at=now)
    Upstream.objects.filter(name="resting").update(is_in_maintenance=True)
    browser.emulate(width=1400, height=900, is_dark=False)
    sign_in(browser, live_server.url, "admin", "password", "/admin/health/")
    return browser


@pytest.mark.parametrize(
    ("width", "is_dark"), [(1400, False), (1400, True), (390, False)], ids=["light", "dark", "phone"]
)
def test_the_page_is_fit_for_everybody(
    page: Page, live_server: LiveServer, width: int, is_dark: bool
) -> None:
    page.emulate(width=width, height=900, is_dark=is_dark)
    flapping = Upstream.objects.get(name="flapping")
    for path in ("/admin/health/", f"/admin/upstreams_app/upstream/{flapping.pk}/change/"):
        page.open(live_server.url + path)
        assert_good(page)


def test_each_state_is_named_in_words(page: Page) -> None:
    badges = page.evaluate(
        "Object.fromEntries([...document.querySelectorAll('article')].map((one) =>"
        " [one.ariaLabel, one.querySelector('.gw-badge').textContent]))"
    )

    assert badges == {
        "dead": "down",
        "flapping": "degraded",
        "resting": "maintenance",
        "never-asked": "unknown",
        "good": "healthy",
    }
    assert "probes answered" in page.evaluate("document.querySelector('.gw-strip svg').ariaLabel")
