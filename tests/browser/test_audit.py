"""The pages of the audit in a real browser: no page complains, is too wide, or hides from screen readers."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from pytest_django.live_server_helper import LiveServer

from security_app.models import AuditEvent
from tests.browser.accessibility import assert_good
from tests.browser.chromium import Page
from tests.browser.session import sign_in
from upstreams_app.models import Route

pytestmark = pytest.mark.browser


def paths() -> list[str]:
    """The list, an event, the history of a row, and what changed in it."""
    row = Route.objects.create(name="fast", description="first")
    row.description = "second"
    row.save()
    event = AuditEvent.objects.get(object_id=row.pk.hex, action="updated")
    history = f"/admin/upstreams_app/route/{row.pk}/history/"
    return [
        "/admin/security_app/auditevent/",
        f"/admin/security_app/auditevent/{event.seq}/change/",
        history,
        f"{history}?seq={event.seq}",
    ]


@pytest.mark.parametrize(("width", "is_dark"), [(1400, False), (390, True)])
def test_the_pages_of_the_audit_are_good(
    browser: Page, live_server: LiveServer, admin_user: User, width: int, is_dark: bool
) -> None:
    browser.emulate(width=width, height=900, is_dark=is_dark)
    sign_in(browser, live_server.url, "admin", "password")

    for path in paths():
        browser.open(f"{live_server.url}{path}")
        assert_good(browser)
