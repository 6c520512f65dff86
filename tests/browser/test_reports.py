"""Reports in a real browser: the form says what it means, a file's page follows it, all fit for everybody."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from pytest_django.live_server_helper import LiveServer

from tests.browser.accessibility import assert_good
from tests.browser.chromium import Page
from tests.browser.session import sign_in
from tests.reports.usage import made, save, use_some
from usage_app.models import ReportExport
from usage_app.services.exports.jobs import make_files

pytestmark = pytest.mark.browser
SIZES = pytest.mark.parametrize(
    ("width", "is_dark"), [(1400, False), (1400, True), (390, False)], ids=["light", "dark", "phone"]
)


@pytest.fixture
def page(browser: Page, live_server: LiveServer, admin_user: User, tmp_path: Path, settings: Any) -> Page:
    """A tab in which the administrator has signed in."""
    settings.REPORTS_DIR = tmp_path / "reports"
    browser.emulate(width=1400, height=900, is_dark=False)
    sign_in(browser, live_server.url, "admin", "password", "/admin/reports/")
    return browser


@SIZES
def test_the_pages_are_fit_for_everybody(
    page: Page, live_server: LiveServer, width: int, is_dark: bool
) -> None:
    use_some()
    export = made()
    saved = save(name="weekly", schedule="weekly", period="last_week", first_day=None, last_day=None)
    page.emulate(width=width, height=900, is_dark=is_dark)
    for path in (
        "reports/",
        "usage_app/report/",
        "usage_app/report/add/",
        f"usage_app/report/{saved.pk}/change/",
        "usage_app/reportexport/",
        f"usage_app/reportexport/{export.pk}/change/",
    ):
        page.open(f"{live_server.url}/admin/{path}")
        assert_good(page)


def test_the_form_says_what_it_means_while_it_is_filled_in(page: Page) -> None:
    assert page.evaluate("document.getElementById('id_first_day').disabled")

    page.evaluate(
        "(() => { const area = document.getElementById('id_filters'); area.value = 'colour: red';"
        " area.dispatchEvent(new Event('input', { bubbles: true })); })()"
    )
    page.wait_for("document.getElementById('report-check').textContent.startsWith('Filters: Filter by')")
    page.evaluate(
        "(() => { const area = document.getElementById('id_filters'); area.value = '';"
        " area.dispatchEvent(new Event('input', { bubbles: true })); })()"
    )

    page.wait_for("/^From .* to .*, UTC\\.$/.test(document.getElementById('report-check').textContent)")


def test_a_files_page_follows_it_to_its_end(page: Page) -> None:
    page.click_through("#report-form button[type=submit]")
    assert page.evaluate("document.getElementById('report-state').textContent") == "Queued"
    assert_good(page)

    assert ReportExport.objects.count() == 1
    make_files()

    page.wait_for("document.getElementById('report-state').textContent === 'Done'")
    page.wait_for("[...document.querySelectorAll('a')].some((one) => one.textContent.includes('Download'))")
    page.click_through("form[action$='/verify/'] button")
    assert "The file is what the gateway made." in page.evaluate("document.body.textContent")
    assert_good(page)
