"""Signing in, second factors and the own page in a browser: under the content policy, fit for everybody."""

from __future__ import annotations

import time

import pytest
from allauth.mfa.totp.internal.auth import format_hotp_value, hotp_value
from django.contrib.auth.models import Group, User
from pytest_django.live_server_helper import LiveServer

from gateway_project.roles import ROLES
from security_app.models import ApiKey, GatewayUser
from security_app.services.keys import create_key
from tests.admin import rows
from tests.browser.accessibility import assert_good
from tests.browser.chromium import Page
from tests.browser.session import sign_in

pytestmark = pytest.mark.browser
PASSWORD = "correct-horse-battery"
# What a role sees in its menu, and what it does not.
MENUS = {
    "administrator": ("/admin/auth/user/", ""),
    "operator": ("/admin/upstreams_app/upstream/", "/admin/auth/user/"),
    "auditor": ("/admin/usage_app/usagerecord/", "/admin/first-run/"),
    "finance": ("/admin/usage_app/price/", "/admin/upstreams_app/upstream/"),
    "team admin": ("/admin/security_app/apikey/", "/admin/usage_app/price/"),
}


def person(name: str, *groups: str, is_staff: bool = True) -> User:
    user = User.objects.create_user(name, password=PASSWORD, is_staff=is_staff)
    user.groups.set(Group.objects.filter(name__in=groups))
    return user


@pytest.fixture
def wide(browser: Page, live_server: LiveServer) -> Page:
    # The first-run wizard is over.
    rows.upstream("first")
    browser.emulate(width=1400, height=900, is_dark=False)
    return browser


@pytest.mark.parametrize("role", ROLES)
def test_each_role_signs_in_and_sees_its_menu(wide: Page, live_server: LiveServer, role: str) -> None:
    person("someone", role)
    shown, hidden = MENUS[role]

    sign_in(wide, live_server.url, "someone", PASSWORD)

    links = wide.evaluate("[...document.querySelectorAll('a')].map((one) => one.getAttribute('href'))")
    assert wide.evaluate("location.pathname") == "/admin/"
    assert shown in links
    assert not hidden or hidden not in links
    assert_good(wide)
    if hidden:
        wide.open(live_server.url + hidden)
        assert "has no permission" in wide.evaluate("document.body.innerText")


@pytest.mark.parametrize(
    ("width", "is_dark"), [(1400, False), (1400, True), (390, False)], ids=["light", "dark", "phone"]
)
def test_the_pages_are_fit_for_everybody(
    browser: Page, live_server: LiveServer, width: int, is_dark: bool
) -> None:
    account = person("dave", is_staff=False)
    GatewayUser.objects.create(user_id="dave", account=account)
    rows.model(rows.upstream())
    create_key(actor="test", name="mine", user_id="dave")
    browser.emulate(width=width, height=844, is_dark=is_dark)

    browser.forget()
    browser.open(f"{live_server.url}/admin/login/")
    assert_good(browser)
    sign_in(browser, live_server.url, "dave", PASSWORD, next_path="/me/")
    for path in ("/me/", "/admin/account/2fa/", "/admin/account/password/", "/admin/account/2fa/webauthn/"):
        browser.open(live_server.url + path)
        assert_good(browser)


def test_an_app_is_set_up_and_asked_for(wide: Page, live_server: LiveServer) -> None:
    person("erin", "operator")
    sign_in(wide, live_server.url, "erin", PASSWORD)
    wide.open(f"{live_server.url}/admin/account/2fa/totp/activate/")
    if wide.evaluate("location.pathname").endswith("/reauthenticate/"):
        assert_good(wide)
        wide.fill("#id_password", PASSWORD)
        wide.click_through("main form button[type=submit], #content form button[type=submit]")
    secret = wide.evaluate("document.getElementById('authenticator_secret').value")
    assert wide.evaluate("document.querySelector('img[src^=data]').naturalWidth") > 0
    assert_good(wide)

    wide.fill("#id_code", format_hotp_value(hotp_value(secret, int(time.time()) // 30)))
    wide.click_through("#content form button[type=submit]")
    assert_good(wide)
    sign_in(wide, live_server.url, "erin", PASSWORD)

    assert wide.evaluate("location.pathname") == "/admin/account/2fa/authenticate/"
    assert_good(wide)
    wide.fill("#id_code", format_hotp_value(hotp_value(secret, int(time.time()) // 30 + 1)))
    wide.click_through("main form button[type=submit]")
    assert wide.evaluate("location.pathname") == "/admin/"


def test_a_key_is_made_with_the_keyboard_alone(wide: Page, live_server: LiveServer) -> None:
    person("frank", "administrator")
    sign_in(wide, live_server.url, "frank", PASSWORD)
    wide.open(f"{live_server.url}/admin/security_app/apikey/add/")

    wide.tab_to("#id_name")
    wide.type_text("by keyboard")
    wide.tab_to("button[name=_save]")
    wide.press_through("Enter")

    assert wide.evaluate("document.getElementById('plain-key').value").startswith("sk-gw-")
    assert ApiKey.objects.filter(name="by keyboard", scopes=["inference"]).exists()
    assert_good(wide)
