"""Each role in a real browser: what it is for can be done, all else is a clear page fit for everybody."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.contrib.auth.models import Group, User
from django.contrib.sessions.backends.db import SessionStore
from django.contrib.sessions.models import Session
from django.urls import reverse
from pytest_django.live_server_helper import LiveServer

from gateway_project.core.clock import utc_now
from gateway_project.sign_in.freshness import SIGNED_IN_AT
from security_app.models import Budget, GatewayUser, Limit, Membership, Organization, Team
from security_app.services.configuration import store
from security_app.services.keys import create_key
from tests.admin import rows
from tests.browser.accessibility import assert_good
from tests.browser.chromium import Page
from tests.browser.session import sign_in

pytestmark = pytest.mark.browser
PASSWORD = "correct-horse-battery"
ADMIN = "/admin/security_app"
SIZES = pytest.mark.parametrize(("width", "is_dark"), [(1400, False), (390, True)], ids=["light", "phone"])


def person(role: str) -> User:
    """Somebody of the role, who administers a team with a key."""
    account = User.objects.create_user("someone", password=PASSWORD, is_staff=True)
    account.groups.add(Group.objects.get(name=role))
    team = Team.objects.create(name="ours", organization=Organization.objects.create(name="Company"))
    user = GatewayUser.objects.create(user_id="someone", account=account)
    Membership.objects.create(user=user, team=team, role="admin")
    create_key(actor="t", name="key of ours", team=team, user_id="someone")
    return account


def bounds() -> None:
    """Limits and budgets of the team, of its key and of everybody."""
    team = Team.objects.get()
    key = team.keys.get()
    for kind, subject in (("key", ""), ("key", key.pk.hex), ("team", team.pk.hex), ("user", "someone")):
        Limit.objects.create(subject_kind=kind, subject_id=subject, value=60)
        if subject:
            name = f"{kind}:{subject}"
            Budget.objects.create(subject_kind=kind, subject_id=subject, budget_id=name, amount=60)


@pytest.fixture
def wide(browser: Page, live_server: LiveServer) -> Page:
    # The first-run wizard is over.
    rows.upstream("first")
    browser.emulate(width=1400, height=900, is_dark=False)
    return browser


def save(page: Page) -> None:
    page.click_through("button[name=_save], input[name=_save]")
    assert not page.evaluate("document.querySelectorAll('.errorlist, .errornote').length"), page.evaluate(
        "document.body.innerText"
    )


def operate(page: Page, url: str) -> None:
    """An operator limits requests."""
    page.open(f"{url}{ADMIN}/limit/add/")
    page.fill("#id_subject_kind", "key")
    page.fill("#id_value", "77")
    save(page)
    assert Limit.objects.filter(value=77).exists()


def administer(page: Page, url: str) -> None:
    """An administrator makes a user."""
    page.open(f"{url}{ADMIN}/gatewayuser/add/")
    page.fill("#id_user_id", "dave")
    save(page)
    assert GatewayUser.objects.filter(user_id="dave").exists()


def audit(page: Page, url: str) -> None:
    """An auditor reads what happened, and is offered the export."""
    page.open(f"{url}{ADMIN}/auditevent/")
    export = reverse("admin:security_app_auditevent_export")
    assert page.evaluate(f"Boolean(document.querySelector('a[href^=\"{export}\"]'))")
    page.click_through("#result_list th a")
    assert page.evaluate("location.pathname.endsWith('/change/')")


def account(page: Page, url: str) -> None:
    """Finance sets a budget."""
    page.open(f"{url}{ADMIN}/budget/add/")
    for field, value in (("budget_id", "monthly"), ("subject_kind", "key"), ("amount", "12.5")):
        page.fill(f"#id_{field}", value)
    save(page)
    assert Budget.objects.filter(budget_id="monthly").exists()


def lead(page: Page, url: str) -> None:
    """A team admin bounds a key of the team, and lets somebody in."""
    GatewayUser.objects.create(user_id="dave")
    team = Team.objects.get()
    page.open(f"{url}{ADMIN}/limit/add/")
    assert_good(page)
    page.fill("#id_key", team.keys.get().public_id)
    page.fill("#id_value", "5")
    save(page)
    page.open(f"{url}{ADMIN}/team/{team.pk}/change/")
    assert_good(page)
    page.evaluate("document.querySelector('.add-row').click()")
    page.wait_for("document.querySelector('#id_memberships-1-member')")
    page.fill("#id_memberships-1-member", "dave")
    save(page)
    assert Limit.objects.get(value=5).is_made_by_team
    assert Membership.objects.filter(user__user_id="dave", role="member").exists()


DOES: dict[str, tuple[Callable[[Page, str], None], str]] = {
    "administrator": (administer, ""),
    "operator": (operate, "gatewayuser/add/"),
    "auditor": (audit, "limit/add/"),
    "finance": (account, "limit/add/"),
    "team admin": (lead, "organization/"),
}


@pytest.mark.parametrize("role", DOES)
def test_each_role_does_what_it_is_for_and_nothing_else(
    wide: Page, live_server: LiveServer, role: str
) -> None:
    person(role)
    does, refused = DOES[role]
    sign_in(wide, live_server.url, "someone", PASSWORD)

    does(wide, live_server.url)

    if refused:
        address = f"{ADMIN}/{refused}"
        wide.open(live_server.url + address)
        assert "has no permission" in wide.evaluate("document.body.innerText")
        assert wide.evaluate(f"fetch('{address}').then((answer) => answer.status)") == 403


@SIZES
def test_pages_of_limits_people_and_findings_are_good(
    wide: Page, live_server: LiveServer, admin_user: User, width: int, is_dark: bool
) -> None:
    rows.one_of_each()
    person("administrator")
    team = Team.objects.get(name="ours")
    key = team.keys.get()
    name = f"key:{key.pk.hex}"
    budget = Budget.objects.create(subject_kind="key", subject_id=key.pk.hex, budget_id=name, amount=60)
    limit = Limit.objects.create(subject_kind="key", subject_id=key.pk.hex, value=60)
    sign_in(wide, live_server.url, "admin", "password")
    wide.emulate(width=width, height=900, is_dark=is_dark)

    for path in (
        "limit/",
        "limit/add/",
        f"limit/{limit.pk}/change/",
        "budget/",
        "budget/add/",
        f"budget/{budget.pk}/change/",
        "team/",
        f"team/{team.pk}/change/",
        "gatewayuser/",
        "finding/",
    ):
        wide.open(f"{live_server.url}{ADMIN}/{path}")
        assert_good(wide)


@SIZES
def test_the_own_page_tells_what_is_left(
    wide: Page, live_server: LiveServer, width: int, is_dark: bool
) -> None:
    person("auditor")
    bounds()
    store.forget()
    store.refresh()
    sign_in(wide, live_server.url, "someone", PASSWORD)
    wide.emulate(width=width, height=900, is_dark=is_dark)

    wide.open(f"{live_server.url}/me/")

    text = wide.evaluate("document.body.innerText")
    for whose in ("Key key of ours", "Team ours", "You"):
        assert whose in text
    assert_good(wide)


def test_a_session_that_grew_old_is_asked_before_a_secret_is_shown(
    wide: Page, live_server: LiveServer
) -> None:
    person("administrator")
    sign_in(wide, live_server.url, "someone", PASSWORD)
    row = Session.objects.get()
    session = SessionStore(row.session_key)
    session[SIGNED_IN_AT] = int(utc_now().timestamp()) - 3600
    for record in session.get("account_authentication_methods", []):
        record["at"] -= 3600
    session.save()

    wide.open(f"{live_server.url}{ADMIN}/apikey/")
    wide.click("input[name=_selected_action]")
    wide.evaluate("document.querySelector('select[name=action]').value = 'rotate_at_once'")
    wide.evaluate("window.isOldPage = true; document.querySelector('select[name=action]').form.submit()")
    wide.wait_for("location.pathname.endsWith('/reauthenticate/') && document.readyState === 'complete'")

    assert_good(wide)
    wide.fill("#id_password", PASSWORD)
    wide.click_through("main form button[type=submit], #content form button[type=submit]")
    assert wide.evaluate("location.pathname") == f"{ADMIN}/apikey/"
