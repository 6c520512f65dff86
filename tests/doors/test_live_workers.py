"""The live page over two server processes with Valkey: a page at one of them sees the requests of both."""

from __future__ import annotations

import httpx
import pytest
from websockets.exceptions import ConnectionClosed

from tests.doors.gateway import Gateway, Template
from tests.doors.live import sign_in, watching, write_account
from tests.doors.rows import KEY, MODEL
from tests.fakes.vendor import FakeVendor
from tests.services import ValkeyServer

ASK = {"model": MODEL, "messages": [{"role": "user", "content": "Hi"}]}


def test_a_page_sees_the_requests_of_both(
    vendor: FakeVendor, pair_gateway: Gateway, pair_clients: list[httpx.Client]
) -> None:
    with watching(pair_gateway, sign_in(pair_gateway, "alice")) as watcher:
        answers = [
            client.post("/v1/chat/completions", json=ASK, headers={"x-api-key": KEY})
            for client in pair_clients * 5
        ]
        asked = {answer.headers["x-request-id"] for answer in answers}
        seen = watcher.events_until(*asked)

    assert len(asked) == 10
    assert seen.keys() >= asked


def test_pages_connect_again_when_valkey_is_back(
    vendor: FakeVendor, postgres_template: Template, valkey: ValkeyServer
) -> None:
    with (
        Gateway(postgres_template.copy(), REDIS_URL=valkey.url) as gateway,
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
            watcher.events_until(answer.headers["x-request-id"])
