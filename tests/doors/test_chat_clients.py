"""What chat apps send, and what breaks them: each found in their sources, each held here.

One section per client; what several do is under the first that does it.
"""

from __future__ import annotations

import time

import httpx
import pytest

from tests.doors.gateway import Gateway
from tests.doors.rows import EMBEDDING_MODEL, KEY, MODEL
from tests.doors.streams import ASK, CHAT, STREAM, USAGE_ASKED, assert_ends_with_error, chunks_of
from tests.fakes import bodies
from tests.fakes.behaviours import chat, error, stream
from tests.fakes.vendor import FakeVendor
from tests.services import TRUSTS_NOBODY

EMBEDDINGS = "/v1/embeddings"
MODELS_BUDGET_S = 0.1
TOOL = {"type": "function", "function": {"name": "clock", "parameters": {"type": "object", "properties": {}}}}


# Open WebUI


def test_open_webui_lists_models_at_every_page_and_gets_them_at_once(client: httpx.Client) -> None:
    client.get("/v1/models")
    times = []
    for _ in range(10):
        started = time.perf_counter()
        answered = client.get("/v1/models")
        times.append(time.perf_counter() - started)

    assert answered.status_code == 200
    assert min(times) < MODELS_BUDGET_S
    assert client.get("/models").json()["object"] == "list"


def test_the_list_comes_though_upstreams_are_down(vendor: FakeVendor, client: httpx.Client) -> None:
    vendor.on_path("/v1/models", error(500))

    answered = client.get("/v1/models")

    assert answered.status_code == 200
    assert any(item["id"].startswith("gone/") for item in answered.json()["data"])
    assert vendor.requests == []


def test_each_model_has_the_fields_that_open_webui_reads(client: httpx.Client) -> None:
    for item in client.get("/v1/models").json()["data"]:
        assert item["object"] == "model"
        assert item["id"]
        assert item["name"]
        assert item["owned_by"]
        assert isinstance(item["created"], int)
        # A text there once crashed it.
        assert isinstance(item.get("tags", []), list)


def test_open_webui_sends_an_empty_list_of_tools(vendor: FakeVendor, client: httpx.Client) -> None:
    assert client.post(CHAT, json={**ASK, "tools": []}).status_code == 200


def test_open_webui_asks_newer_models_as_a_developer(vendor: FakeVendor, client: httpx.Client) -> None:
    messages = [{"role": "developer", "content": "Be brief."}, {"role": "user", "content": "Hi"}]

    answered = client.post(CHAT, json={"model": MODEL, "messages": messages, "max_completion_tokens": 64})

    assert answered.status_code == 200
    assert vendor.requests[0].json["messages"] == messages
    assert vendor.requests[0].json["max_completion_tokens"] == 64


@pytest.mark.parametrize("fields", [{"max_tokens": 4}, {"max_tokens": 4, "max_completion_tokens": 4}])
def test_both_limits_of_tokens_are_taken(
    vendor: FakeVendor, client: httpx.Client, fields: dict[str, int]
) -> None:
    assert client.post(CHAT, json={**ASK, **fields}).status_code == 200
    assert fields.items() <= vendor.requests[0].json.items()


def test_open_webuis_parameters_pass(vendor: FakeVendor, client: httpx.Client) -> None:
    fields = {
        "temperature": 0.7,
        "top_p": 0.9,
        "stop": ["END"],
        "seed": 7,
        "frequency_penalty": 0.1,
        "presence_penalty": 0.1,
        "logit_bias": {"50256": -100},
        "reasoning_effort": "low",
        "response_format": {"type": "json_object"},
        "top_k": 40,
        "mirostat": 2,
        "some_custom_param": {"deep": [1]},
    }

    assert client.post(CHAT, json={**ASK, **fields}).status_code == 200
    assert fields.items() <= vendor.requests[0].json.items()


def test_open_webui_sends_images_as_data_urls(vendor: FakeVendor, client: httpx.Client) -> None:
    parts = [
        {"type": "text", "text": "What is it?"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}},
    ]

    answered = client.post(CHAT, json={**ASK, "messages": [{"role": "user", "content": parts}]})

    assert answered.status_code == 200
    assert vendor.requests[0].json["messages"][0]["content"] == parts


