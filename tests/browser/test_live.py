"""The live page in a real browser: requests appear as they finish, are filtered, and pass while paused."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import UUID

import httpx
import pytest

from tests.browser.accessibility import assert_good
from tests.browser.chromium import Page
from tests.browser.session import sign_in
from tests.doors.gateway import Gateway, database_template, run_database_url
from tests.doors.live import PASSWORD, write_account
from tests.doors.rows import MODEL, OTHER_KEY
from tests.fakes.vendor import FakeVendor

pytestmark = pytest.mark.browser
ROWS = "document.querySelectorAll('#live-rows tr[id^=req_]').length"


@pytest.fixture(scope="module")
def vendor() -> Iterator[FakeVendor]:
    """The vendor behind the upstreams of tests/doors/rows.py."""
    with FakeVendor() as running:
        yield running


@pytest.fixture(scope="module")
def gateway(vendor: FakeVendor) -> Iterator[Gateway]:
    """A server of its own that knows alice, who may see the ledger."""
    with (
        database_template(vendor.port, run_database_url()) as template,
        Gateway(template.copy()) as running,
    ):
        write_account(running, "alice")
        yield running


@pytest.fixture(scope="module")
def alices_browser(browser: Page, gateway: Gateway) -> Page:
    """A browser in which alice has signed in."""
    sign_in(browser, gateway.url, "alice", PASSWORD, "/admin/live/")
    return browser


@pytest.fixture
def page(alices_browser: Page, gateway: Gateway) -> Page:
    """The live page, connected."""
    alices_browser.emulate(width=1400, height=900, is_dark=False)
    alices_browser.complaints.clear()
    open_live(alices_browser, gateway)
    return alices_browser


@pytest.fixture
def caller(gateway: Gateway) -> Iterator[httpx.Client]:
    """Who makes the requests."""
    with gateway.client() as client:
        yield client


def open_live(page: Page, gateway: Gateway, query: str = "") -> None:
    page.open(f"{gateway.url}/admin/live/{query}")
    page.wait_for("document.getElementById('live-state').textContent === 'Live'")


def ask(caller: httpx.Client, model: str = MODEL, key: str = "") -> str:
    headers = {"authorization": f"Bearer {key}"} if key else {}
    body = {"model": model, "messages": [{"role": "user", "content": "Hi"}]}
    return str(caller.post("/v1/chat/completions", json=body, headers=headers).headers["x-request-id"])


def ids(page: Page) -> list[str]:
    rows = page.evaluate("[...document.querySelectorAll('#live-rows tr[id^=req_]')].map((row) => row.id)")
    assert isinstance(rows, list)
    return rows


def text(page: Page, name: str) -> str:
    return str(page.evaluate(f"document.getElementById('live-{name}').textContent"))


def test_requests_appear_at_the_top_and_lead_to_their_records(
    page: Page, gateway: Gateway, caller: httpx.Client
) -> None:
    first = ask(caller)
    page.wait_for(f"{ROWS} === 1")
    second = ask(caller, "gone/fake-chat")
    page.wait_for(f"{ROWS} === 2")

    assert ids(page) == [second, first]
    assert text(page, "count") == "2 requests shown"
    assert page.evaluate(f"document.querySelector('#{second} .live-status').dataset.outcome") == "server"
    page.click_through(f"#{first} a")
    record = f"/admin/usage_app/usagerecord/{UUID(first.removeprefix('req_'))}/change/"
    assert page.evaluate("location.pathname") == record
    assert page.complaints == []


def test_200_requests_are_all_shown_or_counted(page: Page, caller: httpx.Client) -> None:
    for _ in range(200):
        ask(caller)

    dropped = "(Number.parseInt(document.getElementById('live-dropped').textContent, 10) || 0)"
    page.wait_for(f"{ROWS} + {dropped} === 200")
    assert page.complaints == []


def test_what_passes_while_paused_is_counted_but_not_shown(page: Page, caller: httpx.Client) -> None:
    page.click("#live-pause")
    assert text(page, "state") == "Paused"
    ask(caller)
    ask(caller)

    page.wait_for("document.getElementById('live-missed').textContent === '2 requests passed while paused'")
    assert ids(page) == []
    page.click("#live-pause")
    third = ask(caller)
    page.wait_for(f"{ROWS} === 1")
    assert ids(page) == [third]
    assert text(page, "state") == "Live"


def test_a_filter_holds_at_once_and_is_in_the_address(
    page: Page, gateway: Gateway, caller: httpx.Client
) -> None:
    page.fill("#live-key", "bob")
    page.click("#live-filter button[type=submit]")
    assert page.evaluate("location.search") == "?key=bob"
    ask(caller)
    bobs = ask(caller, key=OTHER_KEY)
    page.wait_for(f"{ROWS} === 1")
    assert ids(page) == [bobs]

    open_live(page, gateway, "?errors_only=1&outcome=server")
    assert page.evaluate("document.getElementById('live-errors').checked")
    ask(caller)
    failed = ask(caller, "gone/fake-chat")
    page.wait_for(f"{ROWS} === 1")
    assert ids(page) == [failed]
    assert page.complaints == []


def test_only_500_rows_are_kept(page: Page, caller: httpx.Client) -> None:
    page.evaluate(
        "document.getElementById('live-rows').append(...Array.from({length: 600}, () => {"
        "const row = document.createElement('tr'); row.id = 'req_x' + Math.random(); return row; }))"
    )

    ask(caller)

    page.wait_for(f"{ROWS} === 500")


@pytest.mark.parametrize(
    ("width", "is_dark"),
    [(1400, False), (1400, True), (390, False), (390, True)],
    ids=["light", "dark", "phone", "dark phone"],
)
def test_it_is_accessible_and_fits(
    page: Page, gateway: Gateway, caller: httpx.Client, width: int, is_dark: bool
) -> None:
    page.emulate(width=width, height=844, is_dark=is_dark)
    open_live(page, gateway)
    for model in (MODEL, "gone/fake-chat", "narrow/fake-chat"):
        ask(caller, model)
    page.wait_for(f"{ROWS} === 3")

    assert_good(page)


def test_it_connects_again_after_a_restart(page: Page, gateway: Gateway, caller: httpx.Client) -> None:
    gateway.stop()
    page.wait_for("document.getElementById('live-state').dataset.state === 'connecting'")
    gateway.start()
    page.wait_for("document.getElementById('live-state').textContent === 'Live'")

    seen = ask(caller)
    page.wait_for(f"{ROWS} === 1")
    assert ids(page) == [seen]


def test_who_may_not_watch_any_more_is_told(page: Page, gateway: Gateway) -> None:
    write_account(gateway, "alice", may_view=False)
    try:
        page.wait_for("document.getElementById('live-state').dataset.state === 'ended'")
    finally:
        write_account(gateway, "alice")
