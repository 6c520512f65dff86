"""Azure's paths and credentials at the wire, for both of its APIs."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.doors.rows import VENDOR_CREDENTIAL
from tests.fakes.vendor import FakeVendor

CHAT = ("/chat/completions", "fake-chat", {"messages": [{"role": "user", "content": "Hi"}]})
STREAM = ("/chat/completions", "fake-chat", {"messages": [{"role": "user", "content": "Hi"}], "stream": True})
COMPLETION = ("/completions", "fake-chat", {"prompt": "Hi"})
EMBEDDING = ("/embeddings", "fake-embedding", {"input": "Hi"})
CALLS = [CHAT, STREAM, COMPLETION, EMBEDDING]
# What a token of Microsoft Entra looks like.
TOKEN = "eyJhbGciOi.eyJhdWQiOi.c2lnbmF0dXJl"


@pytest.mark.parametrize(("path", "model", "fields"), CALLS)
def test_without_a_version_calls_go_to_the_v1_api(
    vendor: FakeVendor, client: httpx.Client, path: str, model: str, fields: dict[str, Any]
) -> None:
    answer = client.post(f"/v1{path}", json={"model": f"azure/{model}", **fields})

    (request,) = vendor.requests
    assert answer.status_code == 200, answer.text
    assert request.target == f"/openai/v1{path}"
    assert request.model == model
    assert (request.header("api-key"), request.header("authorization")) == (VENDOR_CREDENTIAL, None)


@pytest.mark.parametrize(("path", "model", "fields"), CALLS)
def test_with_a_version_calls_go_to_the_deployment(
    vendor: FakeVendor, client: httpx.Client, path: str, model: str, fields: dict[str, Any]
) -> None:
    answer = client.post(f"/v1{path}", json={"model": f"azure-dated/{model}", **fields})

    (request,) = vendor.requests
    assert answer.status_code == 200, answer.text
    assert request.target == f"/openai/deployments/{model}{path}?api-version=2024-10-21"
    assert request.header("api-key") == VENDOR_CREDENTIAL


def test_a_deployments_name_is_quoted(vendor: FakeVendor, client: httpx.Client) -> None:
    client.post("/v1/chat/completions", json={"model": "azure-dated/org/with slash", **CHAT[2]})

    (request,) = vendor.requests
    assert request.target.startswith("/openai/deployments/org%2Fwith%20slash/chat/completions?")


@pytest.mark.parametrize(
    ("credential", "key", "authorization"),
    [("a-key-of-the-client", "a-key-of-the-client", None), (TOKEN, None, f"Bearer {TOKEN}")],
)
def test_a_clients_key_and_its_token_have_different_headers(
    vendor: FakeVendor, client: httpx.Client, credential: str, key: str | None, authorization: str | None
) -> None:
    body = {"model": "azure-passing/fake-chat", **CHAT[2]}

    client.post("/v1/chat/completions", json=body, headers={"x-upstream-api-key": credential})

    (request,) = vendor.requests
    assert (request.header("api-key"), request.header("authorization")) == (key, authorization)
