"""Claude on Vertex AI: asked as Anthropic's own SDK asks it, answered as Claude is anywhere."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from anthropic import AnthropicVertex
from openai.types.chat import ChatCompletion
from pytest_django import Settings as SettingsWrapper

from gateway_project.core import sse
from gateway_project.core.errors import InvalidRequest
from tests.fakes.http_server import HttpServer
from tests.providers.fake_anthropic import OVERLOAD
from tests.providers.fake_claude_at_google import claude
from tests.upstreams.loopback import config, phases
from upstreams_app.providers.vertex import provider
from upstreams_app.providers.vertex.claude import API_VERSION, claude_name
from upstreams_app.providers.wire import KnowsWait, Site, TellsUsage
from upstreams_app.services.native import NativeRequest
from upstreams_app.services.provider_client import ProviderClient
from upstreams_app.services.vertex_params import vertex_place
from upstreams_app.vendors import parse_model

Json = dict[str, Any]
MODEL = "claude-sonnet-4-5@20250929"
ASK: Json = {"messages": [{"role": "user", "content": "Hello"}], "max_tokens": 500}
SITE = Site({"project": "acme", "location": "europe-west1"}, "ya29.token")


@pytest.fixture
def server(settings: SettingsWrapper) -> Iterator[HttpServer]:
    settings.ALLOW_PRIVATE_HOSTS = True
    with HttpServer(claude) as server:
        yield server


async def ask(server: HttpServer, **fields: Any) -> tuple[int, bytes]:
    """The gateway's answer."""
    upstream = config(
        f"http://127.0.0.1:{server.port}/v1",
        kind="vertex",
        credential="ya29.token",
        options={"project": "acme", "location": "europe-west1"},
    )
    client = ProviderClient(upstream, provider())
    body = json.dumps({"model": MODEL, **ASK, **fields}).encode()
    answer = await client.post("/chat/completions", body, phases=phases(upstream), model=MODEL)
    got = b""
    while piece := await answer.read_any():
        got += piece
    answer.release(is_complete=True)
    await client.close()
    return answer.status, got


@pytest.mark.parametrize("fields", [{}, {"stream": True}])
async def test_claude_is_asked_as_anthropics_own_sdk_asks_it(server: HttpServer, fields: Any) -> None:
    with AnthropicVertex(
        region="europe-west1",
        project_id="acme",
        access_token="ya29.token",
        base_url=f"http://127.0.0.1:{server.port}/v1",
    ) as own:
        content: Any = [{"role": "user", "content": [{"type": "text", "text": "Hello"}]}]
        made = own.messages.create(model=MODEL, max_tokens=500, messages=content, **fields)
        assert list(made)
        counted = own.messages.count_tokens(model=MODEL, messages=content)

    status, body = await ask(server, **fields)

    theirs, counting, ours = server.requests
    assert status == 200
    assert (ours.path, ours.header("authorization")) == (theirs.path, theirs.header("authorization"))
    assert ours.json == {**theirs.json, "anthropic_version": API_VERSION}
    assert counted.input_tokens == 7
    assert NativeRequest("POST", counting.path, "", {}, counting.body, None, None).is_free
    if fields:
        assert body.endswith(sse.DONE)
        assert b"Hello" in body
    else:
        answer = ChatCompletion.model_validate_json(body)
        assert answer.choices[0].message.content == "You said: Hello"


async def test_samples_go_to_models_that_take_them(server: HttpServer) -> None:
    status, _ = await ask(server, temperature=0.5)

    (request,) = server.requests
    assert (status, request.json["temperature"]) == (200, 0.5)


async def test_refusals_are_anthropics_or_googles(server: HttpServer) -> None:
    status, body = await ask(server, messages=[{"role": "user", "content": OVERLOAD}])
    exchange = provider().exchange("/chat/completions", dict(ASK), model=MODEL, site=SITE)
    quota = {
        "error": {
            "code": 429,
            "message": "Quota exceeded.",
            "status": "RESOURCE_EXHAUSTED",
            "details": [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "7s"}],
        }
    }
    googles = exchange.error(429, json.dumps(quota).encode())

    assert (status, json.loads(body)["error"]["code"]) == (503, "overloaded_error")
    assert (googles[0], json.loads(googles[1])["error"]["code"]) == (429, "rate_limit_exceeded")
    assert isinstance(exchange, KnowsWait)
    assert exchange.retry_after_s == 7
    assert isinstance(exchange, TellsUsage)
    assert exchange.error(502, b"<html>")[0] == 502


@pytest.mark.parametrize(
    ("model", "name"),
    [
        (MODEL, MODEL),
        (f"publishers/anthropic/models/{MODEL}", MODEL),
        (f"anthropic/{MODEL}", MODEL),
        ("gemini-2.5-pro", ""),
        ("1234", ""),
    ],
)
def test_anthropics_models_are_known_by_their_names(model: str, name: str) -> None:
    made = provider().exchange("/chat/completions", dict(ASK), model=model, site=SITE)

    assert claude_name(model) == name
    assert (f"/publishers/anthropic/models/{MODEL}:rawPredict" in made.request.path) == bool(name)
    assert provider().max_choices({}, model=model) == (1 if name else 8)


def test_what_claude_has_nothing_for_is_refused_by_name() -> None:
    for path, fields, param in (
        ("/chat/completions", {"logprobs": True}, "logprobs"),
        ("/embeddings", {"input": "x"}, "model"),
    ):
        with pytest.raises(InvalidRequest) as caught:
            provider().exchange(path, {**ASK, **fields}, model=MODEL, site=SITE)
        assert caught.value.param == param


def test_litellms_name_for_it_is_known() -> None:
    parsed = parse_model(f"vertex_ai/{MODEL}")

    place = vertex_place(parsed, {"vertex_project": "acme-1"}, api_base=None, api_key="AIza", known={})

    assert place.model.model == MODEL
