"""The fake vendor does what its scripts say, so that a failing test means a fault of ours."""

from __future__ import annotations

import base64
import json
import socket
import struct
import threading
import time
from collections.abc import Iterator

import httpx
import pytest

from tests.fakes import bodies
from tests.fakes.behaviours import (
    Behaviour,
    chat,
    close_before_answer,
    dripping_headers,
    error,
    error_event,
    garbage,
    gzipped,
    hang_before_headers,
    huge,
    json_answer,
    not_json,
    rate_limited,
    raw,
    redirect,
    slow_headers,
    stream,
    truncated,
)
from tests.fakes.exchange import Exchange, Gate
from tests.fakes.vendor import FakeVendor
from tests.services import TRUSTS_NOBODY

ASK = {"model": "fake-chat", "messages": [{"role": "user", "content": "Hi"}]}
STREAM = {**ASK, "stream": True, "stream_options": {"include_usage": True}}


@pytest.fixture
def vendor() -> Iterator[FakeVendor]:
    """A vendor on a good day."""
    with FakeVendor() as running:
        yield running


@pytest.fixture
def client(vendor: FakeVendor) -> Iterator[httpx.Client]:
    """A client of the vendor; without proxies of the environment."""
    with httpx.Client(
        base_url=f"{vendor.url}/v1", timeout=5, trust_env=False, verify=TRUSTS_NOBODY
    ) as connected:
        yield connected


def data_of(text: str) -> list[str]:
    """The data of each event."""
    return [line.removeprefix("data: ") for line in text.splitlines() if line.startswith("data: ")]


def test_unscripted_requests_get_good_answers(client: httpx.Client) -> None:
    plain = client.post("/chat/completions", json=ASK).json()
    streamed = data_of(client.post("/chat/completions", json=STREAM).text)
    text = client.post("/completions", json={"model": "fake-chat", "prompt": "Hi"}).json()

    assert plain["choices"][0]["message"]["content"] == "Hello from the fake 🌍"
    assert plain["model"] == "fake-chat"
    assert streamed[-1] == "[DONE]"
    assert json.loads(streamed[-2])["usage"] == plain["usage"] == bodies.USAGE
    assert text["choices"][0]["text"] == "Hello from the fake 🌍"
    assert [model["id"] for model in client.get("/models").json()["data"]] == ["fake-chat", "fake-embedding"]
    assert client.get("/nowhere").status_code == 404


def test_embeddings_come_as_floats_or_base64(client: httpx.Client) -> None:
    ask = {"model": "fake-embedding", "input": ["a", "b"]}

    floats = client.post("/embeddings", json=ask).json()["data"]
    packed = client.post("/embeddings", json={**ask, "encoding_format": "base64"}).json()["data"]

    assert [item["embedding"] for item in floats] == [[0.6, -0.8, 0.0]] * 2
    decoded = struct.unpack("<3f", base64.b64decode(packed[1]["embedding"]))
    assert decoded == pytest.approx([0.6, -0.8, 0.0])


def test_requests_are_recorded_as_sent(vendor: FakeVendor, client: httpx.Client) -> None:
    client.post("/chat/completions?a=1", content=iter([b'{"model"', b': "m"}']), headers={"X-One": "1"})

    (request,) = vendor.requests
    assert (request.method, request.target, request.path) == (
        "POST",
        "/v1/chat/completions?a=1",
        "/v1/chat/completions",
    )
    assert request.header("x-one") == "1"
    assert ("X-One", "1") in request.headers
    assert request.body == b'{"model": "m"}'
    request.wait_finished()
    assert not request.aborted.is_set()


def test_scripts_are_used_up_in_order_then_what_stands_applies(
    vendor: FakeVendor, client: httpx.Client
) -> None:
    vendor.always(error(503), model="sick")
    vendor.script(error(500), rate_limited("3"))
    vendor.script(error(401), model="other")
    vendor.on_path("/v1/models", error(403))

    def status(model: str) -> int:
        return client.post("/chat/completions", json={**ASK, "model": model}).status_code

    assert [status("other"), status("fake-chat"), status("sick")] == [401, 500, 429]
    assert [status("sick"), status("sick"), status("other")] == [503, 503, 200]
    assert client.get("/models").status_code == 403
    vendor.reset()
    assert status("sick") == 200
    assert len(vendor.requests) == 1


def test_connections_are_kept_and_counted(vendor: FakeVendor, client: httpx.Client) -> None:
    for _ in range(3):
        client.post("/chat/completions", json=ASK)

    assert (vendor.connections_total, vendor.connections_open) == (1, 1)
    assert [request.number_on_connection for request in vendor.requests] == [1, 2, 3]
    vendor.close_connections()
    vendor.wait_until(lambda: vendor.connections_open == 0, "closed connections")
    assert client.post("/chat/completions", json=ASK).status_code == 200
    assert vendor.connections_total == 2


@pytest.mark.parametrize(
    ("behaviour", "fault"),
    [
        (close_before_answer(), httpx.RemoteProtocolError),
        (garbage(), httpx.RemoteProtocolError),
        (stream([b"data: {}\n\n"], ending="close"), httpx.RemoteProtocolError),
        (stream([b"data: {}\n\n"], ending="reset"), httpx.ReadError),
        (truncated(b'{"a":', 100), httpx.RemoteProtocolError),
        (hang_before_headers(), httpx.ReadTimeout),
        (stream([b"data: {}\n\n"], ending="hang"), httpx.ReadTimeout),
        (dripping_headers(0.15), httpx.ReadTimeout),
    ],
)  # fmt: skip
def test_faults_look_to_a_client_as_they_should(
    vendor: FakeVendor, behaviour: Behaviour, fault: type[Exception]
) -> None:
    vendor.script(behaviour)
    timeout = httpx.Timeout(10, read=0.1 if fault is httpx.ReadTimeout else 10)

    with httpx.Client(timeout=timeout, trust_env=False, verify=TRUSTS_NOBODY) as client, pytest.raises(fault):
        client.post(f"{vendor.url}/v1/chat/completions", json=ASK)


