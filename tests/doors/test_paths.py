"""Every spelling of a path that clients use leads to its door; all others to a clear error."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.doors.gateway import Gateway
from tests.doors.rows import KEY, METRICS_KEY, MODEL
from tests.fakes.vendor import FakeVendor

ASK: dict[str, Any] = {"model": MODEL, "messages": [{"role": "user", "content": "Hi"}]}


@pytest.mark.parametrize(
    "path",
    [
        "/v1/chat/completions",
        "/v1/chat/completions/",
        "/v1/chat/completions//",
        "/chat/completions",
        "/chat/completions/",
        "/v1/v1/chat/completions",
        "/v1/v1/chat/completions/",
        "/v1/chat/completions?api-version=2024-10-21&key=x",
    ],
)
def test_every_spelling_of_chat(vendor: FakeVendor, client: httpx.Client, path: str) -> None:
    answered = client.post(path, json=ASK)

    assert answered.status_code == 200
    assert answered.json()["model"] == MODEL
    assert vendor.requests[0].target == "/v1/chat/completions"


@pytest.mark.parametrize(
    "prefix", ["/openai/deployments/", "/v1/openai/deployments/", "/engines/", "/v1/engines/"]
)
@pytest.mark.parametrize(
    "model", ["pair", "fake%2Ffake-chat", "fake/fake-chat", "t%C3%ABst/route%20%E2%9C%93"]
)
def test_the_model_in_the_path(vendor: FakeVendor, client: httpx.Client, prefix: str, model: str) -> None:
    answered = client.post(f"{prefix}{model}/chat/completions", json={"messages": [{}], "model": "ignored"})

    assert answered.status_code == 200, answered.text
    assert answered.json()["model"] in ("pair", MODEL, "tëst/route ✓")
    assert vendor.requests[0].json["model"] == "fake-chat"


def test_other_doors_of_a_deployment(vendor: FakeVendor, client: httpx.Client) -> None:
    completed = client.post("/openai/deployments/pair/completions", json={"prompt": "x"})
    embedded = client.post("/openai/deployments/fake/fake-embedding/embeddings", json={"input": "x"})

    assert completed.json()["model"] == "pair"
    assert embedded.json()["model"] == "fake/fake-embedding"


def test_a_model_whose_name_ends_in_chat_is_one(client: httpx.Client) -> None:
    missing = client.post("/openai/deployments/none/chat/embeddings", json={"input": "x"})

    assert missing.json()["error"]["code"] == "model_not_found"
    assert "'none/chat'" in missing.json()["error"]["message"]


@pytest.mark.parametrize(
    "path",
    [
        "/v1/models/fake/fake-chat",
        "/v1/models/fake%2Ffake-chat",
        "/models/fake/fake-chat",
        "/v1/models/fake/fake-chat/",
    ],
)
def test_a_model_is_found_by_any_spelling(client: httpx.Client, path: str) -> None:
    assert client.get(path).json()["id"] == MODEL


@pytest.mark.parametrize(
    "path",
    [
        "/v1/nothing",
        "/",
        "/v2/chat/completions",
        "/v1/chat",
        "/v1/v1/v1/models",
        "/openai/deployments//x",
        "/v1/models%00",
    ],
)
def test_what_is_not_there_is_a_404_in_json(client: httpx.Client, path: str) -> None:
    missing = client.get(path)

    assert missing.status_code == 404
    assert missing.headers["content-type"] == "application/json"
    assert missing.json()["error"]["type"] == "invalid_request_error"
    assert missing.headers["x-request-id"].startswith("req_")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/v1/chat/completions", "POST"),
        ("DELETE", "/v1/chat/completions", "POST"),
        ("PUT", "/chat/completions/", "POST"),
        ("POST", "/v1/models", "GET"),
        ("DELETE", "/v1/models/fake/fake-chat", "GET"),
        ("POST", "/health", "GET"),
        ("HEAD", "/v1/embeddings", "POST"),
    ],
)
def test_a_wrong_method_is_405_and_names_the_right_one(
    client: httpx.Client, method: str, path: str, allowed: str
) -> None:
    refused = client.request(method, path)

    assert refused.status_code == 405
    assert allowed in refused.headers["allow"]
    if method != "HEAD":
        assert refused.json()["error"]["code"] == "method_not_allowed"


def test_head_is_get_without_the_body(client: httpx.Client) -> None:
    for path in ("/v1/models", "/health", f"/v1/models/{MODEL}", "/docs"):
        whole, head = client.get(path), client.head(path)

        assert head.status_code == 200
        assert head.content == b""
        assert head.headers["content-length"] == whole.headers["content-length"]


@pytest.mark.parametrize(
    "origin", ["tauri://localhost", "app://obsidian.md", "http://localhost:3000", "null"]
)
@pytest.mark.parametrize(
    "path", ["/v1/chat/completions", "/v1/models", "/models/", "/v1/models/fake/fake-chat"]
)
def test_a_preflight_is_answered_without_a_key(gateway: Gateway, origin: str, path: str) -> None:
    headers = {
        "origin": origin,
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization,content-type,x-stainless-lang",
    }

    with gateway.client("") as client:
        allowed = client.options(path, headers=headers)

    assert allowed.status_code == 204
    assert allowed.headers["access-control-allow-origin"] == "*"
    assert "POST" in allowed.headers["access-control-allow-methods"]
    assert "x-stainless-lang" in allowed.headers["access-control-allow-headers"]
    assert "access-control-allow-credentials" not in allowed.headers


def test_options_without_an_origin_names_the_methods(client: httpx.Client) -> None:
    assert client.options("/v1/models").headers["allow"] == "GET, OPTIONS"


def test_answers_and_errors_can_be_read_across_origins(vendor: FakeVendor, client: httpx.Client) -> None:
    headers = {"origin": "tauri://localhost"}
    answers = [
        client.post("/v1/chat/completions", json=ASK, headers=headers),
        client.post("/v1/chat/completions", json={**ASK, "stream": True}, headers=headers),
        client.post("/v1/chat/completions", json={}, headers=headers),
        client.post(
            "/v1/chat/completions", json=ASK, headers={**headers, "authorization": "Bearer wrong-key"}
        ),
        client.get("/v1/chat/completions", headers=headers),
    ]

    assert [answer.status_code for answer in answers] == [200, 200, 400, 401, 405]
    assert {answer.headers["access-control-allow-origin"] for answer in answers} == {"*"}
    assert all("x-request-id" in answer.headers["access-control-expose-headers"] for answer in answers)


def test_health_needs_no_key_and_tells_nothing(gateway: Gateway) -> None:
    with gateway.client("") as client:
        for path in ("/health", "/healthz", "/health/liveliness", "/health/"):
            assert client.get(path).json().keys() == {"status", "version"}
        for path in ("/readyz", "/health/readiness"):
            assert client.get(path).json() == {"status": "ready", "problems": [], "warnings": []}


def test_metrics_need_their_own_scope(gateway: Gateway) -> None:
    with gateway.client(METRICS_KEY) as client:
        assert client.get("/metrics").status_code == 200
        assert client.get("/v1/models").status_code == 403
    with gateway.client(KEY) as client:
        assert client.get("/metrics").status_code == 403


def test_the_documents_are_served_from_here(gateway: Gateway) -> None:
    with gateway.client("") as client:
        page, document = client.get("/docs"), client.get("/openapi.json").json()
        assets = [client.get(f"/static/{name}") for name in ("ninja/swagger-ui.css", "gateway/docs.js")]

    assert "http://" not in page.text
    assert "https://" not in page.text
    assert document["openapi"].startswith("3.1")
    assert {"/v1/chat/completions", "/v1/models", "/v1/embeddings", "/health"} <= document["paths"].keys()
    assert [asset.status_code for asset in assets] == [200, 200]