def test_every_line_of_a_stream_is_data_or_a_comment(vendor: FakeVendor, client: httpx.Client) -> None:
    answered = client.post(CHAT, json=USAGE_ASKED)

    assert all(not line or line.startswith(("data: ", ": ")) for line in answered.text.splitlines())


def test_an_error_within_a_stream_has_empty_choices(vendor: FakeVendor, client: httpx.Client) -> None:
    """Open WebUI looks for `error` only where `choices` is empty."""
    first = bodies.sse_event(bodies.chat_chunk({"content": "so"}, model="fake-chat"))
    vendor.script(stream([first], ending="close"))

    text = client.post(CHAT, json=STREAM).text

    assert set(assert_ends_with_error(text, "upstream_failed")) == {"message", "type", "param", "code"}


def test_each_piece_of_a_tool_call_has_its_index(vendor: FakeVendor, client: httpx.Client) -> None:
    """Open WebUI ignores pieces without one; the first piece has id and type as well."""
    pieces = [
        {"index": 0, "id": "call_1", "type": "function", "function": {"name": "clock", "arguments": ""}},
        {"index": 0, "function": {"arguments": "{}"}},
    ]
    chunks = [bodies.chat_chunk({"content": None, "tool_calls": [piece]}, model="x") for piece in pieces]
    chunks.append(bodies.chat_chunk({}, model="x", finish="tool_calls"))
    vendor.script(stream(bodies.sse_events(chunks)))

    got = chunks_of(client.post(CHAT, json={**STREAM, "tools": [TOOL]}).text)

    calls = [chunk["choices"][0]["delta"]["tool_calls"][0] for chunk in got[:2]]
    assert calls == pieces
    assert got[0]["choices"][0]["delta"]["content"] is None


