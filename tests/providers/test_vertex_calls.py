"""Calls of Vertex AI: where they go, with which token, and what an administrator may say of an upstream."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from pytest_django import Settings as SettingsWrapper

from tests.fakes.http_server import HttpServer
from tests.providers.google_fake import responder
from tests.upstreams.loopback import config, phases
from upstreams_app.errors import UpstreamUnreachable
from upstreams_app.providers.vertex import provider
from upstreams_app.providers.wire import Site
from upstreams_app.services.provider_client import ProviderClient

ASK: dict[str, Any] = {"model": "x", "messages": [{"role": "user", "content": "Hello"}]}
KEY_FILE = json.dumps(
    {"type": "service_account", "project_id": "acme-prod", "client_email": "g@x", "private_key": "k"}
)


@pytest.fixture
def server(settings: SettingsWrapper) -> Iterator[HttpServer]:
    settings.ALLOW_PRIVATE_HOSTS = True
    with HttpServer(responder()) as server:
        yield server


def _path(model: str, credential: str, **options: str) -> str:
    site = Site(options, credential)
    return provider().exchange("/chat/completions", dict(ASK), model=model, site=site).request.path


@pytest.mark.parametrize(
    ("model", "path"),
    [
        ("gemini-2.5-pro", "/publishers/google/models/gemini-2.5-pro:generateContent"),
        (
            "publishers/google/models/gemini-2.5-pro",
            "/publishers/google/models/gemini-2.5-pro:generateContent",
        ),
        ("1234567890", "/endpoints/1234567890:generateContent"),
        ("endpoints/1234567890", "/endpoints/1234567890:generateContent"),
        ("../../evil?x#y", "/publishers/google/models/..%2F..%2Fevil%3Fx%23y:generateContent"),
    ],
)
def test_a_model_is_called_in_its_project_and_location(model: str, path: str) -> None:
    made = _path(model, "AIza-key", project="acme", location="europe-west1")

    assert made == f"/projects/acme/locations/europe-west1{path}"


def test_the_project_is_the_keys_own_and_the_location_global_unless_said() -> None:
    made = _path("gemini-2.5-pro", KEY_FILE)

    assert made.startswith("/projects/acme-prod/locations/global/publishers/")


def test_an_api_key_needs_no_project() -> None:
    assert _path("gemini-2.5-pro", "AIza") == "/publishers/google/models/gemini-2.5-pro:generateContent"


def test_without_key_and_project_it_is_told_what_is_missing() -> None:
    with pytest.raises(UpstreamUnreachable, match="no project"):
        _path("gemini-2.5-pro", "")


@pytest.mark.parametrize(
    ("location", "url"),
    [
        ("global", "https://aiplatform.googleapis.com"),
        ("europe-west4", "https://europe-west4-aiplatform.googleapis.com"),
        ("eu", "https://aiplatform.eu.rep.googleapis.com"),
    ],
)
def test_the_location_tells_the_address(location: str, url: str) -> None:
    assert provider().base_url({"location": location}) == url
    assert provider().base_url({}) == "https://aiplatform.googleapis.com"


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"project": "a/b"}, "project"),
        ({"project": ""}, "project"),
        ({"location": "evil.example/"}, "location"),
        ({"location": 1}, "location"),
        ({"region": "us-east1"}, "region"),
    ],
)
def test_options_are_checked(options: dict[str, Any], name: str) -> None:
    with pytest.raises(ValueError, match=name):
        provider().check_options(options)


def test_good_options_pass() -> None:
    provider().check_options({"project": "example.com:acme-1", "location": "us-central1"})


async def test_a_chat_goes_there_and_back(server: HttpServer) -> None:
    upstream = config(
        f"http://127.0.0.1:{server.port}/v1",
        kind="vertex",
        credential="ya29.token",
        options={"project": "acme", "location": "global"},
    )
    client = ProviderClient(upstream, provider())

    answer = await client.post(
        "/chat/completions", json.dumps(ASK).encode(), phases=phases(upstream), model="gemini-2.5-flash"
    )
    body = json.loads(await answer.read_any())
    answer.release(is_complete=True)
    await client.close()

    (request,) = server.requests
    assert request.path == (
        "/v1/projects/acme/locations/global/publishers/google/models/gemini-2.5-flash:generateContent"
    )
    assert request.header("authorization") == "Bearer ya29.token"
    assert request.header("x-goog-api-key") is None
    assert body["choices"][0]["message"]["content"] == "You said: Hello"


def test_its_list_of_models_is_read() -> None:
    listed = {
        "publisherModels": [
            {"name": "publishers/google/models/gemini-2.5-pro", "versionId": "default"},
            {"name": "publishers/google/models/gemini-embedding-001"},
            {"name": "publishers/google/models/imagen-4.0-generate-001"},
        ],
        "nextPageToken": "abc",
    }

    page = provider().read_models(json.dumps(listed).encode())
    following = provider().models_request(Site({}, ""), page.cursor)

    assert [(model.name, model.mode) for model in page.models] == [
        ("gemini-2.5-pro", "chat"),
        ("gemini-embedding-001", "embedding"),
        ("imagen-4.0-generate-001", "other"),
    ]
    assert following.path == "/publishers/google/models"
    assert following.query == "pageSize=100&pageToken=abc"
