"""The form of a route and its simulator in a real browser: no page complains, none is too wide."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from pytest_django.live_server_helper import LiveServer

from gateway_project.core.ids import uuid7, uuid7_time
from security_app.services.configuration import store
from tests.admin import rows
from tests.browser.accessibility import assert_good
from tests.browser.chromium import Page
from tests.browser.session import sign_in
from upstreams_app.models import Route, RouteTarget, UpstreamModel
from usage_app.models import UsageRecord

pytestmark = pytest.mark.browser
LONG = "long-" * 20 + "name"
SIMULATE = "document.querySelector('form[method=post][novalidate]').requestSubmit()"


@pytest.mark.parametrize(("width", "is_dark"), [(1400, False), (390, True)], ids=["light", "phone"])
def test_the_pages_are_good_for_everybody(
    browser: Page, live_server: LiveServer, admin_user: User, width: int, is_dark: bool
) -> None:
    rows.one_of_each()
    model = UpstreamModel.objects.first()
    assert model is not None
    other = Route.objects.create(name=f"other-{LONG}", fallbacks={"general": [f"last-{LONG}"]})
    route = Route.objects.create(
        name=LONG, fallbacks={"general": [other.name, "gone"], "budget": [other.name]}
    )
    for each in (route, other):
        RouteTarget.objects.create(route=each, model=model, condition="tokens >= 0 && " * 10 + "true")
    store.refresh()
    identifier = uuid7()
    kept = UsageRecord.objects.create(
        id=identifier,
        at=uuid7_time(identifier),
        operation="chat",
        model=LONG,
        upstream=model.upstream.name,
        upstream_model=model.name,
        status=200,
        state="reported",
        decision={"strategy": "weighted", "candidates": [f"{LONG}/{LONG}"], "barred": {LONG: "timeout"}},
    )

    browser.emulate(width=1400, height=900, is_dark=False)
    sign_in(browser, live_server.url, "admin", "password")
    browser.emulate(width=width, height=900, is_dark=is_dark)
    for path in (
        f"upstreams_app/route/{route.pk}/change/",
        f"simulator/?request={kept.request_id}",
        f"simulator/?model={LONG}",
    ):
        browser.open(f"{live_server.url}/admin/{path}")
        assert_good(browser)
    browser.evaluate(SIMULATE)
    browser.wait_for("document.body.innerText.includes('would ask')")
    assert_good(browser)
    assert "never asked: there is no such model" in browser.evaluate("document.body.innerText")
