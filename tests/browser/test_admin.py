"""The admin in a real browser, under its content policy: no page complains, and its own scripts work."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from pytest_django.live_server_helper import LiveServer

from agents_app.definition import Definition, Link
from agents_app.models import Agent, Run
from agents_app.services.definitions import change_agent, create_agent
from security_app.models import ApiKey
from tests.admin import rows
from tests.browser.accessibility import assert_good
from tests.browser.chromium import Page
from tests.browser.session import sign_in
from tools_app.models import McpServer, McpTool, Tool
from upstreams_app.models import Route, Upstream
from usage_app.models import PriceChange

pytestmark = pytest.mark.browser
LISTS = (
    "/admin/security_app/apikey/",
    "/admin/upstreams_app/upstream/",
    "/admin/upstreams_app/upstreammodel/",
    "/admin/upstreams_app/route/",
    "/admin/agents_app/agent/",
    "/admin/tools_app/tool/",
    "/admin/tools_app/mcpserver/",
    "/admin/tools_app/mcptool/",
    "/admin/agents_app/run/",
    "/admin/upstreams_app/healthsample/",
    "/admin/upstreams_app/statechange/",
    "/admin/usage_app/usagerecord/",
    "/admin/usage_app/price/",
    "/admin/usage_app/pricechange/",
    "/admin/prices/unpriced/",
    "/admin/usage_app/spendcounter/",
    "/admin/auth/user/",
    "/admin/auth/group/",
)


@pytest.fixture
def page(browser: Page, live_server: LiveServer, admin_user: User) -> Page:
    """A tab in which the administrator has signed in by the form."""
    rows.one_of_each()
    browser.emulate(width=1400, height=900, is_dark=False)
    sign_in(browser, live_server.url, "admin", "password")
    assert browser.evaluate("location.pathname") == "/admin/"
    return browser


def agent_pages() -> list[str]:
    """The pages of a drop-in and of a declared agent with links, schema and versions."""
    drop_in = Agent.objects.get()
    links = (Link(drop_in.slug, "handoff"), Link(drop_in.slug, "as_tool", "ask", "For all that is hard."))
    schema = {"type": "object", "properties": {"a" * 80: {"type": "string"}}}
    row = create_agent(
        "desk/" + "billing-" * 10, Definition(instructions="Be brief.\n" * 20, links=links), actor="tests"
    )
    change_agent(row, actor="tests", instructions="Be brief.\n" * 19 + "x" * 300, output_schema=schema)
    page = f"/admin/agents_app/agent/{row.pk}"
    return [
        f"/admin/agents_app/agent/{drop_in.pk}/change/",
        *(f"{page}/{name}/" for name in ("change", "versions", "versions/1", "versions/2")),
    ]


@pytest.mark.parametrize(
    ("width", "is_dark"), [(1400, False), (1400, True), (390, False)], ids=["light", "dark", "phone"]
)
def test_no_page_complains_is_too_wide_or_shuts_people_out(
    page: Page, live_server: LiveServer, width: int, is_dark: bool
) -> None:
    page.emulate(width=width, height=844, is_dark=is_dark)
    forms = [
        f"{path}add/"
        for path in LISTS
        if not path.endswith(
            ("healthsample/", "mcptool/", "usagerecord/", "spendcounter/", "run/", "change/", "unpriced/")
        )
    ]
    key, upstream, route = ApiKey.objects.earliest("pk"), Upstream.objects.get(), Route.objects.get()
    forms += [
        *agent_pages(),
        f"/admin/tools_app/tool/{Tool.objects.get().pk}/change/",
        f"/admin/tools_app/tool/{Tool.objects.get().pk}/try/",
        f"/admin/tools_app/mcpserver/{McpServer.objects.get().pk}/change/",
        f"/admin/tools_app/mcptool/{McpTool.objects.get().pk}/change/",
        f"/admin/tools_app/mcptool/{McpTool.objects.get().pk}/decide/",
        f"/admin/agents_app/run/{Run.objects.get().pk}/change/",
        f"/admin/usage_app/usagerecord/{Run.objects.get().pk}/change/",
        f"/admin/usage_app/pricechange/{PriceChange.objects.get().pk}/change/",
        f"/admin/security_app/apikey/{key.pk}/change/",
        f"/admin/upstreams_app/upstream/{upstream.pk}/change/",
        f"/admin/upstreams_app/route/{route.pk}/change/",
        f"/admin/auth/user/{User.objects.get(username='admin').pk}/change/",
        "/admin/password_change/",
    ]

    for path in ("/admin/", *LISTS, *forms):
        page.open(live_server.url + path)
        assert_good(page)


def test_a_new_key_can_be_copied_and_is_gone_on_reload(page: Page, live_server: LiveServer) -> None:
    page.open(f"{live_server.url}/admin/security_app/apikey/add/")
    page.fill("#id_name", "made in a browser")
    page.click_through("button[name=_save]")

    plain = page.evaluate("document.getElementById('plain-key').value")
    row = ApiKey.objects.get(name="made in a browser")
    assert plain.startswith("sk-gw-")
    assert page.evaluate("location.pathname") == f"/admin/security_app/apikey/{row.pk}/change/"

    page.click("[data-copy=plain-key]")
    page.wait_for("document.querySelector('[data-copy=plain-key]').textContent.trim() !== 'Copy key'")
    page.open(f"{live_server.url}/admin/security_app/apikey/{row.pk}/change/")

    assert plain not in page.evaluate("document.documentElement.outerHTML")
    assert ApiKey.objects.filter(name="made in a browser").count() == 1
    assert page.complaints == []


def test_choosing_a_kind_proposes_its_address(page: Page, live_server: LiveServer) -> None:
    page.open(f"{live_server.url}/admin/upstreams_app/upstream/add/")

    def choose(kind: str) -> object:
        page.evaluate(
            f"document.getElementById('id_kind').value = '{kind}';"
            "document.getElementById('id_kind').dispatchEvent(new Event('change'))"
        )
        return page.evaluate("document.getElementById('id_base_url').value")

    assert choose("ollama") == "http://127.0.0.1:11434"
    assert choose("openai") == "https://api.openai.com"
    page.fill("#id_base_url", "https://mine.example")
    assert choose("vllm") == "https://mine.example"


def test_a_button_probes_an_upstream_and_tells_the_result(page: Page, live_server: LiveServer) -> None:
    demo = Upstream.objects.create(name="demo", kind="demo", path_prefix="")
    page.open(f"{live_server.url}/admin/upstreams_app/upstream/{demo.pk}/change/")

    page.click_through("form[action$='/probe/'] button")

    assert "demo answered its probe" in page.evaluate("document.body.innerText")
    assert page.complaints == []


def test_a_new_tools_form_shows_the_part_of_its_kind(page: Page, live_server: LiveServer) -> None:
    page.open(f"{live_server.url}/admin/tools_app/tool/add/")
    shown = "['python_callable', 'http_url', 'agent_id'].filter(name => document.getElementById('id_' + name)"
    shown += ".offsetParent !== null).join()"

    choose = "const kind = document.getElementById('id_kind'); kind.value = '{}';"
    choose += "kind.dispatchEvent(new Event('change'))"
    for kind, field in (("http", "http_url"), ("agent", "agent_id"), ("python", "python_callable")):
        page.evaluate("(() => {" + choose.format(kind) + "})()")
        assert page.evaluate(shown) == field
