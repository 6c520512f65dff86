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
from upstreams_app.admin import trial_page
from upstreams_app.models import HealthSample, Upstream
from upstreams_app.services.states import note_states

pytestmark = pytest.mark.browser


@pytest.fixture
def page(browser: Page, live_server: LiveServer, admin_user: User) -> Page:
    """A tab in which the administrator has signed in; upstreams in each state."""
    now = utc_now()
    for name in ("good", "flapping", "dead", "never-asked", "resting"):
        rows.upstream(name)
    HealthSample.objects.bulk_create(
        HealthSample(
            upstream=row,
            at=now - timedelta(minutes=15 * quarter, seconds=40),
            is_healthy=row.name == "good" or (row.name == "flapping" and quarter % 9 > 0),
            latency_ms=120 + 7 * (quarter % 11),
            error="" if row.name == "good" else "the connection was refused or failed",
        )
        for row in Upstream.objects.filter(name__in=("good", "flapping", "dead"))
        for quarter in range(90)
    )
    for is_healthy in (True, False):
        rows.probe(Upstream.objects.get(name="flapping"), is_healthy=is_healthy, error="too slow")
    note_states()
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
    one = f"/admin/upstreams_app/upstream/{flapping.pk}/change/"
    for path in ("/admin/health/", one, "/admin/test-upstreams/"):
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


def test_all_upstreams_are_tested_and_each_is_told(
    page: Page, live_server: LiveServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The live server's database is in memory, where writers do not wait for each other.
    monkeypatch.setattr(trial_page, "AT_ONCE", 1)
    Upstream.objects.all().delete()
    demo = Upstream.objects.create(name="demo", kind="demo", path_prefix="")
    rows.model(demo, "chat")
    rows.upstream("gone", "http://127.0.0.1:9")
    rows.upstream("theirs")
    Upstream.objects.filter(name="theirs").update(credential_source="client")
    page.emulate(width=390, height=900, is_dark=True)
    page.open(f"{live_server.url}/admin/test-upstreams/")

    page.evaluate("document.querySelector('#trials button[type=submit]').click()")
    page.wait_for("document.getElementById('trials-text').textContent.endsWith('Done.')")

    told = page.evaluate(
        "Object.fromEntries([...document.querySelectorAll('article')].map((one) =>"
        " [one.ariaLabel, one.querySelector('.gw-badge').textContent]))"
    )
    assert told == {"demo": "ok", "gone": "failed", "theirs": "not asked"}
    assert page.evaluate("document.getElementById('trials-bar').value") == 3
    words = page.evaluate("document.getElementById('trials-list').innerText")
    assert "1 model listed" in words
    assert "the connection was refused" in words
    assert_good(page)
