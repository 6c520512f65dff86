"""The live page's WebSocket at a running server: who may watch, what arrives, and how it ends."""

from __future__ import annotations

import time
from collections.abc import Iterator

import httpx
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from tests.doors.gateway import Gateway, Template
from tests.doors.live import sign_in, watching, write_account
from tests.doors.rows import MODEL, OTHER_KEY
from tests.fakes.vendor import FakeVendor

ASK = {"model": MODEL, "messages": [{"role": "user", "content": "A secret question"}]}


@pytest.fixture(scope="module")
def live_gateway(template: Template) -> Iterator[Gateway]:
    """A gateway that lets two pages in, and knows alice, who may watch, and charlie, who may not."""
    with Gateway(template.copy(), GATEWAY_LIVE_MAX_CONNECTIONS="2", GATEWAY_HEAD_TIMEOUT_S="0.5") as running:
        write_account(running, "alice")
        write_account(running, "charlie", may_view=False)
        yield running


@pytest.fixture(scope="module")
def alice(live_gateway: Gateway) -> str:
    """The session of a person who may see the ledger."""
    return sign_in(live_gateway, "alice")


@pytest.fixture
def caller(live_gateway: Gateway, vendor: FakeVendor) -> Iterator[httpx.Client]:
    """Who makes the requests that are watched."""
    with live_gateway.client() as client:
        yield client


def test_a_finished_request_arrives_with_what_the_ledger_says(
    live_gateway: Gateway, alice: str, caller: httpx.Client
) -> None:
    with watching(live_gateway, alice) as watcher:
        answer = caller.post("/v1/chat/completions", json=ASK)
        (event,) = watcher.events(1)

    request_id = answer.headers["x-request-id"]
    record = live_gateway.record(request_id)
    assert event["id"] == request_id
    assert (event["model"], event["upstream"], event["key"], event["status"]) == (MODEL, "fake", "alice", 200)
    assert event["input_tokens"] == record["input_tokens"]
    assert float(event["cost_usd"]) == record["cost"] / 1e9
    assert abs(event["at_ms"] / 1000 - time.time()) < 60
    assert "secret" not in str(event)


def test_each_of_200_requests_is_shown_or_counted_as_dropped(
    live_gateway: Gateway, alice: str, caller: httpx.Client
) -> None:
    with watching(live_gateway, alice) as watcher:
        sent = {caller.post("/v1/chat/completions", json=ASK).headers["x-request-id"] for _ in range(200)}
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
    def ask(model: str, key: str = "") -> str:
        headers = {"authorization": f"Bearer {key}"} if key else {}
        answer = caller.post("/v1/chat/completions", json={**ASK, "model": model}, headers=headers)
        return str(answer.headers["x-request-id"])

    with watching(live_gateway, alice, key="BOB") as watcher:
        ask(MODEL)
        bobs = ask(MODEL, OTHER_KEY)
        assert [event["id"] for event in watcher.events(1)] == [bobs]

        watcher.send(type="filter", errors_only=True)
        assert watcher.until("filter")["errors_only"] is True
        ask(MODEL)
        failed = ask("gone/fake-chat")
        assert [event["id"] for event in watcher.events(1)] == [failed]


@pytest.mark.parametrize(
    "text", ["", "nonsense", "[]", '{"type":"other"}', '{"type":"filter","colour":"red"}', "x" * 5000]
)
def test_a_bad_message_is_told_and_changes_nothing(
    live_gateway: Gateway, alice: str, caller: httpx.Client, text: str
) -> None:
    with watching(live_gateway, alice) as watcher:
        watcher.connection.send(text)
        assert watcher.until("error")["message"]

        caller.post("/v1/chat/completions", json=ASK)
        assert len(watcher.events(1)) == 1


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


@pytest.mark.parametrize("change", ["signed out", "no permission", "not active", "not staff"])
def test_who_may_not_watch_any_more_is_sent_away(live_gateway: Gateway, change: str) -> None:
    write_account(live_gateway, "dora")
    dora = sign_in(live_gateway, "dora")
    with watching(live_gateway, dora) as watcher:
        if change == "signed out":
            live_gateway.database.execute("DELETE FROM django_session WHERE session_key = %s", dora)
        else:
            flags = {"no permission": "may_view", "not active": "active", "not staff": "staff"}
            write_account(live_gateway, "dora", **{flags[change]: False})

        with pytest.raises(ConnectionClosed) as closed:
            watcher.until("nothing")

    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 4403


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


def test_a_page_that_reads_nothing_harms_nobody(
    live_gateway: Gateway, alice: str, caller: httpx.Client
) -> None:
    with watching(live_gateway, alice), watching(live_gateway, alice) as watcher:
        for _ in range(20):
            caller.post("/v1/chat/completions", json=ASK)

        assert len(watcher.events(20)) == 20


def test_pages_are_sent_away_when_the_server_stops(template: Template, vendor: FakeVendor) -> None:
    with Gateway(template.copy()) as gateway:
        write_account(gateway, "alice")
        with watching(gateway, sign_in(gateway, "alice")) as watcher:
            started = time.monotonic()
            assert gateway.stop() == 0
            with pytest.raises(ConnectionClosed) as closed:
                watcher.until("nothing")

    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1001
    assert time.monotonic() - started < 10