def test_a_reused_connection_alone_can_be_closed(vendor: FakeVendor, client: httpx.Client) -> None:
    vendor.always(close_before_answer(only_if_reused=True))

    assert client.post("/chat/completions", json=ASK).status_code == 200
    with pytest.raises(httpx.RemoteProtocolError):
        client.post("/chat/completions", json=ASK)
    assert client.post("/chat/completions", json=ASK).status_code == 200


def test_pieces_and_gates_are_under_the_tests_control(vendor: FakeVendor, client: httpx.Client) -> None:
    gate = Gate()
    vendor.script(stream([b"data: \xf0\x9f", gate, b"\x8c\x8d\r\n\r\n", 0.01, b"data: [DONE]\r\n\r\n"]))

    with client.stream("POST", "/chat/completions", json=STREAM) as answered:
        pieces = answered.iter_raw()
        first = next(pieces)
        gate.wait_reached()
        assert not vendor.requests[0].finished.is_set()
        gate.open()
        rest = list(pieces)

    assert first == b"data: \xf0\x9f"
    assert b"".join(rest) == b"\x8c\x8d\r\n\r\ndata: [DONE]\r\n\r\n"
    vendor.requests[0].wait_finished()


@pytest.mark.parametrize(
    "behaviour", [hang_before_headers(), stream([b"data: {}\n\n"], ending="hang"), huge(50_000_000)]
)
def test_a_client_that_leaves_is_noticed_at_once(vendor: FakeVendor, behaviour: Behaviour) -> None:
    vendor.script(behaviour)
    body = bodies.encode(ASK)
    connection = socket.create_connection(("127.0.0.1", vendor.port))
    connection.sendall(
        b"POST /v1/chat/completions HTTP/1.1\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
    )
    (request,) = vendor.wait_for_requests(1)

    left_at = time.monotonic()
    connection.close()

    assert request.wait_aborted() - left_at < 3
    assert not request.finished.is_set()
    vendor.wait_until(lambda: vendor.connections_open == 0, "the closed connection")


def test_odd_answers(vendor: FakeVendor, client: httpx.Client) -> None:
    vendor.script(
        chat(model="another-name", headers=[("set-cookie", "vendor=1; Path=/")]),
        not_json(),
        redirect("http://elsewhere.invalid/v1/chat/completions"),
        gzipped({"a": 1}),
        json_answer({"not": "a stream"}),
        error_event(),
        stream(bodies.sse_events([{"a": 1}], newline=b"\r\n", has_done=False), is_chunked=False),
        raw(b"HTTP/1.1 204 No Content\r\n\r\n", ending="end"),
    )

    def ask() -> httpx.Response:
        return client.post("/chat/completions", json=STREAM)

    named = ask()
    assert "vendor=1" in named.headers["set-cookie"]
    assert json.loads(data_of(named.text)[0])["model"] == "another-name"
    with pytest.raises(ValueError, match=r"."):
        ask().json()
    assert ask().headers["location"] == "http://elsewhere.invalid/v1/chat/completions"
    compressed = ask()
    assert (compressed.headers["content-encoding"], compressed.json()) == ("gzip", {"a": 1})
    assert ask().headers["content-type"] == "application/json"
    assert json.loads(data_of(ask().text)[-1])["error"]["type"] == "server_error"
    assert ask().content == b'data: {"a":1}\r\n\r\n'
    assert ask().status_code == 204
    assert client.post("/chat/completions", json=ASK).status_code == 200


def test_slow_headers_wait_for_their_gate(vendor: FakeVendor, client: httpx.Client) -> None:
    gate = Gate()
    vendor.script(slow_headers(gate))
    statuses: list[int] = []
    asking = threading.Thread(
        target=lambda: statuses.append(client.post("/chat/completions", json=ASK).status_code)
    )

    asking.start()
    gate.wait_reached()
    assert statuses == []
    gate.open()
    asking.join(5)

    assert statuses == [200]


def test_a_huge_answer_arrives_whole(vendor: FakeVendor, client: httpx.Client) -> None:
    vendor.script(huge(3_000_000))

    content = client.post("/chat/completions", json=ASK).json()["choices"][0]["message"]["content"]

    assert content == "x" * (3_000_000 // 65_536 * 65_536)


def test_a_mistake_in_a_script_fails_the_test() -> None:
    async def mistaken(exchange: Exchange) -> None:
        raise ZeroDivisionError

    with (
        pytest.raises(ZeroDivisionError),
        FakeVendor() as vendor,
        httpx.Client(trust_env=False, verify=TRUSTS_NOBODY) as client,
    ):
        vendor.script(mistaken)
        with pytest.raises(httpx.RemoteProtocolError):
            client.post(f"{vendor.url}/v1/chat/completions", json=ASK)


def test_a_stopped_vendor_refuses_connections(vendor: FakeVendor, client: httpx.Client) -> None:
    vendor.stop()

    with pytest.raises(httpx.ConnectError):
        client.get("/models")
