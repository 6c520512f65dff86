"""What editors and SDKs send, and what all clients do; chat apps are in test_chat_clients.py."""

from __future__ import annotations

import base64
import struct
from typing import Any

import httpx
import pytest

from tests.doors.gateway import Gateway
from tests.doors.rows import EMBEDDING_MODEL, KEY, MODEL
from tests.doors.streams import ASK, CHAT, STREAM, chunks_of
from tests.fakes import bodies
from tests.fakes.behaviours import json_answer
from tests.fakes.vendor import FakeVendor
from tests.services import TRUSTS_NOBODY

EMBEDDINGS = "/v1/embeddings"
TOOL = {"type": "function", "function": {"name": "clock", "parameters": {"type": "object", "properties": {}}}}


# Continue


@pytest.mark.parametrize("header", ["api-key", "x-api-key"])
def test_continue_sends_its_key_in_another_header_too(
    vendor: FakeVendor, gateway: Gateway, header: str
) -> None:
    both = {header: KEY, "authorization": f"Bearer {KEY}"}

    for headers in ({header: KEY}, both):
        answered = httpx.post(
            f"{gateway.url}{CHAT}", headers=headers, json=ASK, trust_env=False, verify=TRUSTS_NOBODY
        )
        assert answered.status_code == 200


def test_continues_parameters_pass(vendor: FakeVendor, client: httpx.Client) -> None:
    fields = {
        "stop": ["a", "b", "c", "d"],
        "parallel_tool_calls": False,
        "prediction": {"type": "content", "content": "x"},
        "tools": [TOOL],
    }

    assert client.post(CHAT, json={**ASK, **fields}).status_code == 200
    assert fields.items() <= vendor.requests[0].json.items()


def test_continue_completes_text(vendor: FakeVendor, client: httpx.Client) -> None:
    body = {"model": MODEL, "prompt": "def f(", "suffix": "\n", "max_tokens": 16, "stream": True}

    assert chunks_of(client.post("/v1/completions", json=body).text)


# Cline, and what all of them do


@pytest.mark.parametrize("path", ["/v1/models/", "/v1/v1/models", "/models", "/v1//models"])
def test_addresses_with_a_slash_or_a_v1_too_many(client: httpx.Client, path: str) -> None:
    assert client.get(path).json()["object"] == "list"


@pytest.mark.parametrize("path", ["/v1/models", "/v1/models/"])
def test_head_and_options_of_the_list(client: httpx.Client, path: str) -> None:
    assert client.head(path).status_code == 200
    assert "GET" in client.options(path).headers["allow"]


def test_unknown_parameters_are_no_422(vendor: FakeVendor, client: httpx.Client) -> None:
    assert client.post(CHAT, json={**ASK, "chat_id": "x", "session_id": 1, "features": {}}).status_code == 200


def test_sdks_ask_for_embeddings_in_base64(vendor: FakeVendor, client: httpx.Client) -> None:
    body = {"input": "text", "model": EMBEDDING_MODEL, "encoding_format": "base64"}

    (item,) = client.post(EMBEDDINGS, json=body).json()["data"]

    assert struct.unpack("<3f", base64.b64decode(item["embedding"])) == pytest.approx((0.6, -0.8, 0.0))


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({**ASK, "model": "no/such"}, 404),
        ({"messages": []}, 400),
        ({**ASK, "messages": "text"}, 400),
    ],
)
def test_every_refusal_has_openais_shape(client: httpx.Client, body: dict[str, Any], status: int) -> None:
    answered = client.post(CHAT, json=body)

    assert answered.status_code == status
    assert set(answered.json()["error"]) == {"message", "type", "param", "code"}
    assert answered.headers["content-type"].startswith("application/json")


def test_no_proxy_buffers_a_stream(vendor: FakeVendor, client: httpx.Client) -> None:
    headers = client.post(CHAT, json=STREAM).headers

    assert headers["x-accel-buffering"] == "no"
    assert "no-cache" in headers["cache-control"]


def test_a_plain_answer_with_a_tool_call_passes(vendor: FakeVendor, client: httpx.Client) -> None:
    call = {"id": "call_1", "type": "function", "function": {"name": "clock", "arguments": "{}"}}
    answer = bodies.chat_completion("", model="fake-chat")
    answer["choices"][0]["message"] = {"role": "assistant", "content": None, "tool_calls": [call]}
    vendor.script(json_answer(answer))

    message = client.post(CHAT, json={**ASK, "tools": [TOOL]}).json()["choices"][0]["message"]

    assert message["content"] is None
    assert message["tool_calls"] == [call]
