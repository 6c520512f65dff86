"""The pass-through: an upstream's own API under the gateway's keys, limits and ledger."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from anthropic import Anthropic

from tests.doors import raw
from tests.doors.gateway import Gateway
from tests.doors.rows import KEY, MASTER_KEY, VENDOR_CREDENTIAL
from tests.fakes.behaviours import Behaviour, answer, error, json_answer
from tests.fakes.behaviours import raw as raw_answer
from tests.fakes.exchange import Exchange
from tests.fakes.vendor import FakeVendor

UPSTREAM = {"name": "open", "kind": "openai-compatible", "allows_passthrough": True}
CLAUDE = {**UPSTREAM, "name": "open-claude", "kind": "anthropic"}
GEMINI = {**UPSTREAM, "name": "open-gemini", "kind": "gemini"}
CHAT = {"model": "fake-chat", "messages": [{"role": "user", "content": "Hi"}]}


@pytest.fixture(scope="module")
def key(gateway: Gateway, shared_vendor: FakeVendor) -> Iterator[str]:
    """A key for all pass-throughs, and the upstreams that have one."""
    with gateway.client(MASTER_KEY) as admin:
        for fields in (UPSTREAM, CLAUDE, GEMINI):
            body = {**fields, "base_url": shared_vendor.url, "api_key": VENDOR_CREDENTIAL}
            made = admin.post("/upstreams", json=body)
            assert made.status_code == 201, made.text
        models = ["passthrough/*", "fake/*"]
        yield admin.post("/key/generate", json={"models": models, "user_id": "pat"}).json()["key"]
        for fields in (UPSTREAM, CLAUDE, GEMINI):
            admin.delete(f"/upstreams/{fields['name']}")


@pytest.fixture
def through(gateway: Gateway, key: str, vendor: FakeVendor) -> Iterator[httpx.Client]:
    with gateway.client(key) as client:
        yield client


def test_a_chat_passes_through_with_the_upstreams_credential(
    through: httpx.Client, gateway: Gateway, vendor: FakeVendor, key: str
) -> None:
    headers = {"cookie": "a=b", "openai-beta": "x=y", "x-forwarded-for": "1.2.3.4"}
    path = f"/passthrough/open/v1/chat/completions?a=%20b&key={key}"
    answered = through.post(path, json=CHAT, headers=headers)

    (request,) = vendor.requests
    record = gateway.record(answered.headers["x-request-id"])
    assert answered.json()["model"] == "fake-chat"
    assert request.target == "/v1/chat/completions?a=%20b"
    assert request.json == CHAT
    assert request.header("authorization") == f"Bearer {VENDOR_CREDENTIAL}"
    assert (request.header("cookie"), request.header("openai-beta")) == (None, "x=y")
    assert key not in repr(request.headers)
    assert (record["operation"], record["model"]) == ("passthrough", "passthrough/open")
    assert (record["upstream"], record["upstream_model"]) == ("open", "fake-chat")
    assert (record["input_tokens"], record["output_tokens"], record["user_id"]) == (11, 3, "pat")
    assert gateway.log_lines(answered.headers["x-request-id"])[0]["model"] == "passthrough/open"


def test_a_stream_passes_through_and_is_counted(through: httpx.Client, gateway: Gateway) -> None:
    body = {**CHAT, "stream": True, "stream_options": {"include_usage": True}}

    with through.stream("POST", "/passthrough/open/chat/completions", json=body) as answered:
        text = answered.read()

    record = gateway.record(answered.headers["x-request-id"])
    assert answered.headers["content-type"].startswith("text/event-stream")
    assert text.endswith(b"data: [DONE]\n\n")
    assert (record["is_stream"], record["output_tokens"], record["state"]) == (1, 3, "unpriced")


def test_anthropics_client_passes_through(gateway: Gateway, key: str, vendor: FakeVendor) -> None:
    vendor.on_path("/v1/messages", _claude())
    with Anthropic(base_url=f"{gateway.url}/passthrough/open-claude", api_key=key, max_retries=0) as client:
        made = client.messages.with_raw_response.create(
            model="claude-x", max_tokens=9, messages=[{"role": "user", "content": "Hi"}]
        )

    record = gateway.record(made.headers["x-request-id"])
    assert made.parse().model == "claude-x"
    assert vendor.requests[0].header("x-api-key") == VENDOR_CREDENTIAL
    assert vendor.requests[0].header("anthropic-version")
    assert (record["upstream_model"], record["input_tokens"], record["output_tokens"]) == ("claude-x", 9, 5)


def test_googles_clients_pass_through(gateway: Gateway, key: str, vendor: FakeVendor) -> None:
    path = "/v1beta/models/gemini-x:generateContent"
    usage = {"promptTokenCount": 9, "candidatesTokenCount": 3, "thoughtsTokenCount": 2, "totalTokenCount": 14}
    vendor.on_path(path, json_answer({"candidates": [], "usageMetadata": usage}))

    with gateway.client("") as client:
        answered = client.post(
            f"/passthrough/open-gemini{path}", json={"contents": []}, headers={"x-goog-api-key": key}
        )

    record = gateway.record(answered.headers["x-request-id"])
    assert vendor.requests[0].header("x-goog-api-key") == VENDOR_CREDENTIAL
    assert (record["upstream_model"], record["input_tokens"], record["output_tokens"]) == ("gemini-x", 9, 5)
    assert record["reasoning_tokens"] == 2


def test_a_budget_refuses_what_nobody_can_price(gateway: Gateway, key: str, vendor: FakeVendor) -> None:
    with gateway.client(MASTER_KEY) as admin:
        body = {"models": ["passthrough/open"], "max_budget": 1.0}
        limited = admin.post("/key/generate", json=body).json()["key"]

    with gateway.client(limited) as client:
        refused = client.post("/passthrough/open/v1/files", content=b"?")
        listed = client.get("/passthrough/open/v1/models")

    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "model_unpriced")
    assert listed.status_code == 200
    assert [request.method for request in vendor.requests] == ["GET"]


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE", "PUT", "PATCH"])
def test_every_method_passes_through(through: httpx.Client, vendor: FakeVendor, method: str) -> None:
    vendor.on_path("/v1/files/f-1", answer(body=b"content", content_type="text/csv", headers=[("etag", "7")]))

    answered = through.request(method, "/passthrough/open/v1/files/f-1")

    assert (answered.status_code, answered.headers["etag"]) == (200, "7")
    assert answered.content == (b"" if method == "HEAD" else b"content")
    assert [request.method for request in vendor.requests] == [method]


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_what_is_only_fetched_costs_nothing(
    through: httpx.Client, gateway: Gateway, vendor: FakeVendor, method: str
) -> None:
    usage = {"input_tokens": 9000, "output_tokens": 5000}
    vendor.on_path("/v1/responses/r-1", json_answer({"model": "fake-chat", "usage": usage}))

    answered = through.request(method, "/passthrough/open/v1/responses/r-1")

    record = gateway.record(answered.headers["x-request-id"])
    assert answered.json()["usage"] == usage
    assert (record["input_tokens"], record["output_tokens"], record["cost"]) == (0, 0, 0)
    assert (record["state"], record["upstream_model"]) == ("reported", "fake-chat")


def test_counting_tokens_costs_nothing(through: httpx.Client, gateway: Gateway, vendor: FakeVendor) -> None:
    vendor.on_path("/v1/messages/count_tokens", json_answer({"input_tokens": 9}))

    answered = through.post("/passthrough/open-claude/v1/messages/count_tokens", json=CHAT)

    record = gateway.record(answered.headers["x-request-id"])
    assert (record["input_tokens"], record["output_tokens"], record["cost"]) == (0, 0, 0)
    assert (record["state"], record["upstream_model"]) == ("reported", "fake-chat")


def test_a_refusal_stays_as_it_is(through: httpx.Client, gateway: Gateway, vendor: FakeVendor) -> None:
    vendor.on_path("/v1/x", error(418, "I am a teapot.", code="teapot"))

    answered = through.post("/passthrough/open/v1/x", json={})

    record = gateway.record(answered.headers["x-request-id"])
    assert (answered.status_code, answered.json()["error"]["code"]) == (418, "teapot")
    assert (record["status"], record["error_code"], record["cost"]) == (418, "upstream_refused", 0)


@pytest.mark.parametrize("status", [204, 304])
def test_what_has_no_body_has_no_length(through: httpx.Client, vendor: FakeVendor, status: int) -> None:
    vendor.on_path("/v1/x", raw_answer(b"HTTP/1.1 %d X\r\nContent-Length: 9\r\nETag: 7\r\n\r\n" % status))

    answered = through.get("/passthrough/open/v1/x")

    assert (answered.status_code, answered.headers["etag"], answered.content) == (status, "7", b"")
    assert "content-length" not in answered.headers


def test_a_large_body_streams_through(through: httpx.Client, vendor: FakeVendor) -> None:
    vendor.on_path("/v1/files", json_answer({"id": "f-1"}))
    content = bytes(range(256)) * 16_384

    path, halves = "/passthrough/open/v1/files", [content[:2_000_000], content[2_000_000:]]

    told = through.post(path, content=content, headers={"content-type": "a/b"})
    chunked = through.post(path, content=iter(halves))

    assert (told.status_code, chunked.status_code) == (200, 200)
    assert [request.header("content-type") for request in vendor.requests] == ["a/b", None]
    assert vendor.requests[0].body == content
    assert vendor.requests[1].body == content


@pytest.mark.parametrize(
    "path",
    ["/../v1/x", "/v1/../x", "/v1/%2e%2e/x", "/v1/..%2fx", "//a.example/x", "/http://a.example", "/v1/%00"],
)
def test_no_path_leads_elsewhere(gateway: Gateway, key: str, vendor: FakeVendor, path: str) -> None:
    head = f"GET /passthrough/open{path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n"

    with raw.connect(gateway) as opened:
        opened.sendall(f"{head}Authorization: Bearer {key}\r\n\r\n".encode())
        answered = raw.read_to_end(opened)

    assert answered.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 404 ")), answered
    assert not vendor.requests


def test_who_is_not_named_may_not_pass(gateway: Gateway, key: str, vendor: FakeVendor) -> None:
    with gateway.client(KEY) as client:
        answered = client.post("/passthrough/open/v1/chat/completions", json=CHAT)
        keyless = client.post("/passthrough/open/v1/x", headers={"authorization": ""})

    assert (answered.status_code, answered.json()["error"]["code"]) == (403, "insufficient_permissions")
    assert keyless.status_code == 401
    assert not vendor.requests


@pytest.mark.parametrize("name", ["fake", "no-such", "", "demo"])
def test_other_upstreams_have_none(through: httpx.Client, vendor: FakeVendor, name: str) -> None:
    answered = through.post(f"/passthrough/{name}/v1/chat/completions", json=CHAT)

    assert answered.status_code in (400, 403, 404)
    assert not vendor.requests


def test_web_sockets_do_not_pass(gateway: Gateway, key: str, vendor: FakeVendor) -> None:
    head = "GET /passthrough/open/v1/realtime HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\n"
    head += "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    head += "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"

    with raw.connect(gateway) as opened:
        opened.sendall(f"{head}Authorization: Bearer {key}\r\n\r\n".encode())
        opened.shutdown(socket.SHUT_WR)
        answered = raw.read_to_end(opened)

    assert b" 101 " not in answered.partition(b"\r\n")[0]
    assert not vendor.requests


def _claude() -> Behaviour:
    async def behave(exchange: Exchange) -> None:
        content: dict[str, Any] = {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "model": exchange.request.json["model"],
            "content": [{"type": "text", "text": "Hi"}],
            "stop_reason": "end_turn",
            "stop_sequence": None,
            "usage": {"input_tokens": 7, "cache_read_input_tokens": 2, "output_tokens": 5},
        }
        await exchange.respond(200, json.dumps(content).encode())

    return behave
