"""The wizard by keyboard on a new installation, and the page with recipes: light, dark and on a phone."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.browser.accessibility import assert_good
from tests.browser.chromium import Page
from tests.browser.session import sign_in
from tests.doors.gateway import ROOT, Gateway, environment
from tests.prepared import Database

pytestmark = pytest.mark.browser
PASSWORD = "correct-horse-battery"
LOOKS = pytest.mark.parametrize(
    ("width", "is_dark"),
    [(1400, False), (1400, True), (390, False), (390, True)],
    ids=["light", "dark", "phone", "dark phone"],
)
MAIN = ".first-run section button[type=submit]"


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Gateway]:
    """A server as `make run` starts it for the first time, with a password that we know."""
    path = tmp_path / "gateway.sqlite3"
    database = Database(f"sqlite:///{path}", path)
    administrator = {"DJANGO_SUPERUSER_USERNAME": "admin", "DJANGO_SUPERUSER_PASSWORD": PASSWORD}
    subprocess.run(
        [sys.executable, str(ROOT / "manage.py"), "bootstrap"],
        cwd=tmp_path,
        env=environment(tmp_path / "data", database.url, **administrator),
        check=True,
        stdout=subprocess.DEVNULL,
        timeout=60,
    )
    with Gateway(database) as running:
        yield running


def _step(page: Page) -> str:
    return str(page.evaluate("document.querySelector('[aria-current=step]').textContent.trim()"))


@LOOKS
def test_the_whole_wizard_works_by_keyboard(browser: Page, fresh: Gateway, width: int, is_dark: bool) -> None:
    page = browser
    page.emulate(width=width, height=900, is_dark=is_dark)
    page.forget()

    page.open(f"{fresh.url}/admin/login/")
    page.evaluate("document.getElementById('id_login').focus()")
    page.type_text("admin")
    page.tab_to("#id_password")
    page.type_text(PASSWORD)
    page.press_through("Enter")
    assert page.evaluate("location.pathname") == "/admin/first-run/"
    assert _step(page).startswith("1. Upstream")
    assert_good(page)

    page.tab_to(MAIN)
    page.press_through("Enter")
    assert _step(page).startswith("2. Test")
    assert_good(page)
    page.tab_to(MAIN)
    page.press_through("Enter")
    assert "demo answers" in page.evaluate("document.getElementById('test-result').textContent")
    assert_good(page)

    page.tab_to("section a[href$='step=key']")
    page.press_through("Enter")
    assert_good(page)
    page.tab_to("#id_name")
    page.type_text("By keyboard")
    page.press_through("Enter")
    plain = page.evaluate("document.getElementById('plain-key').value")
    assert plain.startswith("sk-gw-")
    assert page.evaluate("location.search") == "?step=key"
    assert_good(page)

    page.tab_to("section form button[type=submit]")
    page.press_through("Enter")
    assert _step(page).startswith("4. First chat")
    assert page.evaluate("document.getElementById('id_key').value") == plain
    page.tab_to(MAIN)
    page.press("Enter")
    page.wait_for("document.getElementById('chat-answer').textContent.trim().length > 5")
    page.wait_for("!document.querySelector('#first-chat [aria-busy]')")
    assert page.evaluate("document.getElementById('chat-error').textContent") == ""
    assert_good(page)
    assert fresh.newest_record("demo/chat")["status"] == 200

    page.tab_to("a[href$='step=client']")
    page.press_through("Enter")
    assert f"{fresh.url}/v1" in page.evaluate("document.body.innerText")
    assert_good(page)
    page.tab_to("form[action='/admin/first-run/'] button")
    page.press_through("Enter")
    assert page.evaluate("location.pathname") == "/admin/"


def test_a_wrong_field_and_a_wrong_key_are_told(browser: Page, fresh: Gateway) -> None:
    page = browser
    page.emulate(width=1400, height=900, is_dark=True)
    sign_in(page, fresh.url, "admin", PASSWORD)

    page.fill("#id_name", "Not A Name")
    page.click_through(MAIN)
    assert page.evaluate("document.getElementById('id_name').getAttribute('aria-invalid')") == "true"
    assert "id_name_error" in page.evaluate(
        "document.getElementById('id_name').getAttribute('aria-describedby')"
    )
    assert_good(page)

    page.open(f"{fresh.url}/admin/first-run/?step=chat")
    page.fill("#id_key", "sk-gw-wrong")
    page.click(MAIN)
    page.wait_for("document.getElementById('chat-error').textContent.length > 5")
    # The browser itself reports the 401.
    assert all("401" in complaint for complaint in page.complaints)
    page.complaints.clear()
    assert_good(page)


@LOOKS
def test_recipes_are_found_copied_and_readable(
    browser: Page, fresh: Gateway, width: int, is_dark: bool
) -> None:
    page = browser
    page.emulate(width=width, height=900, is_dark=is_dark)
    sign_in(page, fresh.url, "admin", PASSWORD)
    page.open(f"{fresh.url}/admin/clients/")
    assert_good(page)

    page.tab_to("#recipe-search")
    page.type_text("webui")
    assert page.evaluate("document.querySelectorAll('[data-recipe]:not([hidden])').length") == 1
    assert page.evaluate("document.getElementById('recipe-count').textContent") == "1 of 15"
    page.tab_to("[data-copy=open-webui-1]")
    page.press("Enter")
    page.wait_for("document.querySelector('[data-copy=open-webui-1]').textContent.trim() !== 'Copy'")
    assert_good(page)
