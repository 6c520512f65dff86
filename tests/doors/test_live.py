"""The live page's WebSocket at a running server: who may watch, what arrives, and how it ends."""

from __future__ import annotations

import base64
import secrets
import socket
import time
from collections.abc import Iterator

import httpx
import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from tests.doors.gateway import Gateway, Template
from tests.doors.live import sign_in, watching, write_account
from tests.doors.rows import MODEL, OTHER_KEY
from tests.fakes.vendor import FakeVendor
from usage_app.consumers import _has_permission

ASK = {"model": MODEL, "messages": [{"role": "user", "content": "A secret question"}]}
STALL_S = 0.5
# A text message of one character, behind a mask that changes nothing.
BAD_FRAME = b"\x81\x81\0\0\0\0x"


@pytest.fixture(scope="module")
def live_gateway(template: Template) -> Iterator[Gateway]:
    """A gateway that lets three pages in, and knows alice, who may watch, and charlie, who may not."""
    limits = {
        "GATEWAY_LIVE_MAX_CONNECTIONS": "3",
        "GATEWAY_HEAD_TIMEOUT_S": "0.5",
        "GATEWAY_CLIENT_STALL_S": str(STALL_S),
    }
    with Gateway(template.copy(), **limits) as running:
        write_account(running, "alice")
        write_account(running, "charlie", may_view=False)
        yield running


@pytest.fixture(scope="module")
def alice(live_gateway: Gateway) -> Iterator[str]:
    """The session of a person who may see the ledger, and who has one page open all the time.

    With Valkey the first page has to wait until every process knows of it; so no other page is the first.
    """
    session = sign_in(live_gateway, "alice")
    with watching(live_gateway, session, key="nobody"):
        yield session


@pytest.fixture
def caller(live_gateway: Gateway, vendor: FakeVendor) -> Iterator[httpx.Client]:
    """Who makes the requests that are watched."""
    with live_gateway.client() as client:
        yield client


def ask(caller: httpx.Client, model: str = MODEL, key: str = "") -> str:
    """A request; its id."""
    headers = {"authorization": f"Bearer {key}"} if key else {}
    answer = caller.post("/v1/chat/completions", json={**ASK, "model": model}, headers=headers)
    return str(answer.headers["x-request-id"])


def test_a_finished_request_arrives_with_what_the_ledger_says(
    live_gateway: Gateway, alice: str, caller: httpx.Client
) -> None:
    with watching(live_gateway, alice) as watcher:
        request_id = ask(caller)
        event = watcher.events_until(request_id)[request_id]

    record = live_gateway.record(request_id)
    assert (event["model"], event["upstream"], event["key"], event["status"]) == (MODEL, "fake", "alice", 200)
    assert event["input_tokens"] == record["input_tokens"]
    assert float(event["cost_usd"]) == record["cost"] / 1e9
    assert abs(event["at_ms"] / 1000 - time.time()) < 60
    assert "secret" not in str(event)


def test_each_of_200_requests_is_shown_or_counted_as_dropped(
    live_gateway: Gateway, alice: str, caller: httpx.Client
) -> None:
    with watching(live_gateway, alice) as watcher:
        # Behind it nothing of other tests comes any more.
        watcher.events_until(ask(caller))
        sent = {ask(caller) for _ in range(200)}
        seen: list[str] = []
        dropped = 0
        while len(seen) + dropped < 200:
            message = watcher.until("events")
            assert len(message["events"]) <= 200
            seen += [event["id"] for event in message["events"]]
            dropped += message["dropped"]

    assert len(seen) == len(set(seen))
    assert set(seen) <= sent
    assert len(seen) + dropped == 200


def test_a_filter_of_the_address_or_of_a_message_holds(
    live_gateway: Gateway, alice: str, caller: httpx.Client
) -> None:
    with watching(live_gateway, alice, key="BOB") as watcher:
        alices, bobs = ask(caller), ask(caller, key=OTHER_KEY)
        assert alices not in watcher.events_until(bobs)

        watcher.send(type="filter", errors_only=True)
        assert watcher.until("filter")["errors_only"] is True
        good, failed = ask(caller), ask(caller, "gone/fake-chat")
        assert good not in watcher.events_until(failed)


def test_a_bad_message_is_told_and_changes_nothing(
    live_gateway: Gateway, alice: str, caller: httpx.Client, subtests: pytest.Subtests
) -> None:
    texts = ("", "nonsense", "[]", '{"type":"other"}', '{"type":"filter","colour":"red"}', "x" * 5000)
    with watching(live_gateway, alice) as watcher:
        for text in texts:
            with subtests.test(text=text[:40]):
                watcher.connection.send(text)
                assert watcher.until("error")["message"]

                request_id = ask(caller)
                assert request_id in watcher.events_until(request_id)


