"""The live page over two server processes with Valkey: a page at one of them sees the requests of both."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import httpx
import pytest
from websockets.exceptions import ConnectionClosed

from bench.soak import sample
from tests.doors.gateway import Gateway, database_template
from tests.doors.live import sign_in, watching, write_account
from tests.doors.rows import MODEL
from tests.fakes.vendor import FakeVendor
from tests.services import ValkeyServer, wait_until

ASK = {"model": MODEL, "messages": [{"role": "user", "content": "Hi"}]}


@pytest.fixture(scope="module")
def pair(shared_vendor: FakeVendor, shared_postgres_url: str, shared_valkey_url: str) -> Iterator[Gateway]:
    """A gateway of two processes that knows alice."""
    with (
        database_template(shared_vendor.port, shared_postgres_url) as template,
        Gateway(template.copy(), WEB_CONCURRENCY="2", REDIS_URL=shared_valkey_url) as running,
    ):
        write_account(running, "alice")
        yield running


@pytest.fixture
def callers(pair: Gateway, vendor: FakeVendor) -> Iterator[list[httpx.Client]]:
    """A caller on a kept connection to each of the processes."""
    with ExitStack() as opened:
        found: dict[int, httpx.Client] = {}

        def reach_another() -> bool:
            client = opened.enter_context(pair.client())
            before = connections(pair)
            client.get("/health")
            for pid, count in connections(pair).items():
                if count > before.get(pid, 0):
                    found.setdefault(pid, client)
            return len(found) == 2

        wait_until(reach_another, 20, "a connection to each process")
        yield list(found.values())


def connections(gateway: Gateway) -> dict[int, int]:
    """How many client connections each process holds."""
    return {
        pid: sample([pid], port=gateway.port, upstream_ports=()).client_sockets
        for pid in gateway.server_pids()
    }


def test_a_page_sees_the_requests_of_both(pair: Gateway, callers: list[httpx.Client]) -> None:
    with watching(pair, sign_in(pair, "alice")) as watcher:
        answers = [caller.post("/v1/chat/completions", json=ASK) for caller in callers * 5]
        events = watcher.events(10)

    assert {event["id"] for event in events} == {answer.headers["x-request-id"] for answer in answers}


def test_pages_connect_again_when_valkey_is_back(
    shared_vendor: FakeVendor, shared_postgres_url: str, valkey: ValkeyServer
) -> None:
    with (
        database_template(shared_vendor.port, shared_postgres_url) as template,
        Gateway(template.copy(), REDIS_URL=valkey.url) as gateway,
        gateway.client() as caller,
    ):
        write_account(gateway, "alice")
        session = sign_in(gateway, "alice")
        with watching(gateway, session) as watcher:
            valkey.kill()
            with pytest.raises(ConnectionClosed) as closed:
                watcher.until("nothing")
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1013
        assert caller.post("/v1/chat/completions", json=ASK).status_code == 200

        valkey.start()
        with watching(gateway, session) as watcher:
            answer = caller.post("/v1/chat/completions", json=ASK)
            seen: list[str] = []
            while answer.headers["x-request-id"] not in seen:
                seen += [event["id"] for event in watcher.events(1)]
