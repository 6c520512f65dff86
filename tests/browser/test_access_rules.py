"""Rules, groups and the page that explains access, in a real browser: no page complains, none is too wide."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from pytest_django.live_server_helper import LiveServer

from security_app.models import AccessGroup, AccessRule
from security_app.services.access import create_rule
from security_app.services.keys import create_key
from tests.admin import rows
from tests.browser.accessibility import assert_good
from tests.browser.chromium import Page
from tests.browser.session import sign_in

pytestmark = pytest.mark.browser


@pytest.mark.parametrize(("width", "is_dark"), [(1400, False), (390, True)], ids=["light", "phone"])
def test_the_pages_are_good_for_everybody(
    browser: Page, live_server: LiveServer, admin_user: User, width: int, is_dark: bool
) -> None:
    rows.one_of_each()
    key = create_key(actor="t", name="billing " * 10).row
    create_rule(
        actor="t",
        name="no big ones " * 8,
        object_kind="model",
        pattern="big-" * 30 + "*",
        effect="deny",
        condition="now.getHours() >= 0 && " * 10 + "true",
        subject_kind="key",
        subject_id=key.public_id,
    )
    rule, group = AccessRule.objects.first(), AccessGroup.objects.first()
    assert rule is not None
    assert group is not None
    question = f"who=key&name={key.public_id}&kind=model&object={'big-' * 30}x&ip="

    browser.emulate(width=1400, height=900, is_dark=False)
    sign_in(browser, live_server.url, "admin", "password")
    browser.emulate(width=width, height=900, is_dark=is_dark)
    for path in (
        "security_app/accessrule/",
        "security_app/accessrule/add/",
        f"security_app/accessrule/{rule.pk}/change/",
        "security_app/accessgroup/",
        f"security_app/accessgroup/{group.pk}/change/",
        "explain/",
        f"explain/?{question}",
    ):
        browser.open(f"{live_server.url}/admin/{path}")
        assert_good(browser)
    assert "Not allowed" in browser.evaluate("document.body.innerText")