@pytest.mark.parametrize("origin", [None, "null", "https://evil.example", "http://127.0.0.1:1"])
def test_another_sites_page_is_refused(live_gateway: Gateway, alice: str, origin: str | None) -> None:
    with pytest.raises(InvalidStatus) as refused, watching(live_gateway, alice, origin=origin):
        pass

    assert refused.value.response.status_code == 403


def test_strangers_and_people_without_the_permission_are_refused(live_gateway: Gateway) -> None:
    for session in ("", "made-up", sign_in(live_gateway, "charlie")):
        with pytest.raises(InvalidStatus) as refused, watching(live_gateway, session):
            pass

        assert refused.value.response.status_code == 403


@pytest.mark.parametrize("path", ["/", "/v1/chat/completions", "/admin/live/", "/admin/live/socket/"])
def test_there_is_no_other_websocket(live_gateway: Gateway, alice: str, path: str) -> None:
    headers = {"cookie": f"gateway_session={alice}", "origin": live_gateway.url}

    address = f"ws://127.0.0.1:{live_gateway.port}{path}"
    with (
        pytest.raises(InvalidStatus) as refused,
        connect(address, additional_headers=headers, proxy=None),
    ):
        pass

    assert refused.value.response.status_code == 403


def test_who_may_not_watch_any_more_is_sent_away(live_gateway: Gateway, alice: str) -> None:
    another = sign_in(live_gateway, "alice")
    with watching(live_gateway, another) as watcher:
        live_gateway.database.execute("DELETE FROM django_session WHERE session_key = %s", another)

        with pytest.raises(ConnectionClosed) as closed:
            watcher.until("nothing")

    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 4403


@pytest.mark.django_db
@pytest.mark.parametrize(
    "change", ["signed out", "no permission", "not active", "not staff", "other password"]
)
def test_a_person_may_watch_until_this_changes(change: str) -> None:
    dora = User.objects.create_user("dora", is_staff=True)
    dora.user_permissions.add(Permission.objects.get(codename="view_usagerecord"))
    browser = Client()
    browser.force_login(dora)
    session_key = browser.cookies["gateway_session"].value
    assert _has_permission(session_key)

    match change:
        case "signed out":
            browser.logout()
        case "no permission":
            dora.user_permissions.clear()
        case "other password":
            dora.set_password("another one")
            dora.save()
        case "not active":
            User.objects.update(is_active=False)
        case _:
            User.objects.update(is_staff=False)

    assert not _has_permission(session_key)


def test_there_is_room_for_so_many_pages_only(live_gateway: Gateway, alice: str) -> None:
    with (
        watching(live_gateway, alice),
        watching(live_gateway, alice),
        pytest.raises(ConnectionClosed) as closed,
        watching(live_gateway, alice),
    ):
        pass

    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1013
    with watching(live_gateway, alice):
        pass


def open_without_reading(gateway: Gateway, session: str) -> socket.socket:
    """A page that takes nothing, not even the answer to its handshake, and has little room for it."""
    opened = socket.socket()
    opened.settimeout(10)
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 536)
    opened.connect(("127.0.0.1", gateway.port))
    opened.sendall(
        f"GET /admin/live/socket HTTP/1.1\r\nHost: 127.0.0.1:{gateway.port}\r\nOrigin: {gateway.url}\r\n"
        f"Cookie: gateway_session={session}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {base64.b64encode(secrets.token_bytes(16)).decode()}\r\n"
        "Sec-WebSocket-Version: 13\r\n\r\n".encode()
    )
    return opened


def test_a_page_that_reads_nothing_is_cut_off_and_harms_nobody(
    live_gateway: Gateway, alice: str, caller: httpx.Client
) -> None:
    with (
        watching(live_gateway, alice) as watcher,
        open_without_reading(live_gateway, alice) as stuck,
        pytest.raises((ConnectionResetError, BrokenPipeError)),
    ):
        for _ in range(40):
            # Each bad message is answered, until all buffers on the way are full.
            stuck.sendall(BAD_FRAME * 2000)
            request_id = ask(caller)
            assert request_id in watcher.events_until(request_id)


def test_pages_are_sent_away_when_the_server_stops(template: Template, vendor: FakeVendor) -> None:
    with Gateway(template.copy()) as gateway:
        write_account(gateway, "alice")
        with watching(gateway, sign_in(gateway, "alice")) as watcher:
            started = time.monotonic()
            assert gateway.stop() == 0
            with pytest.raises(ConnectionClosed) as closed:
                watcher.until("nothing")

    assert closed.value.rcvd is not None
    # Ours says that the gateway goes away. On a busy machine uvicorn's own comes first, and says that it
    # restarts. To the page both are the same.
    assert closed.value.rcvd.code in (1001, 1012)
    assert time.monotonic() - started < 10
