"""Choosing a known service in the form of an upstream, in a real browser."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from pytest_django.live_server_helper import LiveServer

from tests.browser.chromium import Page
from tests.browser.session import sign_in
from upstreams_app.models import Upstream

pytestmark = pytest.mark.browser
ADD = "/admin/upstreams_app/upstream/add/"
CHOOSE = """(() => {
  const preset = document.getElementById("id_preset");
  preset.value = %r;
  preset.dispatchEvent(new Event("change"));
  const value = (id) => document.getElementById(id).value;
  return [value("id_name"), value("id_kind"), value("id_base_url"), value("id_path_prefix")];
})()"""


@pytest.fixture
def page(browser: Page, live_server: LiveServer, admin_user: User) -> Page:
    """The form for a new upstream, as an administrator sees it."""
    browser.emulate(width=1400, height=900, is_dark=False)
    sign_in(browser, live_server.url, "admin", "password", ADD)
    return browser


def test_a_service_fills_in_the_form_and_another_replaces_it(page: Page) -> None:
    kind = "openai-compatible"

    assert page.evaluate(CHOOSE % "groq") == ["groq", kind, "https://api.groq.com", "/openai/v1"]
    assert page.evaluate(CHOOSE % "perplexity") == ["perplexity", kind, "https://api.perplexity.ai", ""]
    assert page.complaints == []

    page.fill("#id_api_key", "sk-vendor-key-0123456789")
    page.click_through("input[name=_save], button[name=_save]")
    row = Upstream.objects.get()
    assert (row.name, row.base_url, row.path_prefix) == ("perplexity", "https://api.perplexity.ai", "")


SHOWN = """((kind) => {
  const chosen = document.getElementById("id_kind");
  chosen.value = kind;
  chosen.dispatchEvent(new Event("change"));
  const isSeen = (id) => document.getElementById(id).offsetParent !== null;
  const help = document.getElementById("id_api_key").closest(".grow").textContent;
  return [isSeen("id_option_bedrock_region"), isSeen("id_option_vertex_project"), help.includes("JSON")];
})(%r)"""


def test_only_the_options_of_the_chosen_kind_are_shown(page: Page) -> None:
    assert page.evaluate(SHOWN % "bedrock") == [True, False, False]
    assert page.evaluate(SHOWN % "vertex") == [False, True, True]
    assert page.evaluate(SHOWN % "openai") == [False, False, False]
    assert page.complaints == []
