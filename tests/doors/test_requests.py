"""Requests that are malformed, slow, huge or hostile get a clear error and reach nobody."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.doors.gateway import Gateway
from tests.doors.rows import KEY, MODEL
from tests.fakes.vendor import FakeVendor

CHAT = "/v1/chat/completions"
ASK: dict[str, Any] = {"model": MODEL, "messages": [{"role": "user", "content": "Hi"}]}


def converse(gateway: Gateway, data: bytes, *, closes: bool = True, timeout_s: float = 10.0) -> bytes:
    """Send bytes as they are; everything that comes back until the gateway closes or says no more."""
    answer = b""
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=timeout_s) as connection:
        connection.sendall(data)
        while piece := connection.recv(65_536):
            answer += piece
            if not closes and b"\r\n\r\n" in answer:
                break
    return answer


def raw_request(body: bytes, *lines: str, length: int | None = None, path: str = CHAT) -> bytes:
    """A request by hand."""
    head = [f"POST {path} HTTP/1.1", "Host: test", f"Authorization: Bearer {KEY}", *lines]
    if length != -1:
        head.append(f"Content-Length: {len(body) if length is None else length}")
    return "\r\n".join([*head, "", ""]).encode() + body


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b'"model"',
        b"{}{}",
        b'{"model":}',
        b'{"model":"a" "b"}',
        b"\xef\xbb\xbf{}",
        b'{"a":01,"model":"x"}',
        b'{"a":NaN}',
        b'{"a":1.}',
        b'{"a":"\x01"}',
        b'{"a":"\\x"}',
        b'{"a":tru}',
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"a":[' + b"[" * 50_000 + b"]" * 50_000 + b"]}",
        json.dumps(ASK).encode("utf-16"),
        b'{"model":"\xff\xfe"}',
        b'{"model":"x","messages":[{"content":"\xc3\x28"}]}',
        b'{"\\ud800":1,"model":"x"}',
        b'{"model":"x","messages":[{"content":"half a character: \\ud83d"}]}',
    ],
)
def test_what_is_no_json_object_is_refused(vendor: FakeVendor, client: httpx.Client, body: bytes) -> None:
    refused = client.post(CHAT, content=body)

    assert refused.status_code == 400, refused.text
    error = refused.json()["error"]
    assert error["type"] == "invalid_request_error"
    assert len(error["message"]) < 300
    assert refused.headers["x-request-id"].startswith("req_")
    assert vendor.requests == []


@pytest.mark.parametrize("model", ["\\u0000", "fake/fake-chat\\u0000", "a\\r\\nb: c", "../admin", "ä" * 264])
def test_a_strange_model_is_not_found(vendor: FakeVendor, client: httpx.Client, model: str) -> None:
    refused = client.post(CHAT, content=b'{"model":"%s","messages":[1]}' % model.encode())

    assert refused.status_code in (400, 404)
    assert refused.json()["error"]["param"] == "model"
    assert vendor.requests == []


def test_a_model_with_many_characters_and_escapes_is_found(vendor: FakeVendor, client: httpx.Client) -> None:
    escaped = "".join(f"\\u{ord(char):04x}" for char in "tëst/route ✓").encode()

    answered = client.post(CHAT, content=b'{"mod\\u0065l":"%s","messages":[{}]}' % escaped)

    assert answered.status_code == 200
    assert answered.json()["model"] == "tëst/route ✓"


def test_the_last_of_duplicate_members_counts_everywhere(vendor: FakeVendor, client: httpx.Client) -> None:
    answered = client.post(
        CHAT, content=b'{"model":"pair","model":"%s","messages":[{}],"n":1,"n":2}' % MODEL.encode()
    )

    assert answered.json()["model"] == MODEL
    assert vendor.requests[0].body.count(b'"model"') == vendor.requests[0].body.count(b'"n"') == 1
    assert vendor.requests[0].json["n"] == 2


@pytest.mark.parametrize("user", ['"\\u0000nul"', "7", '{"id":1}', '"' + "u" * 5000 + '"', '"a\\nb"'])
def test_any_user_is_served_and_kept(
    vendor: FakeVendor, client: httpx.Client, gateway: Gateway, user: str
) -> None:
    body = b'{"model":"%s","messages":[{}],"user":%s}' % (MODEL.encode(), user.encode())

    answered = client.post(CHAT, content=body)

    assert answered.status_code == 200
    record = gateway.record(answered.headers["x-request-id"])
    assert len(record["end_user"]) <= 256
    assert "\0" not in record["end_user"]
    assert b'"user":' + user.encode() in vendor.requests[0].body


def test_tools_and_parameters_may_be_empty(vendor: FakeVendor, client: httpx.Client) -> None:
    answered = client.post(
        CHAT, json={**ASK, "tools": [], "stop": None, "stream": None, "stream_options": None}
    )

    assert answered.status_code == 200
    assert vendor.requests[0].json["tools"] == []


@pytest.mark.parametrize("path", ["/v1/completions", "/v1/embeddings", CHAT])
def test_what_must_be_there_is_named(client: httpx.Client, path: str) -> None:
    required = {"/v1/completions": "prompt", "/v1/embeddings": "input", CHAT: "messages"}[path]

    refused = client.post(path, json={"model": MODEL})
    nameless = client.post(path, json={required: "x"})

    assert (refused.status_code, refused.json()["error"]["param"]) == (400, required)
    assert (nameless.status_code, nameless.json()["error"]["param"]) == (400, "model")


@pytest.mark.parametrize("is_chunked", [False, True], ids=["content-length", "chunked"])
def test_a_body_beyond_the_limit_is_413(vendor: FakeVendor, client: httpx.Client, is_chunked: bool) -> None:
    body = json.dumps({**ASK, "padding": "x" * 3_000_000}).encode()

    def pieces() -> Iterator[bytes]:
        for start in range(0, len(body), 50_000):
            yield body[start : start + 50_000]

    refused = client.post(CHAT, content=pieces() if is_chunked else body)

    assert refused.status_code == 413
    assert refused.json()["error"]["code"] == "request_too_large"
    assert vendor.requests == []
    assert client.post(CHAT, json=ASK).status_code == 200


def test_a_declared_size_beyond_the_limit_is_refused_before_the_body(gateway: Gateway) -> None:
    answer = converse(gateway, raw_request(b"", length=10**12), closes=False)

    assert answer.startswith(b"HTTP/1.1 413 ")


def test_a_client_that_waits_for_leave_sends_no_large_body(gateway: Gateway) -> None:
    answer = converse(gateway, raw_request(b"", "Expect: 100-continue", length=10**9), closes=False)

    assert answer.startswith(b"HTTP/1.1 413 ")


@pytest.mark.parametrize("start", [b"", b'{"model":'], ids=["nothing", "a part"])
def test_a_slow_body_is_408(gateway: Gateway, vendor: FakeVendor, start: bytes) -> None:
    started = time.monotonic()

    answer = converse(gateway, raw_request(start, length=500))

    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"connection: close" in answer.lower()
    assert b"request_timeout" in answer
    assert time.monotonic() - started > 0.4


def test_a_body_that_stops_halfway_harms_nobody(
    gateway: Gateway, client: httpx.Client, vendor: FakeVendor
) -> None:
    with socket.create_connection(("127.0.0.1", gateway.port)) as connection:
        connection.sendall(raw_request(b'{"model":', length=500))

    assert client.post(CHAT, json=ASK).status_code == 200
    assert len(vendor.requests) == 1


@pytest.mark.parametrize(
    "headers",
    [
        {"content-type": "multipart/form-data; boundary=x"},
        {"content-type": "application/json", "content-encoding": "gzip"},
        {"content-type": "application/json", "content-encoding": "br"},
    ],
)
def test_other_encodings_are_415(client: httpx.Client, headers: dict[str, str]) -> None:
    refused = client.post(CHAT, content=b"x" * 100, headers=headers)

    assert refused.status_code == 415
    assert refused.json()["error"]["code"] == "unsupported_media_type"


@pytest.mark.parametrize(
    "content_type", [None, "text/plain", "application/json; charset=utf-8", "application/JSON"]
)
def test_json_is_read_whatever_it_is_called(
    vendor: FakeVendor, client: httpx.Client, content_type: str | None
) -> None:
    headers = {"content-type": content_type} if content_type else {}

    assert client.post(CHAT, content=json.dumps(ASK), headers=headers).status_code == 200


@pytest.mark.parametrize("header", ["x-client-request-id", "x-request-id"])
def test_the_clients_request_id_is_echoed_and_kept(
    vendor: FakeVendor, client: httpx.Client, gateway: Gateway, header: str
) -> None:
    answered = client.post(CHAT, json=ASK, headers={header.encode(): "chat-42/ü".encode()})

    assert answered.headers["x-client-request-id"] == "chat-42/??"
    assert answered.headers["x-request-id"].startswith("req_")
    assert gateway.record(answered.headers["x-request-id"])["correlation_id"] == "chat-42/??"


def test_a_long_request_id_is_cut(vendor: FakeVendor, client: httpx.Client, gateway: Gateway) -> None:
    answered = client.post(CHAT, json=ASK, headers={"x-client-request-id": "i" * 4000})

    assert answered.headers["x-client-request-id"] == "i" * 128
    assert gateway.record(answered.headers["x-request-id"])["correlation_id"] == "i" * 128


@pytest.mark.parametrize(
    "request_bytes",
    [
        raw_request(b"{}", "x-client-request-id: a\r\n b: c"),
        raw_request(b"{}", "x-client-request-id: a\rx-evil: 1"),
        raw_request(b"{}", "x-client-request-id: a\0b"),
        raw_request(b"{}", "Content-Length: 5"),
        raw_request(b"0\r\n\r\n", "Transfer-Encoding: chunked", length=3),
        b"GET / HTTP/9.9\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00",
        raw_request(b"{}", "x: " + "y" * 200_000),
    ],
    ids=["folded", "cr", "nul", "two-lengths", "smuggled", "version", "tls", "huge-header"],
)
def test_hostile_heads_inject_nothing(gateway: Gateway, vendor: FakeVendor, request_bytes: bytes) -> None:
    try:
        answer = converse(gateway, request_bytes, closes=False, timeout_s=3)
    except (TimeoutError, ConnectionError):
        answer = b""

    head = answer.partition(b"\r\n\r\n")[0].lower()
    assert b"\r\nx-evil" not in head
    assert b"\r\nb: c" not in head
    assert answer == b"" or answer.startswith(b"HTTP/1.1 4")
    assert vendor.requests == []


def test_bearer_x_api_key_and_api_key_all_open_the_door(vendor: FakeVendor, gateway: Gateway) -> None:
    ways = [
        {"authorization": f"Bearer {KEY}"},
        {"authorization": f"bearer  {KEY}"},
        {"x-api-key": KEY},
        {"api-key": KEY},
        {"authorization": "Basic dXNlcjpwYXNz", "x-api-key": KEY},
        {"authorization": "Bearer", "api-key": KEY},
        {"authorization": f"Bearer {KEY}", "x-api-key": KEY},
    ]

    with gateway.client("") as client:
        assert [client.get("/v1/models", headers=headers).status_code for headers in ways] == [200] * len(
            ways
        )
        assert client.get("/v1/models").status_code == 401
        assert client.get("/v1/models", headers={"cookie": f"key={KEY}"}).status_code == 401
        assert client.get(f"/v1/models?api-key={KEY}&key={KEY}").status_code == 401


def test_a_refused_request_leaves_the_connection_usable(vendor: FakeVendor, gateway: Gateway) -> None:
    bad = raw_request(b"{", path=CHAT)
    good = raw_request(json.dumps(ASK).encode(), "Connection: close")

    answers = converse(gateway, bad + good)

    assert answers.startswith(b"HTTP/1.1 400 ")
    assert b"HTTP/1.1 200 " in answers