@pytest.mark.parametrize("content", [None, ""])
def test_a_tool_call_in_the_history_may_have_no_content(
    vendor: FakeVendor, client: httpx.Client, content: str | None
) -> None:
    call = {"id": "call_1", "type": "function", "function": {"name": "clock", "arguments": "{}"}}
    messages = [
        {"role": "user", "content": "What time is it?"},
        {"role": "assistant", "content": content, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": "12:00"},
    ]

    assert client.post(CHAT, json={**ASK, "messages": messages}).status_code == 200
    assert vendor.requests[0].json["messages"] == messages


def test_an_errors_body_and_retry_after_come_through(vendor: FakeVendor, client: httpx.Client) -> None:
    headers = [("retry-after", "7")]
    vendor.script(error(429, "Slow down.", kind="rate_limit_error", headers=headers))

    answered = client.post(CHAT, json=STREAM)

    assert answered.status_code == 429
    assert answered.headers["retry-after"] == "7"
    assert set(answered.json()["error"]) == {"message", "type", "param", "code"}


def test_open_webui_sends_several_texts_to_embed(vendor: FakeVendor, client: httpx.Client) -> None:
    answered = client.post(EMBEDDINGS, json={"input": ["a", "b"], "model": EMBEDDING_MODEL})

    assert [item["embedding"] for item in answered.json()["data"]] == [[0.6, -0.8, 0.0]] * 2


def test_the_headers_of_open_webui_are_kept_from_the_vendor(vendor: FakeVendor, client: httpx.Client) -> None:
    headers = {
        "X-OpenWebUI-User-Name": "Ada%20L",
        "X-OpenWebUI-User-Email": "ada@example.org",
        "X-OpenWebUI-Chat-Id": "c-1",
    }

    assert client.post(CHAT, json=ASK, headers=headers).status_code == 200
    assert all(vendor.requests[0].header(name.lower()) is None for name in headers)


# LibreChat


def test_librechat_gets_prices_and_windows_of_all_models_or_of_none(client: httpx.Client) -> None:
    items = client.get("/v1/models", params={"user": "u-1"}).json()["data"]

    for name in ("pricing", "context_length"):
        assert len({name in item for item in items}) == 1


def test_librechats_parameters_pass(vendor: FakeVendor, client: httpx.Client) -> None:
    fields = {"user": "u-1", "stop": ["|||"], "frequency_penalty": 0, "presence_penalty": 0}

    assert client.post(CHAT, json={**ASK, **fields}).status_code == 200
    assert fields.items() <= vendor.requests[0].json.items()


# LobeChat


def test_usage_is_the_last_chunk_and_comes_once(vendor: FakeVendor, client: httpx.Client) -> None:
    """The order of OpenAI: the finish, then usage without choices, then [DONE]; never twice."""
    vendor.script(chat(sends_usage_unasked=True))

    chunks = chunks_of(client.post(CHAT, json=USAGE_ASKED).text)

    assert chunks[-2]["choices"][0]["finish_reason"] == "stop"
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"]["total_tokens"] == 14
    assert all(not chunk.get("usage") for chunk in chunks[:-1])


def test_lobechat_accepts_anything(vendor: FakeVendor, client: httpx.Client) -> None:
    answered = client.post(CHAT, json=USAGE_ASKED, headers={"accept": "*/*"})

    assert answered.headers["content-type"].startswith("text/event-stream")


# AnythingLLM


def test_anythingllm_stops_reading_at_the_finish(vendor: FakeVendor, gateway: Gateway) -> None:
    """It closes before the usage chunk: the request is in the ledger all the same."""
    ask = {**STREAM, "temperature": 0.7, "max_tokens": 1024}
    with gateway.client() as client, client.stream("POST", CHAT, json=ask) as answered:
        request_id = answered.headers["x-request-id"]
        for line in answered.iter_lines():
            if '"finish_reason":"stop"' in line.replace(" ", ""):
                break

    record = gateway.record(request_id)
    assert (record["status"], record["state"]) == (200, "reported")
    assert record["output_tokens"] > 0


def test_anythingllm_embeds_five_hundred_texts_at_once(vendor: FakeVendor, client: httpx.Client) -> None:
    answered = client.post(EMBEDDINGS, json={"input": ["text"] * 500, "model": EMBEDDING_MODEL})

    assert len(answered.json()["data"]) == 500


# Jan


def test_jan_sends_its_key_twice_from_an_origin_of_its_own(gateway: Gateway) -> None:
    headers = {"x-api-key": KEY, "authorization": f"Bearer {KEY}", "origin": "tauri://localhost"}

    answered = httpx.get(f"{gateway.url}/v1/models", headers=headers, trust_env=False, verify=TRUSTS_NOBODY)

    assert answered.status_code == 200
    assert answered.headers["access-control-allow-origin"] in ("*", "tauri://localhost")


@pytest.mark.parametrize(
    "origin", ["tauri://localhost", "app://obsidian.md", "http://localhost:3000", "null"]
)
@pytest.mark.parametrize("path", ["/v1/models", CHAT, EMBEDDINGS])
def test_desktop_apps_may_ask_first(gateway: Gateway, origin: str, path: str) -> None:
    headers = {
        "origin": origin,
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization, content-type, x-api-key, x-stainless-os",
    }

    answered = httpx.options(f"{gateway.url}{path}", headers=headers, trust_env=False, verify=TRUSTS_NOBODY)

    allowed = answered.headers["access-control-allow-headers"].lower()
    assert answered.status_code in (200, 204)
    assert answered.headers["access-control-allow-origin"] in ("*", origin)
    assert allowed == "*" or {"authorization", "x-api-key", "x-stainless-os"} <= set(allowed.split(", "))


def test_jan_tells_a_wrong_key_by_the_status(gateway: Gateway) -> None:
    answered = httpx.get(
        f"{gateway.url}/v1/models", headers={"x-api-key": "sk-no"}, trust_env=False, verify=TRUSTS_NOBODY
    )

    assert answered.status_code == 401
    assert answered.json()["error"]["message"]


# Cherry Studio


def test_cherry_studio_sends_headers_of_its_own(vendor: FakeVendor, gateway: Gateway) -> None:
    headers = {
        "authorization": f"Bearer {KEY}",
        "x-api-key": KEY,
        "http-referer": "https://cherry-ai.com",
        "x-title": "Cherry Studio",
        "x-stainless-lang": "js",
        "x-stainless-retry-count": "0",
    }

    answered = httpx.post(
        f"{gateway.url}{CHAT}", headers=headers, json=USAGE_ASKED, trust_env=False, verify=TRUSTS_NOBODY
    )

    assert chunks_of(answered.text)[-1]["usage"]
    assert all(vendor.requests[0].header(name) is None for name in headers if name != "authorization")


def test_cherry_studio_echoes_reasoning(vendor: FakeVendor, client: httpx.Client) -> None:
    messages = [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello", "reasoning_content": "A greeting."},
        {"role": "user", "content": "And?"},
    ]

    assert client.post(CHAT, json={**ASK, "messages": messages}).status_code == 200
